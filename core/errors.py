"""What went wrong, sorted by what the bus does next.

    BusError
    ├── Retryable            again after a growing pause, same message, same id
    │   └── Unavailable      the far side is away: the connector is reopened, its queue rests
    ├── Permanent            no repeat can help: quarantine, an operator decides
    │   ├── MalformedXml
    │   ├── SchemaViolation
    │   ├── SignatureRejected
    │   ├── UnknownKind
    │   └── IdReused
    └── ConfigError          this connector or route stops until its settings are mended

The first argument of each is a Russian sentence for the operator: what happened and what to do.
It must hold no secret and no personal data; `detail` may (the journal masks it by role).
"""

from __future__ import annotations


class BusError(Exception):
    """Root of every error that may cross a seam of the bus."""

    answer: bytes = b""
    """What the far side said, exactly as it came, where a sink has it: the journal keeps it with the attempt."""

    def __init__(self, reason: str, *, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Retryable(BusError):
    """Временная неудача: шина повторит сама. `pause_s` (seconds) overrides the route's back-off.

    `renew` asks the engine to forget the prepared bytes and prepare anew (a new id, a new signature):
    only for a far side that said that it has NOT accepted the old ones.
    """

    def __init__(self, reason: str, *, detail: str = "", pause_s: float | None = None, renew: bool = False) -> None:
        super().__init__(reason, detail=detail)
        self.pause_s = pause_s
        self.renew = renew


class Unavailable(Retryable):
    """Другая сторона недоступна: очередь отдыхает, соединение открывается заново."""


class Permanent(BusError):
    """Повтор не поможет: сообщение уходит в карантин с этой причиной."""


class MalformedXml(Permanent):
    """Не XML, или XML, который нельзя принимать (DTD, сущности, глубина, размер узла)."""


class SchemaViolation(Permanent):
    """Документ не соответствует XSD своего вида сведений."""


class SignatureRejected(Permanent):
    """Подпись не прошла проверку либо подписан не тот элемент."""


class UnknownKind(Permanent):
    """Ни один вид сведений не принимает такой корневой элемент."""


class IdReused(Permanent):
    """Под тем же идентификатором пришло другое содержимое."""


class ConfigError(BusError):
    """Ошибка настройки: останавливается только затронутый коннектор или маршрут."""
