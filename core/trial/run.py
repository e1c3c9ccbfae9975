"""One trial run: which messages, both ways for each, and the account of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from core import audit
from core.database import driver
from core.errors import BusError, ConfigError
from core.message import Message
from core.route import Format, Route
from core.trial.candidate import Candidate
from core.trial.comparing import Comparison, Outcome, changes
from core.trial.differences import Group, Groups

if TYPE_CHECKING:
    from core.bus import Bus

LAST_MOST: Final = 1000
SCANNED_MOST: Final = 20_000
"""So many messages of the kind are looked through for those of the format."""
BODY_MOST_BYTES: Final = 8 * 1024 * 1024
RUN_MOST_S: Final = 300.0
BROKEN_MOST: Final = 3
"""After so many kills of the child the run ends: the rest would not go better."""
KEPT_MOST: Final = 200
KEPT_MOST_BYTES: Final = 32 * 1024 * 1024
"""Documents whose results are kept for a closer look."""
VERDICTS: Final = ("newly fails", "newly passes", "fails otherwise")
_PAGE: Final = 50
_DIGITS: Final = re.compile(r"\d+")


@dataclass(slots=True)
class Failure:
    """Outcomes that are alike: the same stage and the same reason but for its numbers.

    verdict: one of VERDICTS
    """

    verdict: str
    stage: str
    reason: str
    messages: int = 0
    examples: list[tuple[UUID, str]] = field(default_factory=list)
    """(message, detail, which may hold personal data)"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both outcomes of a message whose outcomes differ."""

    old: Outcome
    new: Outcome


@dataclass(slots=True)
class Account:
    """How it went. Written by the run's thread only; readers may be a document behind.

    wanted     so many messages at most             done     compared
    same, differ, newly_fails, newly_passes, fails_alike, fails_otherwise  add up to done
    skipped    too long, or their contents are removed after their term
    """

    wanted: int
    done: int = 0
    same: int = 0
    differ: int = 0
    newly_fails: int = 0
    newly_passes: int = 0
    fails_alike: int = 0
    fails_otherwise: int = 0
    skipped: int = 0
    stopped_because: str = ""
    took_s: float = 0.0
    groups: Groups = field(default_factory=Groups)
    failures: dict[tuple[str, str, str], Failure] = field(default_factory=dict)
    kept: dict[UUID, Pair] = field(default_factory=dict, repr=False)
    kept_bytes: int = 0

    @property
    def clean(self) -> bool:
        """Nothing would change for these messages, and all of them were tried."""
        return self.done == self.same + self.fails_alike and not self.stopped_because

    def differences(self) -> list[Group]:
        return self.groups.all()

    def failed(self) -> list[Failure]:
        """What stops passing first, the most frequent first."""
        return sorted(self.failures.values(), key=lambda one: (VERDICTS.index(one.verdict), -one.messages))


def find(bus: Bus, kind: str, version: str = "") -> tuple[Route, Format]:
    """The route and the format that are tried. version "": the only one, or the newest. Raises ConfigError."""
    route = bus.routes.by_name.get(kind)
    if route is None or not route.formats:
        known = ", ".join(sorted(name for name, one in bus.routes.by_name.items() if one.formats))
        raise ConfigError(f"Нет вида сведений с документами {kind[:60]}. Есть: {known or 'ни одного'}")
    for form in route.formats if version else route.formats[-1:]:
        if version in ("", form.version):
            return route, form
    raise ConfigError(f"У вида {kind} нет версии {version[:40]}: {', '.join(one.version for one in route.formats)}")


def note(bus: Bus, kind: str, form: Format, candidate: Candidate, last: int, *, actor: str) -> None:
    """The one thing that a trial run writes: who tries what, before any message is read."""
    said = f"Пробный прогон {kind} {form.version}: {candidate.title}, последних сообщений: {last}"
    detail = {"version": form.version, "files": candidate.title, "sha256": candidate.digest, "last": last}
    with bus.database.transaction() as connection:
        audit.record(driver(connection), actor, "trial.run", "kind", kind, said, detail)


def seen(bus: Bus, kind: str, messages: Sequence[str], *, actor: str) -> None:
    """A person looks at values of these messages in the differences; noted before they are shown."""
    said = f"Просмотр: отличия в пробном прогоне, сообщений: {len(messages)}"
    with bus.database.transaction() as connection:
        detail = {"messages": list(messages[:LAST_MOST])}
        audit.record(driver(connection), actor, "message.viewed", "kind", kind, said, detail)


def run(
    bus: Bus,
    route: Route,
    form: Format,
    candidate: Candidate,
    account: Account,
    stopping: threading.Event | None = None,
) -> None:
    """Try it on the last `account.wanted` messages; the account is filled as it goes. Nothing is written.

    Raises ConfigError when what is tried does not compile, Unavailable when the database is away.
    """
    comparison = Comparison(route, form, candidate)
    began = time.monotonic()
    try:
        comparison.open()
        for message in _messages(bus, route, comparison, account):
            if stopping and stopping.is_set():
                account.stopped_because = "остановлен"
            elif time.monotonic() - began > RUN_MOST_S:
                account.stopped_because = f"прошло {RUN_MOST_S / 60:.0f} минут"
            elif comparison.broken >= BROKEN_MOST:
                account.stopped_because = f"новую версию пришлось прервать {BROKEN_MOST} раза"
            if account.stopped_because:
                break
            _count(account, message.id, comparison.old(message.body), comparison.new(message.body))
            account.took_s = time.monotonic() - began
    finally:
        comparison.close()
        account.took_s = time.monotonic() - began


def _count(account: Account, message_id: UUID, old: Outcome, new: Outcome) -> None:
    if old.failed and new.failed:
        if (old.stage, _bare(old.reason)) == (new.stage, _bare(new.reason)):
            account.fails_alike += 1
        else:
            account.fails_otherwise += 1
            _fail(account, "fails otherwise", message_id, new)
    elif new.failed:
        account.newly_fails += 1
        _fail(account, "newly fails", message_id, new)
    elif old.failed:
        account.newly_passes += 1
        _fail(account, "newly passes", message_id, old)
    else:
        found = changes(old, new)
        account.same += not found
        account.differ += bool(found)
        account.groups.add(message_id, found)
        if found:
            _keep(account, message_id, Pair(old, new))
    if old.failed != new.failed:
        _keep(account, message_id, Pair(old, new))
    account.done += 1


def _fail(account: Account, verdict: str, message_id: UUID, outcome: Outcome) -> None:
    key = (verdict, outcome.stage, _bare(outcome.reason))
    failure = account.failures.get(key)
    if failure is None:
        if len(account.failures) >= KEPT_MOST:
            return
        failure = account.failures[key] = Failure(verdict, outcome.stage, outcome.reason)
    failure.messages += 1
    if len(failure.examples) < 5:
        failure.examples.append((message_id, outcome.detail[:2000]))


def _bare(reason: str) -> str:
    return _DIGITS.sub("#", reason)


def _keep(account: Account, message_id: UUID, pair: Pair) -> None:
    octets = len(pair.old.output or b"") + len(pair.new.output or b"")
    if len(account.kept) < KEPT_MOST and account.kept_bytes + octets <= KEPT_MOST_BYTES:
        account.kept[message_id] = pair
        account.kept_bytes += octets


def _messages(bus: Bus, route: Route, comparison: Comparison, account: Account) -> Iterator[Message]:
    """The last ones of this kind and format, the newest first, page by page on the index (kind, seq)."""
    before: int | None = None
    given = scanned = 0
    while given < account.wanted and scanned < SCANNED_MOST:
        with bus.database.transaction(durable=False) as connection:
            db = driver(connection)
            rows = db.execute(_LAST, {"kind": route.name, "before": before, "page": _PAGE}).fetchall()
            page = []
            for seq, message_id, octets in rows:
                before = seq
                scanned += 1
                if octets > BODY_MOST_BYTES:
                    account.skipped += 1
                    continue
                try:
                    page += bus.journal.load(db, [message_id])
                except BusError:  # removed after its term, or its payload is lost
                    account.skipped += 1
        if not rows:
            return
        for message in page:
            if comparison.is_of_this_format(message):
                given += 1
                yield message
                if given >= account.wanted:
                    return


_LAST: Final = """
SELECT m.seq, m.id, coalesce(octet_length(m.body), p.size_bytes, 0) FROM bus.message m
LEFT JOIN bus.payload p ON p.sha256 = m.body_payload
WHERE m.kind = %(kind)s AND m.outcome IN ('request', 'answer') AND (%(before)s::bigint IS NULL OR m.seq < %(before)s)
ORDER BY m.seq DESC LIMIT %(page)s
"""
