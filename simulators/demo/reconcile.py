"""The account: what the far side knows against what the journal and the registry know. Nothing is taken on trust."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from core.database import Database, Driver, driver
from simulators.demo.scenario import FUND, Sent
from simulators.smev3.control import SimulatorControl

FORGED = "SignatureRejected"
KINDS = {
    "zags.birth": "ЗАГС: рождение",
    "zags.death": "ЗАГС: смерть",
    "fns.egrul": "ФНС: ЕГРЮЛ",
    "sfr.snils": "СФР: СНИЛС",
    "ffoms.services": "Медицинские услуги",
}


@dataclass
class Row:
    """One kind. Messages as the far side counts them; handled and quarantined count them and their records."""

    title: str
    sent: int = 0
    received: int = 0
    verified: int = 0
    handled: int = 0
    answered: int = 0
    acknowledged: int = 0
    quarantined: int = 0
    repeats: int = 0
    asked: int = 0


@dataclass(frozen=True)
class Check:
    """One equation of the reconciliation."""

    what: str
    expected: int
    actual: int

    @property
    def ok(self) -> bool:
        return self.expected == self.actual


@dataclass
class Account:
    """The whole reckoning. `ok` only when every equation holds."""

    kinds: dict[str, Row] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    messages: int = 0
    """All messages in the journal."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "messages": self.messages,
            "seconds": round(self.seconds, 1),
            "kinds": {name: asdict(row) for name, row in self.kinds.items()},
            "checks": [asdict(check) | {"ok": check.ok} for check in self.checks],
            "faults": self.faults,
        }


def settled(smev: SimulatorControl, database: Database) -> bool:
    """Nothing is under way any more, on either side."""
    with database.transaction() as connection:
        busy = driver(connection).execute(_BUSY).fetchone()
    assert busy is not None
    totals = smev.summary()["totals"]
    return not any(busy) and not totals["open_entries"] and not totals["pending_validation"]


def handled(database: Database) -> int:
    """Messages that the bus is done with so far."""
    with database.transaction() as connection:
        return _one(driver(connection), "SELECT count(*) FROM bus.entry WHERE state IN ('handled', 'sent')")


def reckon(smev: SimulatorControl, database: Database, sent: Sent) -> Account:
    """Compare both sides, message by message."""
    account = Account(
        kinds={name: Row(title) for name, title in KINDS.items()},
        faults=list(sent.faults),
    )
    to_fund = [one for one in smev.messages(recipient=FUND) if one["sender"] != FUND]
    from_fund = list(smev.messages(sender=FUND))
    with database.transaction() as connection:
        db = driver(connection)
        account.messages = _one(db, "SELECT count(*) FROM bus.message")
        rows = db.execute(_JOURNAL).fetchall()
        forged = {row[0] for row in rows if row[2] == FORGED}
        # A forgery of a message whose true copy came as well counts as a forgery, not instead of the true one.
        journal = {row[0]: row[1:] for row in sorted(rows, key=lambda row: row[2] != FORGED)}
        for message in to_fund:
            found = journal.get(message["message_id"])
            _count(account.kinds[message["kind"]], message, found)
            if found and found[1] != FORGED and message["message_id"] in forged:
                account.kinds[message["kind"]].quarantined += 1
        for message in from_fund:
            if message["kind"] == "sfr.snils" and message["what"] == "request":
                account.kinds["sfr.snils"].asked += 1
        account.checks = [
            *_both_sides(db, to_fund, from_fund, journal, forged),
            *_effects(db, sent, journal, forged),
            *_answers(to_fund, journal, sent),
        ]
    return account


def _count(row: Row, message: dict[str, Any], found: tuple[Any, ...] | None) -> None:
    row.sent += 1
    row.answered += len(message["answers"])
    row.acknowledged += any(entry["accepted"] is not None for entry in message["entries"])
    if found is None:
        return
    state, error, repeats, children_handled, children_quarantined = found
    row.received += 1
    row.verified += error != FORGED
    row.handled += (state == "handled") + children_handled
    row.quarantined += (state == "quarantined") + children_quarantined
    row.repeats += repeats


def _both_sides(
    db: Driver,
    to_fund: list[dict[str, Any]],
    from_fund: list[dict[str, Any]],
    journal: dict[str, tuple[Any, ...]],
    forged: set[str],
) -> list[Check]:
    ids = {message["message_id"] for message in to_fund}
    finished = [one for one in ids if one in journal and journal[one][0] in ("handled", "quarantined")]
    refused = {m["message_id"] for m in to_fund if any(ack["accepted"] is False for ack in m["acknowledgements"])}
    confirmed = {row[0] for row in db.execute("SELECT external_id FROM bus.outgoing WHERE confirmed_at IS NOT NULL")}
    unconfirmed = _one(db, "SELECT count(*) FROM bus.outgoing WHERE confirmed_at IS NULL")
    theirs = [message["message_id"] for message in from_fund]
    unacknowledged = [m for m in to_fund if any(e["accepted"] is None for e in m["entries"])]
    records = _one(db, "SELECT count(*) FROM bus.entry WHERE queue IN ('zags.birth', 'zags.death')")
    settled_records = _one(
        db,
        "SELECT count(*) FROM bus.entry WHERE queue IN ('zags.birth', 'zags.death') "
        "AND state IN ('handled', 'quarantined')",
    )
    return [
        Check("отправлено нам = принято в журнал", len(ids), len(ids & journal.keys())),
        Check("в журнале нет сообщений, которых никто не слал", 0, len(journal.keys() - ids)),
        Check("принято = обработано или в карантине", len(ids), len(finished)),
        Check("записей из рассылок = обработано или в карантине", records, settled_records),
        Check("не подтверждено СМЭВ", 0, len(unacknowledged)),
        Check("отклонено подтверждением = подпись неверна", len(forged), len(refused & forged)),
        Check("отправлено нами = принято другой стороной", len(confirmed), len(confirmed & set(theirs))),
        Check("другая сторона приняла ровно столько, без двойных", len(confirmed), len(theirs)),
        Check("отправлено без подтверждения", 0, unconfirmed),
    ]


def _answers(to_fund: list[dict[str, Any]], journal: dict[str, tuple[Any, ...]], sent: Sent) -> list[Check]:
    """Who waits for an answer has one; every record of a notice is answered by itself."""
    citizens = [one["answers"] for one in to_fund if one["kind"] == "ffoms.services"]
    contents = [answers[0]["content"] for answers in citizens if len(answers) == 1]
    notices = [one for one in to_fund if one["kind"].startswith("zags.")]
    records = sum(journal[one["message_id"]][3] for one in notices if one["message_id"] in journal)
    return [
        Check("граждан, получивших список услуг", sent.with_services, contents.count("content")),
        Check("граждан, получивших отказ «нет сведений»", sent.without_services, contents.count("rejected")),
        Check("записей ЗАГС обработано = получили ответ", records, sum(len(one["answers"]) for one in notices)),
    ]


def _effects(db: Driver, sent: Sent, journal: dict[str, tuple[Any, ...]], forged: set[str]) -> list[Check]:
    """What must stand in the registry, and how often: once."""
    quarantined = _one(
        db, "SELECT count(*) FROM bus.entry WHERE queue IN ('zags.birth', 'zags.death') AND state = 'quarantined'"
    )
    asked = _one(db, "SELECT count(*) FROM bus.message WHERE kind = 'sfr.snils.ask'")
    ended = _one(db, "SELECT count(*) FROM sfr.snils_request WHERE state <> 'asked'")
    orphans = _one(db, "SELECT count(*) FROM bus.entry WHERE queue = 'unknown'")
    deaths = _one(db, "SELECT count(*) FROM erz.death_record")
    births = _one(db, "SELECT count(*) FROM erz.birth_record")
    organizations = _one(db, "SELECT count(*) FROM fns.organization")
    # Of a message of which only a forgery came nothing may take effect.
    believed = [numbers for one, numbers in sent.organizations.items() if journal.get(one, ("", ""))[1] != FORGED]
    return [
        Check("записей не по схеме в карантине", sent.bad_records, quarantined),
        Check("вопросов о СНИЛС задано = получили исход", asked, ended),
        Check("ответов, чей вопрос не нашёлся", 0, orphans - len(forged)),
        Check("подделано сообщений = в карантине по подписи", 1, len(forged)),
        Check("записей о смерти в реестре, каждая один раз", sent.deaths, deaths),
        Check("записей о рождении в реестре, каждая один раз", sent.births, births),
        Check("без ответа остались только вопросы о Молчуновых", sent.silent, _one(db, _TIMEOUTS)),
        Check("организаций в реестре, каждая один раз", len(set().union(*believed)), organizations),
    ]


def _one(db: Driver, sql: str) -> int:
    row = db.execute(sql).fetchone()
    return int(row[0]) if row else 0


_TIMEOUTS = "SELECT count(*) FROM bus.message WHERE outcome = 'timeout'"

_BUSY = """
SELECT EXISTS (SELECT 1 FROM bus.entry WHERE state IN ('ready', 'retry')),
       EXISTS (SELECT 1 FROM bus.outgoing WHERE confirmed_at IS NULL),
       EXISTS (SELECT 1 FROM bus.outgoing WHERE answer_due_at IS NOT NULL AND answered_at IS NULL)
"""

_JOURNAL = """
SELECT coalesce(m.headers->>'smev.message_id', m.external_id), e.state, e.error,
       (SELECT count(*) FROM bus.event v WHERE v.message_id = m.id AND v.stage = 'repeated'),
       (SELECT count(*) FROM bus.message c JOIN bus.entry ce ON ce.message_id = c.id
        WHERE c.cause = m.id AND ce.queue IN ('zags.birth', 'zags.death') AND ce.state = 'handled'),
       (SELECT count(*) FROM bus.message c JOIN bus.entry ce ON ce.message_id = c.id
        WHERE c.cause = m.id AND ce.queue IN ('zags.birth', 'zags.death') AND ce.state = 'quarantined')
FROM bus.message m JOIN bus.entry e ON e.message_id = m.id WHERE m.source = 'smev'
"""
