"""A route: one kind of message, from its document to its handler. Declared in code beside the handler.

    route = Route("zags.death", formats=[Format("4.0.1", root=..., schema=..., transform=...)], body=Death)

    @route.handler
    def register_death(body: Death, ctx: Context) -> Iterable[Message]:
        ...

The handler's registry writes (through `ctx.db`), the messages it yields and the state "handled" are one
transaction: the handler must have no other effect, because after a crash it runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from core.errors import ConfigError, MalformedXml
from core.message import Message, Outcome

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Handler = Callable[[Any, "Context"], Iterable[Message] | None]
KeyOf = Callable[[Message], str]


@dataclass(frozen=True, slots=True)
class Retry:
    """Back-off: pause = min(first_s * factor**(attempt-1), most_s), ±jitter; after `attempts` → quarantine."""

    attempts: int = 8
    first_s: float = 1.0
    factor: float = 3.0
    most_s: float = 900.0
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class Format:
    """One version of the document.

    root       Clark name of the root element: with it the bus finds route and version
    schema     path below schemas/, e.g. `zags/death/v1/fatalzp.xsd`; "" only for a document without a schema
    transform  path below transformers/: `.xsl`, or `.py` with `def transform(document: Element) -> dict`;
               "" hands the document's own element to the handler
    """

    version: str
    root: str
    schema: str = ""
    transform: str = ""


@dataclass(slots=True)
class Context:
    """What a handler gets besides the body."""

    message: Message
    db: Session
    """SQLAlchemy session inside the transaction of this message. Never commit or roll back."""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Put a Russian sentence into the journal beside "handled". No personal data: name ids."""
        self.notes.append(text)

    @property
    def outcome(self) -> Outcome:
        return self.message.outcome


class Route:
    """A queue with its kind, formats, handler, retry policy and concurrency. The name is the queue's name.

    formats      documents it accepts; empty: the body is JSON of the `body` model
    body         pydantic model of the transformed document: element names are field names
    key          order key of a message, computed once at intake (no personal data: hash it)
    concurrency  workers that may drain this queue at once; operators may override it, and `retry`
    plain        local names of elements, attributes, fields and headers that hold nothing personal in any document of
                 this kind: everything else is masked from whoever may not see personal data (core.masking)
    """

    def __init__(
        self,
        name: str,
        *,
        title: str,
        formats: Sequence[Format] = (),
        body: type[BaseModel] | None = None,
        key: KeyOf | None = None,
        retry: Retry = Retry(),
        concurrency: int = 2,
        features: Sequence[str] = (),
        plain: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.title = title
        self.formats = tuple(formats)
        self.body = body
        self.key = key
        self.retry = retry
        self.concurrency = concurrency
        self.features = tuple(features)
        self.plain = frozenset(plain)
        self.handlers: dict[Outcome, Handler] = {}

    def handler(self, function: Handler) -> Handler:
        """Take requests and business answers."""
        return self._register(function, Outcome.REQUEST, Outcome.ANSWER)

    def on(self, *outcomes: Outcome) -> Callable[[Handler], Handler]:
        """Take other outcomes: the body is a `core.replies.Reply` (codes, texts), not a document."""
        return lambda function: self._register(function, *outcomes)

    def _register(self, function: Handler, *outcomes: Outcome) -> Handler:
        for outcome in outcomes:
            if outcome in self.handlers:
                raise ConfigError(f"Маршрут {self.name}: для исхода «{outcome}» объявлено два обработчика")
            self.handlers[outcome] = function
        return function

    def __repr__(self) -> str:
        return f"Route({self.name!r})"


def order_key(route: Route, message: Message) -> str:
    """The key under which the message waits for its turn. Raises whatever the route's own function does."""
    if route.key is None or message.outcome not in (Outcome.REQUEST, Outcome.ANSWER):
        return ""
    try:
        return route.key(message)
    except MalformedXml:
        return ""  # validation will say why
