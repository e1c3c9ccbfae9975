"""The checker: was anything lost, doubled, put out of order, or left standing?

`check` is a pure function of the evidence, so its own tests plant violations and see that it names them. The rules:

    accepted   everything acknowledged is in the journal, under the id that the sender was told
    handled    everything in the journal took effect exactly once, or is in quarantine with a reason: exactly what
               was poisonous; what is not in the journal has no effect
    sent       everything that was to be sent was received and took effect exactly once
    order      within a key: effects in the order of acceptance, and of what the sender sent one after another
    stuck      nothing waits, no queue rests or is stopped
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from simulators.selftest.cargo import FILES, FIRST_QUEUE, PARTNER, Cargo

RULES: Final = {
    "accepted": "потеряно подтверждённых",
    "handled": "не обработано или обработано не так",
    "doubled": "подействовало дважды",
    "sent": "не дошло до другой стороны",
    "order": "не по порядку",
    "stuck": "застряло",
    "answers": "противоречивых ответов",
}
SHOWN_MOST = 20


@dataclass(frozen=True, slots=True)
class Promised:
    """What a sender knows. acknowledged: the bus has said 202 (or taken the file); began, at: seconds, epoch."""

    cargo: Cargo
    acknowledged: bool
    message_id: str = ""
    began: float = 0.0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Journaled:
    """A row of the journal with its place.

    n          number of the cargo, None when its body holds none
    committed  when its transaction committed, seconds since the epoch
    """

    seq: int
    message_id: str
    n: int | None
    queue: str
    key: str
    state: str
    reason: str = ""
    root: bool = True
    """Came from outside; False: a handler emitted it."""
    committed: float = 0.0


@dataclass(frozen=True, slots=True)
class Effect:
    """A row of selftest_effect."""

    seq: int
    n: int
    step: str


@dataclass
class Evidence:
    """Everything the checker looks at. `received`: sink → numbers of what took effect there, in order."""

    promised: dict[int, Promised] = field(default_factory=dict)
    journal: list[Journaled] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    received: dict[str, list[int]] = field(default_factory=dict)
    standing: list[str] = field(default_factory=list)
    """Queues that are not at work, each a Russian sentence."""
    quarrels: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Violation:
    """rule: a key of RULES; numbers: of the messages concerned; at: when the message was accepted, 0: unknown."""

    rule: str
    text: str
    numbers: tuple[int, ...] = ()
    at: float = 0.0


def check(evidence: Evidence) -> list[Violation]:
    """Every violated rule; [] when the bus has kept its promise."""
    return [
        *_accepted(evidence),
        *_handled(evidence),
        *_sent(evidence),
        *_order(evidence),
        *_stuck(evidence),
        *(Violation("answers", text) for text in evidence.quarrels),
    ]


def _accepted(evidence: Evidence) -> Iterator[Violation]:
    roots: dict[int, list[Journaled]] = defaultdict(list)
    for row in evidence.journal:
        if row.root and row.n is not None:
            roots[row.n].append(row)
    for n, promised in evidence.promised.items():
        rows = roots.get(n, [])
        if promised.acknowledged and not rows:
            yield Violation("accepted", f"№ {n} подтверждён отправителю, в журнале его нет", (n,), promised.at)
        elif promised.message_id and rows and promised.message_id not in {row.message_id for row in rows}:
            text = f"№ {n}: отправителю назван номер {promised.message_id}, в журнале {rows[0].message_id}"
            yield Violation("accepted", text, (n,), promised.at)
        if len(rows) > 1:
            yield Violation("doubled", f"№ {n} записан в журнал {len(rows)} раза", (n,), promised.at)
    for n in roots.keys() - evidence.promised.keys():
        yield Violation("accepted", f"№ {n} в журнале, но никто его не посылал", (n,))


def _handled(evidence: Evidence) -> Iterator[Violation]:
    counts = Counter((effect.n, effect.step) for effect in evidence.effects)
    present = {row.n for row in evidence.journal if row.root}
    states = {row.n: row for row in evidence.journal if row.root and row.queue == FIRST_QUEUE}
    for n, promised in evidence.promised.items():
        if n not in present:
            continue  # not acknowledged either, else _accepted has told
        wanted = promised.cargo.steps
        for step in wanted:
            times = counts[n, step]
            if times == 0:
                place = _place(states.get(n))
                yield Violation("handled", f"№ {n}: шаг {step} не выполнен ({place})", (n,), promised.at)
            elif times > 1:
                yield Violation("doubled", f"№ {n}: шаг {step} выполнен {times} раза", (n,), promised.at)
    for n, step in counts:
        promised_one = evidence.promised.get(n)
        if n not in present or promised_one is None:
            yield Violation("handled", f"№ {n}: шаг {step} выполнен, а в журнале сообщения нет", (n,))
        elif step not in promised_one.cargo.steps:
            yield Violation("handled", f"№ {n}: шаг {step} выполнен, а не должен был", (n,), promised_one.at)
    yield from _quarantined(evidence)


def _quarantined(evidence: Evidence) -> Iterator[Violation]:
    for row in evidence.journal:
        promised = evidence.promised.get(row.n) if row.n is not None else None
        at = promised.at if promised else 0.0
        numbers = (row.n,) if row.n is not None else ()
        poison = promised is not None and promised.cargo.poison and row.root
        if poison and row.state != "quarantined":
            yield Violation("handled", f"№ {row.n} негоден, но не в карантине: {row.state}", numbers, at)
        elif row.state == "quarantined" and not poison:
            yield Violation("handled", f"№ {row.n} в карантине очереди {row.queue} без вины: {row.reason}", numbers, at)
        elif row.state == "quarantined" and not row.reason:
            yield Violation("handled", f"№ {row.n} в карантине без причины", numbers, at)


def _sent(evidence: Evidence) -> Iterator[Violation]:
    present = {row.n for row in evidence.journal if row.root}
    for sink in (PARTNER, FILES):
        counts = Counter(evidence.received.get(sink, []))
        for n, promised in evidence.promised.items():
            due = n in present and sink in promised.cargo.to and not promised.cargo.poison
            if due and not counts[n]:
                yield Violation("sent", f"№ {n} не дошёл до {sink}", (n,), promised.at)
            elif counts[n] > 1:
                yield Violation("doubled", f"№ {n} подействовал в {sink} {counts[n]} раза", (n,), promised.at)
            elif counts[n] and not due:
                yield Violation("sent", f"№ {n} пришёл в {sink}, а не должен был", (n,), promised.at)
        for n in counts.keys() - evidence.promised.keys():
            yield Violation("sent", f"№ {n} пришёл в {sink}, но никто его не посылал", (n,))


def _order(evidence: Evidence) -> Iterator[Violation]:
    rows = sorted(evidence.effects, key=lambda one: one.seq)
    first = [one.n for one in rows if one.step == "first"]
    second = [one.n for one in rows if one.step == "second"]
    yield from _inversions(evidence, first, _acceptance(evidence), "шаг first")
    yield from _inversions(evidence, second, _order_of(first), "шаг second")
    # A far side gets one key's messages from two queues: each has its own order.
    for follows, emitted in ((False, first), (True, second)):
        arrived = [
            n
            for n in evidence.received.get(PARTNER, [])
            if n in evidence.promised and evidence.promised[n].cargo.follow == follows
        ]
        yield from _inversions(evidence, arrived, _order_of(emitted), f"получено {PARTNER}")


Wrong = Callable[[int, int], str]
"""(earlier, later) in fact → why that is wrong, "" when it is right."""


def _acceptance(evidence: Evidence) -> Wrong:
    """Acceptance orders two messages when number and commit in the journal agree: of two that were being accepted at
    the same moment neither is first. What the sender knows about their order counts too."""
    accepted = {row.n: row for row in evidence.journal if row.root and row.n is not None}

    def wrong(earlier: int, later: int) -> str:
        one, other = accepted.get(earlier), accepted.get(later)
        if one and other and one.seq > other.seq and one.committed >= other.committed:
            return "а принят позже"
        sent, acknowledged = evidence.promised.get(earlier), evidence.promised.get(later)
        if sent and acknowledged and acknowledged.acknowledged and sent.began > acknowledged.at > 0:
            return "а послан после его подтверждения"
        return ""

    return wrong


def _order_of(numbers: Sequence[int]) -> Wrong:
    places = {n: place for place, n in reversed(list(enumerate(numbers)))}

    def wrong(earlier: int, later: int) -> str:
        known = earlier in places and later in places
        return "а предыдущий шаг прошёл позже" if known and places[earlier] > places[later] else ""

    return wrong


def _inversions(evidence: Evidence, numbers: Sequence[int], wrong: Wrong, where: str) -> Iterator[Violation]:
    runs: dict[str, list[int]] = defaultdict(list)
    for n in dict.fromkeys(numbers):  # doubles are told elsewhere
        promised = evidence.promised.get(n)
        if promised is not None and promised.cargo.key:
            runs[promised.cargo.key].append(n)
    for key, run in runs.items():
        for earlier, later in itertools.pairwise(run):
            if why := wrong(earlier, later):
                text = f"{where}: ключ {key}, № {earlier} раньше № {later}, {why}"
                yield Violation("order", text, (earlier, later), evidence.promised[later].at)


def _stuck(evidence: Evidence) -> Iterator[Violation]:
    for row in evidence.journal:
        if row.state in ("ready", "retry", "held"):
            promised = evidence.promised.get(row.n) if row.n is not None else None
            numbers = (row.n,) if row.n is not None else ()
            text = f"№ {row.n} стоит в очереди {row.queue}: {row.state}"
            at = promised.at if promised else 0.0
            yield Violation("stuck", f"{text} ({row.reason})" if row.reason else text, numbers, at)
    yield from (Violation("stuck", text) for text in evidence.standing)


def _place(row: Journaled | None) -> str:
    return f"{row.queue}: {row.state}" if row is not None else "нет в очереди"


def tally(violations: Iterable[Violation]) -> dict[str, int]:
    """Rule → how many messages (or sentences) violate it; every rule is there."""
    counts: Counter[str] = Counter()
    for violation in violations:
        counts[violation.rule] += max(1, len(violation.numbers[:1]))
    return {rule: counts[rule] for rule in RULES}


def around(times: Sequence[tuple[float, float, str]], at: float, *, margin_s: float = 5.0) -> list[str]:
    """Faults, given as (begin, end, text), that were under way within `margin_s` of a moment."""
    return [text for begin, end, text in times if begin - margin_s <= at <= end + margin_s]
