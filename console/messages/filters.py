"""The filters of the list, as they stand in the address of the page: a link shows a colleague the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from core.errors import ConfigError
from core.moments import moment
from core.reading import Wanted
from core.search.asking import hidden

_TEXTS: Final[Mapping[str, str]] = {
    "queue": "queue",
    "kind": "kind",
    "state": "state",
    "participant": "participant",
    "key": "key",
    "external_id": "external_id",
    "reason": "reason_like",
    "by": "search_key",
    "value": "value",
    "words": "words",
}
"""Name in the address → field of Wanted."""
NAMES: Final = (*_TEXTS, "since", "until")
VALUE_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """given: what the address or the form says, without the place of the page."""

    given: dict[str, str] = field(default_factory=dict)
    before: int | None = None
    after: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Filters:
        """From a query or a form; unknown names and blanks are left out."""
        texts = {name: str(values.get(name, "")).strip()[:VALUE_MOST] for name in NAMES}
        return cls(
            {name: text for name, text in texts.items() if text},
            before=_number(values.get("before")),
            after=_number(values.get("after")),
        )

    def wanted(self, zone: ZoneInfo) -> Wanted:
        """Raises ConfigError for what is no moment, or a key without its value."""
        if ("by" in self.given) != ("value" in self.given):
            raise ConfigError("Для поиска по ключу выберите ключ и напишите значение")
        since, until = (moment(self.given[name], zone) if name in self.given else None for name in ("since", "until"))
        return replace(self._texts(), since=since, until=until, before=self.before, after=self.after)

    def link(self) -> dict[str, str]:
        """For the query of a link: hashes in place of what was typed about a person."""
        hashed = hidden(self._texts())
        return {**self.given, **{name: one for name in ("value", "words") if (one := getattr(hashed, name))}}

    def _texts(self) -> Wanted:
        made: dict[str, Any] = {own: self.given[name] for name, own in _TEXTS.items() if name in self.given}
        return Wanted(**made)

    def __bool__(self) -> bool:
        return bool(self.given)


def _number(text: Any) -> int | None:
    text = str(text or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
