"""What a handler of rejections, statuses, failures and timeouts receives instead of a document."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from core.errors import SchemaViolation
from core.message import Outcome


@dataclass(frozen=True, slots=True)
class Reply:
    """codes and texts are parallel: `("NO_DATA",)`, `("Сведения не найдены",)`. parameters: of a status."""

    outcome: Outcome
    codes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)

    def to_body(self) -> bytes:
        """The body of a message with this outcome."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_body(cls, body: bytes) -> Reply:
        """What `to_body` made. Raises SchemaViolation for anything else."""
        try:
            data = json.loads(body)
            codes, texts = (tuple(map(_text, data[name])) for name in ("codes", "texts"))
            parameters = {name: _text(value) for name, value in data.get("parameters", {}).items()}
            return cls(Outcome(data["outcome"]), codes, texts, parameters)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SchemaViolation(
                "Тело ответа не того вида, который делает шина: проверьте, кто его записал", detail=str(error)[:500]
            ) from None

    def __str__(self) -> str:
        pairs = [": ".join(part for part in pair if part) for pair in zip(self.codes, self.texts, strict=False)]
        return "; ".join(pairs) or str(self.outcome)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value
