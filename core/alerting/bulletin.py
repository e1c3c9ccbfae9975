"""What a channel sends: several notices as one Russian text, or as one JSON document."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from core.alerting.book import RANKS, Alert, Notice
from core.alerting.rules import Finding
from core.printing import ZONE, date, lasting, short

SUBJECT_MOST: Final = 120
_MARKS: Final = {"critical": "КРИТИЧНО", "warning": "Внимание"}
_WORDS: Final = {
    "began": "началось",
    "worse": "стало хуже",
    "again": "всё ещё длится",
    "over": "закончилось",
    "passed": "было и закончилось",
    "trial": "проверка связи",
}


@dataclass(frozen=True, slots=True)
class Bulletin:
    """One message of a channel.

    id        the same when it is sent again after a lost answer
    subject   one line, Russian
    text      for a person
    document  for a program: docs/operations.md describes it
    """

    id: str
    subject: str
    text: str
    document: dict[str, Any]


def bulletin(notices: Sequence[Notice], now: datetime, *, console_url: str = "", zone: ZoneInfo = ZONE) -> Bulletin:
    """An alert that began and ended since the channel last took something is told once. notices: not empty."""
    told: dict[int, tuple[str, Notice]] = {}
    for notice in notices:
        before = told.get(notice.alert.id)
        fresh = before is not None and before[0] in ("began", "passed")
        what = ("passed" if notice.what == "over" else "began") if fresh else notice.what
        told[notice.alert.id] = (what, notice)
    items = sorted(((what, one.alert) for what, one in told.values()), key=_order)
    number = hashlib.sha256(",".join(str(one.id) for one in notices).encode()).hexdigest()[:32]
    return _bulletin(number, items, now, console_url, zone)


def trial(channel: str, now: datetime, *, console_url: str = "", zone: ZoneInfo = ZONE) -> Bulletin:
    """For `omsbus alert test`."""
    finding = Finding(
        "trial", channel, "warning", "Проверка: оповещения шины доходят этим путём", "Ничего делать не нужно"
    )
    alert = Alert(
        id=0, rule=finding.rule, subject=finding.subject, severity=finding.severity, text=finding.text,
        advice=finding.advice, value=0.0, since=now, seen_at=now, fired_at=now, told_at=None, told_value=None,
        over_at=None,
    )  # fmt: skip
    number = hashlib.sha256(f"{channel} {now.isoformat()}".encode()).hexdigest()[:32]
    return _bulletin(number, [("trial", alert)], now, console_url, zone)


def _order(item: tuple[str, Alert]) -> tuple[bool, int, int]:
    what, alert = item
    return what in ("over", "passed"), -RANKS[alert.severity], alert.id


def _bulletin(
    number: str, items: Sequence[tuple[str, Alert]], now: datetime, console_url: str, zone: ZoneInfo
) -> Bulletin:
    what, first = items[0]
    mark = "Прошло" if what in ("over", "passed") else _MARKS[first.severity]
    more = f" (и ещё {len(items) - 1})" if len(items) > 1 else ""
    subject = f"[omsbus] {mark}: {short(' '.join(first.text.split()), SUBJECT_MOST)}{more}"
    base = console_url.rstrip("/")
    footer = [f"Шина: {base}/"] if base else []
    footer.append("Все оповещения: omsbus alert list")
    text = "\n\n".join([*(_paragraph(what, alert, now, zone) for what, alert in items), "\n".join(footer)]) + "\n"
    document = {
        "version": 1,
        "id": number,
        "made_at": now.isoformat(),
        "console_url": f"{base}/" if base else "",
        "subject": subject,
        "alerts": [_json(what, alert) for what, alert in items],
    }
    return Bulletin(number, subject, text, document)


def _paragraph(what: str, alert: Alert, now: datetime, zone: ZoneInfo) -> str:
    lines = [f"{_MARKS[alert.severity]}, {_WORDS[what]}: {alert.text}"]
    if what not in ("over", "passed"):
        lines.append(f"Что делать: {alert.advice}.")
    if what != "trial":
        ended = alert.over_at or now
        lines.append(
            f"Началось {date(alert.since, zone)}"
            + (f", закончилось {date(alert.over_at, zone)}" if alert.over_at else "")
            + f", {'длилось' if alert.over_at else 'длится'} {lasting((ended - alert.since).total_seconds())}."
        )
    return "\n".join(lines)


def _json(what: str, alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "what": what,
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": alert.severity,
        "text": alert.text,
        "advice": alert.advice,
        "value": alert.value,
        "since": alert.since.isoformat(),
        "over_at": alert.over_at.isoformat() if alert.over_at else None,
    }
