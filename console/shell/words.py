"""How the console writes things: moments in the reader's zone, numbers, states, links. For templates."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from core.message import OUTCOME_WORDS
from core.printing import STATES, lasting, number, short

__all__ = ["age", "lasting", "message_link", "moment", "number", "plural", "queue_link", "short", "size", "state"]

_BADGES = {
    "quarantined": "red", "stopped": "red", "retry": "yellow", "held": "yellow", "paused": "yellow",
    "handled": "green", "sent": "green", "running": "green", "ready": "blue", "dropped": "secondary",
}  # fmt: skip
_KIB = 1024


def moment(value: datetime | None, zone: ZoneInfo) -> Markup | str:
    """ДД.ММ.ГГГГ ЧЧ:ММ:СС in the reader's zone; "" for None."""
    if value is None:
        return ""
    local = value.astimezone(zone)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        local.isoformat(), f"{local:%d.%m.%Y %H:%M:%S.%f}"[:-3] + f" ({zone.key})", f"{local:%d.%m.%Y %H:%M:%S}"
    )


def day(value: date | None) -> str:
    """ДД.ММ.ГГГГ; "" for None."""
    return f"{value:%d.%m.%Y}" if value else ""


def age(since: datetime | None) -> str:
    """How long ago, in the two largest units; "" for None."""
    return lasting((datetime.now(UTC) - since).total_seconds()) if since else ""


def milliseconds(value: float | None) -> str:
    """A duration given in milliseconds: «12 мс», «3 мин 5 с»."""
    if value is None:
        return ""
    return f"{value:.0f} мс" if value < 10_000 else lasting(value / 1000)


def size(octets: int | None) -> str:
    """Octets for a person: 512 Б, 12,5 КБ, 3,1 ГБ."""
    if octets is None:
        return ""
    value = float(octets)
    for unit in ("Б", "КБ", "МБ", "ГБ"):
        if value < _KIB or unit == "ГБ":
            return (f"{value:.0f}" if unit == "Б" else f"{value:.1f}".replace(".", ",")) + f" {unit}"
        value /= _KIB
    return ""


def plural(count: int, one: str, few: str, many: str) -> str:
    """«1 сообщение», «3 сообщения», «12 сообщений»."""
    tail = abs(count) % 100
    word = many if 11 <= tail <= 14 else one if tail % 10 == 1 else few if tail % 10 in (2, 3, 4) else many
    return f"{number(count)} {word}"


def state(name: str) -> Markup:
    """A state as a coloured word."""
    return Markup('<span class="badge bg-{}-lt">{}</span>').format(
        _BADGES.get(name, "secondary"), STATES.get(name, name)
    )


def outcome(name: str) -> str:
    """What a message says about an earlier one."""
    return {str(one): words for one, words in OUTCOME_WORDS.items()}.get(name, name)


def message_link(message_id: UUID | str, text: str = "") -> Markup:
    """The card of a message; without a text the beginning of its id."""
    return Markup('<a href="/messages/{}">{}</a>').format(message_id, text or str(message_id)[:8])


def queue_link(name: str, text: str = "") -> Markup:
    """The page of a queue."""
    return Markup('<a href="/queues/{}">{}</a>').format(Markup(escape(quote(name, safe=""))), text or name)
