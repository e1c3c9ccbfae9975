"""Where the candidates of a search come from: each stream gives numbers of messages in order, by one index.

A stream is written so that only the index that is meant can serve it: `x BETWEEN v AND v ORDER BY x, seq` is
`x = v ORDER BY seq` said in such a way that only an index that begins with x has that order (see 0002_claims).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from core.database import Driver, storable
from core.errors import ConfigError
from core.reading import Wanted, sources
from core.search import values
from core.search.rules import Rule, rules

COUNTED_MOST: Final = 10_000
"""Hits of a key are counted no further than this."""
WORDS_FIRST: Final = 20_000
"""So many messages are looked through for common words before the index of words is asked."""
UNKNOWN_SHARE: Final = 0.1
RANGE: Final = "seq >= %(low)s AND seq < %(high)s"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stream: SQL of candidates with {order}, for the numbers from `low` up to `high`, not included.

    exact  conditions that only this part needs, over `e` (bus.entry) and `m` (bus.message)
    most   at most so many candidates, then the segment behind it takes over (None: no end)
    """

    sql: str
    low: int | None = None
    high: int | None = None
    exact: str = ""
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Candidates of one condition.

    covers    the conditions that need not be looked at again
    estimate  how many candidates there are, roughly
    segments  from the newest numbers to the oldest
    """

    covers: tuple[str, ...]
    estimate: float
    segments: tuple[Segment, ...]


@dataclass(slots=True)
class Plan:
    """conditions: name → SQL over `e` and `m`. matches: how many messages it may be, roughly."""

    stream: Stream
    conditions: dict[str, str]
    values: dict[str, Any] = field(repr=False)
    matches: float = 0.0

    @property
    def beside(self) -> list[str]:
        """What must be looked at besides the stream."""
        return [sql for name, sql in self.conditions.items() if name not in self.stream.covers]


_ALL: Final = f"SELECT seq FROM bus.entry WHERE {RANGE} ORDER BY seq {{order}} LIMIT %(chunk)s"
_QUEUE: Final = (
    f"SELECT seq FROM bus.entry WHERE queue BETWEEN %(queue)s AND %(queue)s AND {RANGE} "
    "ORDER BY queue {order}, seq {order} LIMIT %(chunk)s"
)
_KIND: Final = (
    f"SELECT seq FROM bus.message WHERE kind BETWEEN %(kind)s AND %(kind)s AND {RANGE} "
    "ORDER BY kind {order}, seq {order} LIMIT %(chunk)s"
)
_KEY: Final = (
    "SELECT seq FROM bus.search_key WHERE rule BETWEEN %({rule})s AND %({rule})s AND value BETWEEN %({value})s AND "
    f"%({{value}})s AND {RANGE} ORDER BY rule {{{{order}}}}, value {{{{order}}}}, seq {{{{order}}}} LIMIT %(chunk)s"
)
_WORDS_LOOK: Final = f"SELECT seq FROM bus.search_words WHERE {RANGE} ORDER BY seq {{order}} LIMIT %(chunk)s"
_WORDS: Final = (
    f"SELECT seq FROM (SELECT seq FROM bus.search_words WHERE words @> %(words)s::bigint[] AND {RANGE} OFFSET 0) AS w "
    "ORDER BY seq {order} LIMIT %(chunk)s"
)
_GIVEN: Final = f"SELECT seq FROM unnest(%(given)s::bigint[]) AS g (seq) WHERE {RANGE} ORDER BY seq {{order}}"
_OWN_INDEX: Final = ("ready", "held", "retry", "quarantined", "dropped")
"""States whose messages have an index of (queue, seq) of their own."""
_NEVER_OF: Final = {"handled": "sink", "sent": "route"}
"""A final state → the side whose queues never come to it."""
_NOTHING: Final = f"SELECT seq FROM bus.entry WHERE false AND {RANGE} ORDER BY seq {{order}} LIMIT %(chunk)s"


def plan(db: Driver, wanted: Wanted) -> Plan:
    """The stream with the fewest candidates, and every condition with its SQL. Raises ConfigError."""
    made = Plan(Stream((), 0, (Segment(_ALL),)), {}, {})
    statistics = _Statistics(db)
    offered = [Stream((), statistics.messages, (Segment(_ALL),))]
    made.matches = statistics.messages
    for name, value, column in (("queue", wanted.queue, "e.queue"), ("kind", wanted.kind, "m.kind")):
        if value:
            made.values[name] = storable(value)
            made.conditions[name] = f"{column} = %({name})s"
            share = statistics.share(name, storable(value))
            offered.append(
                Stream((name,), share * statistics.messages, (Segment(_QUEUE if name == "queue" else _KIND),))
            )
            made.matches *= share
    if wanted.state or wanted.reason_like:
        offered += _states(db, wanted, made, statistics)
    if wanted.external_id:
        offered.append(_external(db, wanted, made))
    _keys(db, wanted, made, offered)
    made.stream = min(offered, key=lambda one: one.estimate)
    return made


def _states(db: Driver, wanted: Wanted, made: Plan, statistics: _Statistics) -> list[Stream]:
    """Streams of a state; of a reason: those of all states in which a message may have one."""
    if wanted.reason_like:
        made.values["reason"] = storable(wanted.reason_like)
        made.conditions["reason"] = "position(lower(%(reason)s) IN lower(e.reason)) > 0"
    if wanted.state:
        # A state stands in the text so that the planner may use the state's own partial index.
        made.conditions["state"] = f"e.state = '{wanted.state}'"
        made.matches *= statistics.share("state", wanted.state)
    if wanted.queue and wanted.state in _NEVER_OF and _side(db, wanted.queue) == _NEVER_OF[wanted.state]:
        return [Stream((), 0, (Segment(_NOTHING),))]
    states = [wanted.state] if wanted.state else list(_OWN_INDEX)
    if not set(states) <= set(_OWN_INDEX):
        return []
    estimate = sum(statistics.share("state", one) for one in states) * statistics.messages
    covers = ["state"] if wanted.state else []
    if wanted.queue:
        covers.append("queue")
        estimate *= statistics.share("queue", storable(wanted.queue))
    else:
        made.values["queues"] = _queues(db)
    return [Stream(tuple(covers), estimate, (Segment(_merged([_of_state(one, wanted.queue) for one in states])),))]


def _side(db: Driver, queue: str) -> str:
    row = db.execute("SELECT side FROM bus.queue WHERE name = %s", (storable(queue),)).fetchone()
    return str(row[0]) if row else ""


def _of_state(state: str, queue: str) -> str:
    """Of one queue, or of all."""
    one = (
        f"SELECT seq FROM bus.entry WHERE state = '{state}' AND queue BETWEEN {{queue}} AND {{queue}} AND {RANGE} "
        "ORDER BY queue {{order}}, seq {{order}} LIMIT %(chunk)s"
    )
    if queue:
        return one.format(queue="%(queue)s")
    inner = one.format(queue="q.name")
    return f"SELECT one.seq FROM unnest(%(queues)s::text[]) AS q (name) CROSS JOIN LATERAL ({inner}) AS one"


def _merged(parts: Sequence[str]) -> str:
    together = " UNION ALL ".join(f"({one})" for one in parts)
    return f"SELECT seq FROM ({together}) AS parts ORDER BY seq {{order}} LIMIT %(chunk)s"


def _external(db: Driver, wanted: Wanted, made: Plan) -> Stream:
    """By the id under which it came, or under which it went out."""
    names = [storable(wanted.source)] if wanted.source else sources(db)
    rows = db.execute(_EXTERNAL, {"external_id": storable(wanted.external_id), "sources": names}, prepare=False)
    made.values["given"] = [row[0] for row in rows]
    made.conditions["external_id"] = "e.seq = ANY(%(given)s)"
    made.matches = min(made.matches, len(made.values["given"]))
    return Stream(("external_id",), 0, (Segment(_GIVEN),))


def _keys(db: Driver, wanted: Wanted, made: Plan, offered: list[Stream]) -> None:
    if not (wanted.key or wanted.source or wanted.participant or wanted.search_key or wanted.words):
        return
    known = {one.name: one for one in rules(db)}
    high = _high(db)
    if wanted.key:
        made.values["key"] = storable(wanted.key)
        made.conditions["key"] = "e.key = %(key)s"
        offered.append(_exact_key(db, made, known["key"], "key", storable(wanted.key), high))
    if wanted.source:  # one of those that the index calls participants
        made.values["source"] = storable(wanted.source)
        made.conditions["source"] = "m.source = %(source)s"
        stream = _exact_key(db, made, known["participant"], "source", storable(wanted.source), high)
        offered.append(replace(stream, covers=()))
    if wanted.participant:
        made.values |= {"participant": storable(wanted.participant), "names": list(values.PARTICIPANT_HEADERS)}
        made.conditions["participant"] = (
            "(m.source = %(participant)s OR EXISTS (SELECT FROM unnest(%(names)s::text[]) AS n "
            "WHERE m.headers ->> n = %(participant)s))"
        )
        offered.append(_exact_key(db, made, known["participant"], "participant", storable(wanted.participant), high))
    if wanted.search_key:
        if wanted.search_key not in known or known[wanted.search_key].what != "xpath":
            raise ConfigError(f"Нет ключа поиска «{wanted.search_key}»: выберите его из списка")
        made.values |= {"own_rule": known[wanted.search_key].id, "own_value": values.of_value(wanted.value)}
        made.conditions["search_key"] = (
            "EXISTS (SELECT FROM bus.search_key k WHERE k.rule = %(own_rule)s AND k.value = %(own_value)s "
            "AND k.seq = e.seq OFFSET 0)"
        )
        count = _count(db, made.values["own_rule"], made.values["own_value"])
        made.matches = min(made.matches, count)
        offered.append(Stream(("search_key",), count, (Segment(_KEY.format(rule="own_rule", value="own_value")),)))
    if wanted.words:
        made.values["words"] = values.of_words(wanted.words)
        if not made.values["words"]:
            raise ConfigError("В тексте для поиска нет слов: напишите слово из двух букв или длиннее")
        condition = (
            "EXISTS (SELECT FROM bus.search_words w WHERE w.seq = e.seq AND w.words @> %(words)s::bigint[] OFFSET 0)"
        )
        made.conditions["words"] = condition
        offered.append(
            Stream(
                ("words",),
                _words_estimate(db, made.values["words"]),
                (Segment(_WORDS_LOOK, exact=condition, most=WORDS_FIRST), Segment(_WORDS)),
            )
        )


def _words_estimate(db: Driver, hashes: Sequence[int]) -> float:
    """How many messages have the rarest of these words, as far as the planner knows."""
    row = db.execute(_WORD_STATISTICS).fetchone()
    if row is None or not row[1]:
        return float(row[0]) if row else 0.0
    messages, common, shares = row
    known = dict(zip(common, shares, strict=False))  # behind them stand the least, the greatest, and that of null
    return float(messages * min(known.get(one, shares[len(common)]) for one in hashes))


def _exact_key(db: Driver, made: Plan, rule: Rule, name: str, text: str, high: int) -> Stream:
    """A rule that comes with the bus: where the index has not come yet, the messages themselves are looked at."""
    made.values |= {f"{name}_rule": rule.id, f"{name}_value": values.hashed(text)}
    count = _count(db, rule.id, made.values[f"{name}_value"])
    indexed = _KEY.format(rule=f"{name}_rule", value=f"{name}_value")
    condition = made.conditions[name]
    segments = [Segment(_ALL, low=high + 1, exact=condition)]
    segments.append(Segment(indexed, low=rule.low + 1 if rule.low > 0 else None, high=high + 1))
    if rule.low > 0:
        segments.append(Segment(_ALL, high=rule.low + 1, exact=condition))
    estimate = float(count)
    if count >= COUNTED_MOST:
        estimate = max(estimate, UNKNOWN_SHARE * made.matches)
    elif rule.is_complete:
        made.matches = min(made.matches, count)
    return Stream((name,), estimate, tuple(segments))


def _count(db: Driver, rule: int, value: int) -> int:
    row = db.execute(
        "SELECT count(*) FROM (SELECT FROM bus.search_key WHERE rule = %s AND value = %s LIMIT %s) AS part",
        (rule, value, COUNTED_MOST),
        prepare=False,
    ).fetchone()
    return int(row[0]) if row else 0


def _high(db: Driver) -> int:
    row = db.execute("SELECT high FROM bus.search_cursor").fetchone()
    return int(row[0]) if row else 0


def _queues(db: Driver) -> list[str]:
    """Every queue that has a message, by hops over the index of (queue, seq)."""
    return [row[0] for row in db.execute(_QUEUES)]


class _Statistics:
    """What the planner knows of the tables: shares of values, without counting anything."""

    def __init__(self, db: Driver) -> None:
        row = db.execute("SELECT greatest(reltuples, 1000) FROM pg_class WHERE oid = 'bus.entry'::regclass").fetchone()
        self.messages = float(row[0]) if row else 1000.0
        self._columns: Mapping[str, tuple[float, Sequence[str], Sequence[float]]] = {
            name: (distinct, common or [], shares or []) for name, distinct, common, shares in db.execute(_STATISTICS)
        }

    def share(self, column: str, value: str) -> float:
        if column not in self._columns:
            return UNKNOWN_SHARE
        distinct, common, shares = self._columns[column]
        if value in common:
            return float(shares[list(common).index(value)])
        others = (distinct if distinct > 0 else -distinct * self.messages) - len(common)
        return max(1.0 - sum(shares), 1 / self.messages) / max(others, 1.0)


_STATISTICS: Final = """
SELECT attname, n_distinct, most_common_vals::text::text[], most_common_freqs FROM pg_stats
WHERE schemaname = 'bus' AND (tablename, attname) IN (('entry', 'queue'), ('entry', 'state'), ('message', 'kind'))
"""
_WORD_STATISTICS: Final = """
SELECT greatest(c.reltuples, 0), s.most_common_elems::text::bigint[], s.most_common_elem_freqs
FROM pg_class c LEFT JOIN pg_stats s
  ON s.schemaname = 'bus' AND s.tablename = 'search_words' AND s.attname = 'words'
WHERE c.oid = 'bus.search_words'::regclass
"""
_QUEUES: Final = """
WITH RECURSIVE hop (queue) AS (
    (SELECT queue FROM bus.entry ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT e.queue FROM bus.entry e WHERE e.queue > hop.queue ORDER BY e.queue LIMIT 1)
    FROM hop WHERE hop.queue IS NOT NULL
) SELECT queue FROM hop WHERE queue IS NOT NULL
"""
_EXTERNAL: Final = """
SELECT seq FROM bus.message WHERE external_id = %(external_id)s AND source = ANY(%(sources)s)
UNION
SELECT m.seq FROM bus.outgoing o JOIN bus.message m ON m.id = o.message_id
WHERE o.external_id = %(external_id)s AND o.sink IN (SELECT name FROM bus.queue WHERE side = 'sink')
"""
