"""Moments as people type them: `24.11.2026`, `24.11.2026 09:30`, `2026-11-24T09:30`, `15м`, `2ч`, `3д`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from core.errors import ConfigError

_AGO: Final = re.compile(r"(\d{1,5})\s*(с|s|м|мин|m|ч|h|д|дн|d)")
_UNIT_S: Final = {
    **dict.fromkeys(("с", "s"), 1),
    **dict.fromkeys(("м", "мин", "m"), 60),
    **dict.fromkeys(("ч", "h"), 3_600),
    **dict.fromkeys(("д", "дн", "d"), 86_400),
}
_FORMS: Final = ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")


def moment(text: str, zone: ZoneInfo) -> datetime:
    """An aware moment; a time without an offset is in `zone`, «2ч» means two hours ago. Raises ConfigError."""
    text = text.strip()
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNIT_S[ago[2]])
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone)
        except ValueError:
            continue
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"«{text}» — не время. Напишите, например, 24.11.2026 09:30, 2026-11-24T09:30 или 2ч (два часа назад)"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=zone)
