"""How commands speak: tables of at most 100 columns, Russian dates, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_COLUMNS = 100
ZONE = ZoneInfo("Europe/Moscow")

STATES = {
    "ready": "готово",
    "held": "ждёт",
    "retry": "повтор",
    "quarantined": "карантин",
    "handled": "обработано",
    "sent": "отправлено",
    "dropped": "отклонено",
    "running": "работает",
    "paused": "пауза",
    "stopped": "остановлена",
}
"""State in the database → word for a person."""

COLOURS = {
    "quarantined": "red",
    "stopped": "red",
    "retry": "yellow",
    "held": "yellow",
    "paused": "yellow",
    "handled": "green",
    "sent": "green",
    "running": "green",
}


_HARMLESS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | dict.fromkeys(
    (*range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"
)
"""Signs that command a terminal or turn the direction of a line → a sign that shows that they were there."""


def harmless(text: str) -> str:
    """The text of a stranger, of the same length, without what a terminal would obey; line ends and tabs stay."""
    return text.translate(_HARMLESS)


def console() -> Console:
    """A console on the standard output as it is now, never wider than a person reads."""
    wide = Console(highlight=False)
    width = min(wide.width, WIDTH_COLUMNS) if wide.is_terminal else WIDTH_COLUMNS
    return Console(width=width, highlight=False, soft_wrap=False)


def say(text: str | Text) -> None:
    """One sentence on one line, however long; nothing in a plain one is taken for markup."""
    console().print(_cell(text), soft_wrap=True)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[int] = (), title: str = ""
) -> None:
    """Print rows under Russian headings. `right`: numbers of the columns that hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(_cell, row))
    console().print(made)


def pairs(rows: Iterable[tuple[str, Any]]) -> None:
    """Print "name  value" lines without a heading; empty values are left out."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value not in ("", None):
            made.add_row(name, _cell(value))
    console().print(made)


def _cell(value: Any) -> Text:
    if not isinstance(value, Text):
        return Text(harmless(str(value)))
    clean = value.copy()
    clean.plain = harmless(value.plain)
    return clean


def state(name: str) -> Text:
    """The word for a state, in its colour."""
    return Text(STATES.get(name, name), style=COLOURS.get(name, ""))


def date(moment: datetime | None, zone: ZoneInfo = ZONE) -> str:
    """ДД.ММ.ГГГГ ЧЧ:ММ:СС; "" for None."""
    return moment.astimezone(zone).strftime("%d.%m.%Y %H:%M:%S") if moment else ""


def age(since: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in the two largest units: «3 ч 12 мин»; "" for None."""
    if since is None:
        return ""
    return lasting(((now or datetime.now(UTC)) - since).total_seconds())


def lasting(seconds: float) -> str:
    """A duration in the two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, name in ((86_400, "дн"), (3_600, "ч"), (60, "мин"), (1, "с")):
        count, left = divmod(left, unit)
        if count or (parts and len(parts) < 2) or unit == 1:
            parts.append(f"{count} {name}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 с"


def short(text: str, most: int = 80) -> str:
    """The beginning of a long text; the card has the whole."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def number(value: int) -> str:
    """Thousands apart: 12 345."""
    return f"{value:,}".replace(",", " ")


def as_json(value: Any) -> None:
    """Print for a program: dates as ISO 8601, ids as text."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not for JSON")
