"""The other half of a kind's contract: what its handler does, tried on a real database in a transaction that is undone.

    findings = kind_handlers.check(route, database, headers={...}, scene=...)

Each valid sample is handled twice, as after a crash: the registry must look the same after the second time. A route
whose documents mean something only after other things have happened (an answer needs its question) gets a `scene`:
a function that prepares the database and gives the messages to handle instead of the samples.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core import stages, xml
from core.database import Database, driver
from core.discovery import Routes
from core.errors import MalformedXml
from core.message import Message
from core.route import Context, Route
from core.testing.kinds import REPLY_OUTCOMES, Finding, valid_samples, values_of

Scene = Callable[[Session], Iterable[Message]]
Violation = tuple[str, str]
"""(rule, Russian text)."""

RULES: Final = (
    "handler-takes-the-samples",
    "repeat-changes-nothing",
    "transaction-is-left-alone",
    "nothing-outside-the-database",
    "emitted-find-their-way",
    "replies-are-taken",
    "notes-tell-nothing",
)


def check(
    route: Route,
    database: Database,
    *,
    routes: Routes | None = None,
    headers: Mapping[str, str] | None = None,
    scene: Scene | None = None,
    sinks: frozenset[str] = frozenset({"smev"}),
) -> list[Finding]:
    """Every violation. `headers`: what the connector puts on a message; `sinks`: queues that connectors take."""
    known = routes or Routes([route])
    found: list[Violation] = []
    for name, message in _messages(route, database, headers, scene):
        with database.engine.connect() as connection:
            transaction = connection.begin()
            if scene is not None:
                message = _again(scene, connection, name)
            found += [(rule, f"{name}: {text}") for rule, text in _try(route, message, connection, known, sinks)]
            if transaction.is_active:  # else the handler ended it, and was told so
                transaction.rollback()
    return [Finding(route.name, rule, text) for rule, text in dict.fromkeys(found)]


def _messages(
    route: Route, database: Database, headers: Mapping[str, str] | None, scene: Scene | None
) -> Iterator[tuple[str, Message]]:
    if scene is not None:
        with database.engine.connect() as connection:
            transaction = connection.begin()
            count = len(list(scene(Session(connection))))
            transaction.rollback()
        for place in range(count):
            yield str(place), Message(kind=route.name, body=b"")
        return
    versions = {form.root: form.version for form in route.formats}
    for path, body, is_taken in valid_samples(route):
        if is_taken:
            version = versions[str(xml.parse(body).tag)]
            yield path.name, Message(kind=route.name, body=body, version=version, headers=headers or {})


def _again(scene: Scene, connection: sa.Connection, name: str) -> Message:
    session = Session(connection, join_transaction_mode="control_fully")
    messages = list(scene(session))
    session.flush()
    return messages[int(name)]


def _try(
    route: Route, message: Message, connection: sa.Connection, routes: Routes, sinks: frozenset[str]
) -> Iterator[Violation]:
    before = _transaction(connection)
    try:
        with _watched() as effects:
            emitted, notes = _handle(route, message, connection)
            if _transaction(connection) != before:
                yield "transaction-is-left-alone", "обработчик завершил транзакцию: commit и rollback делает шина"
                return
            after = _snapshot(connection)
            again, _ = _handle(route, message, connection)
    except Exception as error:
        yield "handler-takes-the-samples", f"обработчик не принял документ: {type(error).__name__}: {error}"
        return
    for effect in dict.fromkeys(effects):
        yield "nothing-outside-the-database", f"обработчик действует вне базы ({effect}): после сбоя это повторится"
    if _transaction(connection) != before:
        yield "transaction-is-left-alone", "обработчик завершил транзакцию: commit и rollback делает шина"
        return
    changed = [table for table, content in _snapshot(connection).items() if after.get(table) != content]
    if changed:
        yield "repeat-changes-nothing", f"повтор того же сообщения изменил {', '.join(changed)}"
    if any(_is_question(one) for one in emitted) and any(_is_question(one) for one in again):
        yield "repeat-changes-nothing", "повтор того же сообщения задал вопрос ещё раз"
    for one in emitted:
        yield from _addressed(route, one, routes, sinks)
    yield from _leaks(message, notes)


def _handle(route: Route, message: Message, connection: sa.Connection) -> tuple[list[Message], list[str]]:
    session = Session(connection, join_transaction_mode="control_fully", expire_on_commit=False)
    context = Context(message, session)
    emitted = list(route.handlers[message.outcome](stages.apply(route, message).value, context) or ())
    session.flush()
    return emitted, context.notes


def _is_question(message: Message) -> bool:
    return message.reply_within_s is not None or bool(message.replies_to)


def _addressed(route: Route, message: Message, routes: Routes, sinks: frozenset[str]) -> Iterator[Violation]:
    target, _ = routes.of(message)
    if target is None and message.queue not in sinks:
        yield (
            "emitted-find-their-way",
            f"сообщение «{message.kind}» никуда не ведёт: ни очередь «{message.queue}», ни вид не известны",
        )
    if not _is_question(message):
        return
    taker = routes.by_name.get(message.replies_to or route.name)
    if taker is None:
        yield "replies-are-taken", f"ответы на «{message.kind}» ждёт маршрут {message.replies_to}, а его нет"
        return
    missing = [str(one) for one in REPLY_OUTCOMES if one not in taker.handlers]
    if missing:
        yield "replies-are-taken", f"ответы на «{message.kind}»: {taker.name} не знает исходов {', '.join(missing)}"


def _leaks(message: Message, notes: list[str]) -> Iterator[Violation]:
    try:
        values = values_of(xml.parse(message.body))
    except MalformedXml:
        return
    if any(value in note for note in notes for value in values):
        yield "notes-tell-nothing", "пометка для журнала содержит данные документа: называйте номера записей реестра"


def _transaction(connection: sa.Connection) -> Any:
    return driver(connection).execute("SELECT pg_current_xact_id()").fetchone()


def _snapshot(connection: sa.Connection) -> dict[str, Any]:
    """What every table of every subsystem holds, the bus itself left out."""
    db = driver(connection)
    tables = db.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'bus') ORDER BY 1"
    ).fetchall()
    return {
        str(table): db.execute(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t").fetchone()
        for (table,) in tables
    }


_watching = threading.local()
_hooked = threading.Lock()


@contextlib.contextmanager
def _watched() -> Iterator[list[str]]:
    """Notes what this thread does outside the database: connections, processes, files opened for writing."""
    if _hooked.acquire(blocking=False):
        sys.addaudithook(_audit)  # cannot be removed, hence once a process
    effects: list[str] = []
    _watching.effects = effects
    try:
        yield effects
    finally:
        _watching.effects = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    effects: list[str] | None = getattr(_watching, "effects", None)
    if effects is None:
        return
    if event in ("socket.connect", "subprocess.Popen", "os.system", "os.remove", "os.rename", "shutil.rmtree"):
        effects.append(event)
    elif event == "open" and _writes(arguments) and "__pycache__" not in str(arguments[0]):
        effects.append("запись файла")


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    return any(letter in (mode or "") for letter in "wax+") or (not mode and bool((flags or 0) & 3))
