"""A registry for the tests of handlers: one database a session, one transaction a test, rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from connectors.smev3 import messages
from core import stages
from core.database import Database
from core.message import Message
from core.replies import Reply
from core.route import Context, Route


@pytest.fixture(scope="session")
def registry_database(new_database: Callable[[], str]) -> Iterator[Database]:
    database = Database(new_database(), pool_size=4)
    yield database
    database.close()


@pytest.fixture
def db(registry_database: Database) -> Iterator[Session]:
    with registry_database.engine.connect() as connection:
        transaction = connection.begin()
        yield Session(connection, join_transaction_mode="control_fully", expire_on_commit=False)
        transaction.rollback()


Run = Callable[..., tuple[list[Message], list[str]]]


@pytest.fixture
def run(db: Session) -> Run:
    """Do to one message what the engine does: (what it yields, notes)."""

    def handle(route: Route, body: bytes | Reply, **fields: Any) -> tuple[list[Message], list[str]]:
        if isinstance(body, Reply):
            fields.setdefault("outcome", body.outcome)
            body = body.to_body()
        fields.setdefault("headers", {messages.REPLY_TO: "кому", messages.CONNECTOR: "smev"})
        version = route.formats[0].version if route.formats else ""
        message = Message(kind=route.name, body=body, version=version, **fields)
        context = Context(message, db)
        handler = route.handlers[message.outcome]
        return list(handler(stages.apply(route, message).value, context) or ()), context.notes

    return handle
