"""The book of alerts: bus.alert (one row from the beginning to the end of something wrong) and bus.alert_notice.

What is decided and what must be told are written in one transaction; a notice is struck off after its channel has
taken it. So a crash in between costs nothing but, at worst, a repeated mail, and a restart tells nothing anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from core.alerting.rules import Finding, Judgement
from core.alerting.settings import AlertSettings, Severity
from core.database import Database, Driver, driver, storable

KEPT: Final = timedelta(days=90)
"""How long an alert that is over stays in the book."""
TOLD_AT_ONCE_MOST: Final = 200
"""Notices in one message of a channel; the rest follows in the next one."""
RANKS: Final[Mapping[str, int]] = {"warning": 0, "critical": 1}


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of bus.alert. fired_at: since it is told of; None while it has not lasted long enough."""

    id: int
    rule: str
    subject: str
    severity: Severity
    text: str
    advice: str
    value: float
    since: datetime
    seen_at: datetime
    fired_at: datetime | None
    told_at: datetime | None
    told_value: float | None
    over_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a channel has to tell. what: began | worse | again | over."""

    id: int
    what: str
    made_at: datetime
    attempts: int
    alert: Alert


class Book:
    """All decisions about what is told, when and by which channel. One leader of the cluster writes.

    channels  name → the least severity that it wants
    """

    def __init__(self, settings: AlertSettings, channels: Mapping[str, Severity]) -> None:
        self._settings = settings
        self._channels = channels

    def note(self, db: Driver, judgement: Judgement, now: datetime) -> None:
        """Compare what is wrong with what the book says, and write down what is to be told."""
        rows = db.execute(f"SELECT {_ALERT} FROM bus.alert WHERE over_at IS NULL FOR UPDATE").fetchall()
        known = {(row[1], row[2]): Alert(*row) for row in rows}
        for finding in judgement.findings:
            alert = known.pop((finding.rule, finding.subject), None)
            self._found(db, finding, alert or self._begin(db, finding, now), now)
        for (rule, subject), alert in known.items():
            if not any(rule == one and subject.startswith(start) for one, start in judgement.unknown):
                self._not_found(db, alert, now)

    def _begin(self, db: Driver, finding: Finding, now: datetime) -> Alert:
        row = db.execute(
            "INSERT INTO bus.alert (rule, subject, severity, text, advice, value, since, seen_at) "
            f"VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING {_ALERT}",
            (
                finding.rule,
                storable(finding.subject),
                finding.severity,
                storable(finding.text),
                storable(finding.advice),
                finding.value,
                now,
                now,
            ),
        ).fetchone()
        assert row is not None
        return Alert(*row)

    def _found(self, db: Driver, finding: Finding, alert: Alert, now: datetime) -> None:
        db.execute(
            "UPDATE bus.alert SET severity = %s, text = %s, advice = %s, value = %s, seen_at = %s WHERE id = %s",
            (finding.severity, storable(finding.text), storable(finding.advice), finding.value, now, alert.id),
        )
        if alert.fired_at is None:
            if (now - alert.since).total_seconds() >= finding.lasts_s:
                db.execute("UPDATE bus.alert SET fired_at = %s WHERE id = %s", (now, alert.id))
                self._tell(db, alert, "began", finding.severity, finding.value, now)
            return
        told_s = (now - (alert.told_at or alert.fired_at)).total_seconds()
        grown = finding.again_s is not None and finding.value > (alert.told_value or 0) and told_s >= finding.again_s
        if grown or RANKS[finding.severity] > RANKS[alert.severity]:
            self._tell(db, alert, "worse", finding.severity, finding.value, now)
        elif told_s >= self._settings.repeat_h * 3600:
            self._tell(db, alert, "again", finding.severity, finding.value, now)

    def _not_found(self, db: Driver, alert: Alert, now: datetime) -> None:
        if alert.fired_at is None:
            db.execute("DELETE FROM bus.alert WHERE id = %s", (alert.id,))
        elif (now - alert.seen_at).total_seconds() >= self._settings.clear_s:
            db.execute("UPDATE bus.alert SET over_at = %s WHERE id = %s", (now, alert.id))
            self._tell(db, alert, "over", alert.severity, alert.value, now)

    def _tell(self, db: Driver, alert: Alert, what: str, severity: Severity, value: float, now: datetime) -> None:
        channels = [name for name, least in self._channels.items() if RANKS[severity] >= RANKS[least]]
        if what == "over":  # whoever heard of the beginning hears of the end
            rows = db.execute("SELECT DISTINCT channel FROM bus.alert_notice WHERE alert_id = %s", (alert.id,))
            channels = [row[0] for row in rows if row[0] in self._channels]
        due = now if severity == "critical" else quiet_until(self._settings, now)
        for channel in channels:
            db.execute(
                "INSERT INTO bus.alert_notice (alert_id, channel, what, made_at, due_at) VALUES (%s, %s, %s, %s, %s)",
                (alert.id, channel, what, now, due),
            )
        db.execute("UPDATE bus.alert SET told_at = %s, told_value = %s WHERE id = %s", (now, value, alert.id))

    def due(self, db: Driver, channel: str, now: datetime) -> list[Notice]:
        """What the channel has to tell now, oldest first.

        Nothing within `gap_s` of its last message, nothing while it rests after a failure.
        """
        rests = db.execute(_RESTS, {"channel": channel, "now": now, "gap_s": self._settings.gap_s}).fetchone()
        if rests and rests[0]:
            return []
        rows = db.execute(_DUE, {"channel": channel, "now": now, "most": TOLD_AT_ONCE_MOST}).fetchall()
        return [Notice(row[0], row[1], row[2], row[3], Alert(*row[4:])) for row in rows]


def told(db: Driver, notices: Sequence[Notice], now: datetime) -> None:
    """The channel has taken them."""
    db.execute(
        "UPDATE bus.alert_notice SET sent_at = %s, attempts = attempts + 1, failure = '' WHERE id = ANY(%s)",
        (now, [one.id for one in notices]),
    )


def not_told(db: Driver, notices: Sequence[Notice], again_at: datetime, reason: str) -> None:
    """The channel is away: all of them again at `again_at`."""
    db.execute(
        "UPDATE bus.alert_notice SET due_at = %s, attempts = attempts + 1, failure = %s WHERE id = ANY(%s)",
        (again_at, storable(reason), [one.id for one in notices]),
    )


def forget(db: Driver, channels: Iterable[str], now: datetime) -> None:
    """Delete what was over long ago, and notices of channels that are configured no more."""
    db.execute("DELETE FROM bus.alert WHERE over_at < %s", (now - KEPT,))
    db.execute("DELETE FROM bus.alert_notice WHERE sent_at IS NULL AND NOT channel = ANY(%s)", (list(channels),))


def alerts(database: Database, *, over_most: int = 20) -> list[Alert]:
    """Those that last, the gravest and oldest first; then the last ones that are over."""
    with database.transaction() as connection:
        db = driver(connection)
        lasting = db.execute(
            f"SELECT {_ALERT} FROM bus.alert WHERE over_at IS NULL AND fired_at IS NOT NULL "
            "ORDER BY severity <> 'critical', since"
        ).fetchall()
        over = db.execute(
            f"SELECT {_ALERT} FROM bus.alert WHERE over_at IS NOT NULL ORDER BY over_at DESC LIMIT %s", (over_most,)
        ).fetchall()
        return [Alert(*row) for row in (*lasting, *over)]


def troubles(database: Database) -> list[tuple[str, int, str]]:
    """(channel, notices that wait, why) of channels that did not take the last ones."""
    with database.transaction() as connection:
        return [
            (str(row[0]), int(row[1]), str(row[2]))
            for row in driver(connection).execute(
                "SELECT channel, count(*), max(failure) FROM bus.alert_notice "
                "WHERE sent_at IS NULL AND attempts > 0 GROUP BY channel ORDER BY channel"
            )
        ]


def quiet_until(settings: AlertSettings, now: datetime) -> datetime:
    """The end of the quiet time if it is quiet now, else now."""
    if settings.quiet is None:
        return now
    begins, ends = settings.quiet
    local = now.astimezone(ZoneInfo(settings.timezone))
    clock = local.time()
    quiet = begins <= clock < ends if begins <= ends else clock >= begins or clock < ends
    if not quiet:
        return now
    day = local.date() + timedelta(days=1 if clock >= ends else 0)
    return datetime.combine(day, ends, ZoneInfo(settings.timezone))


def _columns(table: str) -> str:
    return ", ".join(f"{table}.{one.name}" for one in fields(Alert))


_ALERT: Final = _columns("alert")
_RESTS: Final = """
SELECT EXISTS (SELECT 1 FROM bus.alert_notice WHERE channel = %(channel)s
               AND sent_at > %(now)s::timestamptz - make_interval(secs => %(gap_s)s))
    OR EXISTS (SELECT 1 FROM bus.alert_notice WHERE channel = %(channel)s AND sent_at IS NULL AND attempts > 0
               AND due_at > %(now)s)
"""
_DUE: Final = f"""
SELECT n.id, n.what, n.made_at, n.attempts, {_columns("a")}
FROM bus.alert_notice n JOIN bus.alert a ON a.id = n.alert_id
WHERE n.channel = %(channel)s AND n.sent_at IS NULL AND n.due_at <= %(now)s ORDER BY n.id LIMIT %(most)s
"""
