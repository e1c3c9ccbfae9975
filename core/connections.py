"""The connectors as people see them: what is set, how the far side stands, what was exchanged.

No secret leaves this module: a value whose name speaks of one is hidden, names of variables and files are shown, and
an address is shown without what stands before its `@`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel

from core import operations
from core.connector import Connector, applications_of, cron_of
from core.database import driver
from core.errors import ConfigError
from core.gauges import Gauges
from core.standing import Standing, standings

if TYPE_CHECKING:
    from core.bus import Bus

STATES: Final[Mapping[str, str]] = {
    "up": "работает",
    "resting": "отдыхает: другая сторона недоступна",
    "down": "не работает",
    "paused": "на паузе",
    "partly": "частично на паузе",
    "off": "выключен в настройках",
}
"""State of a connector → words."""
EXCHANGE_LAST: Final = 2000
"""The statistics of an exchange look at so many last messages of its queue."""
HIDDEN: Final = "скрыто"
_NAMES: Final = ("_file", "_env", "_dir")
_SECRET: Final = re.compile(r"passw|secret|token|credential|api_?key|private|authori[sz]ation|cookie", re.IGNORECASE)
_SECRET_HEADER: Final = re.compile(_SECRET.pattern + r"|key|auth", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connector of the settings.

    state         a key of STATES          why  a Russian sentence, "" when all is well
    sources       its polls                sinks  its queues of what goes out
    prefixes      paths below which others post to us
    certificates  name → whole days left; None: they could not be read
    """

    name: str
    type: str
    state: str
    why: str
    sources: Sequence[Standing]
    sinks: Sequence[Standing]
    prefixes: Sequence[str] = ()
    certificates: Mapping[str, int] | None = None

    @property
    def words(self) -> str:
        """Its state in Russian."""
        return STATES[self.state]

    @property
    def parts(self) -> Sequence[Standing]:
        return [*self.sources, *self.sinks]

    @property
    def polled_at(self) -> datetime | None:
        return max((one.row.polled_at for one in self.sources if one.row.polled_at), default=None)

    @property
    def soonest_days(self) -> int | None:
        """Days until the first of its certificates ends; None: it has none."""
        return min((self.certificates or {}).values(), default=None)


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting for people. given: it stands in the settings file, else it is the connector's own default."""

    name: str
    value: str
    given: bool


@dataclass(frozen=True, slots=True)
class Poll:
    """A source. how: when it is polled, Russian."""

    standing: Standing
    how: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """What went out through a sink and what came back, of the last `looked` messages put into it.

    since     when the oldest of these was accepted
    prepared  got an id and bytes       confirmed  the far side has them      repeated  sent more than once
    answers   outcome → how many: answer, rejection, failure, timeout
    awaiting  an answer is still awaited, of all messages; overdue: their term is over
    last_at   when the far side confirmed the last one
    """

    looked: int
    since: datetime | None
    prepared: int
    confirmed: int
    repeated: int
    answers: Mapping[str, int]
    awaiting: int
    overdue: int
    last_at: datetime | None


def connections(
    bus: Bus, gauges: Gauges | None = None, known: Mapping[str, Standing] | None = None
) -> list[Connection]:
    """Every connector of the settings, those that are switched off too. Raises Unavailable."""
    gauges = gauges or bus.watched.recent()
    known = standings(bus, gauges) if known is None else known
    names = [*bus.lines, *(name for name in bus.settings.connectors if name not in bus.lines)]
    return [_connection(bus, name, gauges, known) for name in names]


def connection(bus: Bus, name: str) -> Connection:
    """Raises ConfigError when there is none of that name."""
    _known(bus, name)
    gauges = bus.watched.recent()
    return _connection(bus, name, gauges, standings(bus, gauges))


def polls(bus: Bus, connection: Connection) -> list[Poll]:
    """Its sources with when they are polled."""
    found = []
    for standing in connection.sources:
        source = bus.sources[standing.name]
        cron = cron_of(source)
        how = f"по расписанию {cron}" if cron else f"через {source.interval_s:g} с после пустого ответа"
        found.append(Poll(standing, how))
    return found


def settings(bus: Bus, name: str) -> list[Shown]:
    """Its settings, flattened (`inbox.folder`), secrets hidden."""
    _known(bus, name)
    given = dict(_leaves(bus.settings.connectors.get(name, {})))
    values = given
    model = getattr(bus.lines[name].connector, "settings", None) if name in bus.lines else None
    if isinstance(model, BaseModel):
        values = dict(_leaves(model.model_dump(mode="json", by_alias=True)))
    shown = [Shown(one, shown_value(one, value), one in given) for one, value in values.items()]
    return sorted(shown, key=lambda one: not one.given)


def exchange(bus: Bus, sink: str) -> Exchange:
    """Statistics of a sink. Raises Unavailable."""
    with bus.database.transaction(durable=False) as connection:
        db = driver(connection)
        row = db.execute(_EXCHANGE, {"sink": sink, "last": EXCHANGE_LAST}).fetchone()
        awaited = db.execute(_AWAITED, {"sink": sink, "most": 100_000}).fetchone()
    assert row is not None
    assert awaited is not None
    looked, since, prepared, confirmed, repeated, last_at, *answers = row
    named = dict(zip(("answer", "rejection", "failure", "timeout"), answers, strict=True))
    return Exchange(looked, since, prepared, confirmed, repeated, named, awaited[0], awaited[1], last_at)


def waiting_there(bus: Bus, name: str) -> Mapping[str, int]:
    """Queue at the far side → messages that wait there for us, as this process was last told; {} when it was not."""
    line = bus.lines.get(name)
    told: Mapping[str, int] = getattr(line.connector, "queue_statistics", {}) if line else {}
    return told


def set_state(bus: Bus, name: str, state: str, *, actor: str, reason: str = "") -> int:
    """Pause or resume all sources and sinks of a connector; how many. Raises ConfigError."""
    _known(bus, name)
    line = bus.lines.get(name)
    parts = [*line.connector.sources, *line.connector.sinks] if line else []
    if not parts:
        raise ConfigError(
            f"У коннектора {name} нет ни опроса, ни отправки: приём по HTTP останавливают в его настройках"
        )
    for part in parts:
        operations.set_state(bus, part, state, actor=actor, reason=reason)
    return len(parts)


def shown_value(name: str, value: Any) -> str:
    """The value as it may be seen."""
    *above, last = re.sub(r"\[\d+\]", "", name).split(".")
    if value in ("", None):
        return "не задано"
    secret = _SECRET_HEADER if "headers" in above else _SECRET
    if not last.endswith(_NAMES) and secret.search(last):
        return HIDDEN
    if isinstance(value, bool):
        return "да" if value else "нет"
    text = str(value)
    return _bare(text) if "://" in text else text


def _bare(address: str) -> str:
    """An address without what may be a password."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return HIDDEN
    query = urlencode(
        [(key, HIDDEN if _SECRET_HEADER.search(key) else value) for key, value in parse_qsl(parts.query)], safe="/:"
    )
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, query, parts.fragment))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _leaves(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for place, one in enumerate(value):
            yield from _leaves(one, f"{name}[{place}]")
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value == {} else value


def _connection(bus: Bus, name: str, gauges: Gauges, known: Mapping[str, Standing]) -> Connection:
    line = bus.lines.get(name)
    kind = str(bus.settings.connectors.get(name, {}).get("type", name))
    if line is None:
        return Connection(name, kind, "off", "", (), ())
    connector: Connector = line.connector
    sources = [known[one] for one in connector.sources if one in known]
    sinks = [known[one] for one in connector.sinks if one in known]
    state, why = _state([*sources, *sinks])
    days = {certificate: left for (owner, certificate), left in gauges.certificates.items() if owner == name}
    return Connection(
        name,
        kind,
        state,
        why,
        sources,
        sinks,
        tuple(applications_of(connector, bus.intake)),
        None if name in gauges.unread else days,
    )


def _state(parts: Sequence[Standing]) -> tuple[str, str]:
    for mode, state in (("stopped", "down"), ("orphan", "down"), ("failing", "down"), ("resting", "resting")):
        for one in parts:
            if one.mode == mode:
                return state, f"{one.name}: {one.why}" if one.why else ""
    paused = [one for one in parts if one.mode == "paused"]
    if not paused:
        return "up", ""
    return ("paused" if len(paused) == len(parts) else "partly"), paused[0].why


def _known(bus: Bus, name: str) -> None:
    if name not in bus.lines and name not in bus.settings.connectors:
        raise ConfigError(f"Нет коннектора {name}: его переименовали или убрали из настроек")


_EXCHANGE: Final = """
WITH last AS MATERIALIZED (
    SELECT seq, message_id FROM bus.entry WHERE queue = %(sink)s ORDER BY seq DESC LIMIT %(last)s
)
SELECT count(*), (SELECT accepted_at FROM bus.message WHERE seq = min(last.seq)), count(o.message_id),
       count(o.confirmed_at), count(*) FILTER (WHERE o.sends > 1), max(o.confirmed_at),
       count(*) FILTER (WHERE o.answer = 'answer'), count(*) FILTER (WHERE o.answer = 'rejection'),
       count(*) FILTER (WHERE o.answer = 'failure'), count(*) FILTER (WHERE o.answer = 'timeout')
FROM last LEFT JOIN bus.outgoing o ON o.message_id = last.message_id AND o.sink = %(sink)s
"""
_AWAITED: Final = """
SELECT count(*), count(*) FILTER (WHERE answer_due_at <= clock_timestamp()) FROM (
    SELECT answer_due_at FROM bus.outgoing
    WHERE answered_at IS NULL AND answer_due_at IS NOT NULL AND sink = %(sink)s LIMIT %(most)s) AS part
"""
