"""What a handler of rejections, statuses, failures and timeouts receives instead of a document."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

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
        data = json.loads(body)
        return cls(
            Outcome(data["outcome"]), tuple(data["codes"]), tuple(data["texts"]), dict(data.get("parameters", {}))
        )

    def __str__(self) -> str:
        pairs = [": ".join(part for part in pair if part) for pair in zip(self.codes, self.texts, strict=False)]
        return "; ".join(pairs) or str(self.outcome)
