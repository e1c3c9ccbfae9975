"""A kind with its document, a candidate's files as text, and messages of it in the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.bus import Bus
from core.message import Message
from core.route import Format, Route
from core.settings import HOUSE

XSL = '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" {more}>{body}</xsl:stylesheet>'


@pytest.fixture(scope="session")
def style() -> Callable[..., str]:
    """A stylesheet with this content."""
    return lambda body, more="": XSL.format(body=body, more=more)


@pytest.fixture(scope="session")
def death() -> Route:
    """The real route of a death record, without its handler's effects."""
    from routes.zags.death import route

    return route


@pytest.fixture(scope="session")
def form(death: Route) -> Format:
    return death.formats[0]


@pytest.fixture(scope="session")
def present(form: Format) -> str:
    """The stylesheet that is in use."""
    return (HOUSE / "transformers" / form.transform).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def samples() -> Callable[[str], bytes]:
    folder = Path(HOUSE / "schemas/zags/death/v1/samples")
    return lambda name: (folder / name).read_bytes()


@pytest.fixture
def journal(bus_of: Callable[..., Bus], death: Route, samples: Callable[[str], bytes]) -> Bus:
    """Two good records, one that the schema refuses, and a message of another kind."""
    bus = bus_of([death])
    bodies = ["valid/record-plain.xml", "valid/record-restored.xml", "invalid/record-bad-date.xml"]
    bus.engine.put([_message(death, samples(name)) for name in bodies])
    bus.engine.put([Message(kind="bus.poll", queue="bus.poll", body=b'{"source": "x"}')])
    return bus


def _message(route: Route, body: bytes) -> Message:
    return Message(kind=route.formats[0].root, body=body)


@pytest.fixture
def counted(look: Any) -> Callable[[], dict[str, int]]:
    """How many rows each table of the bus has."""

    def count() -> dict[str, int]:
        tables = [row[0] for row in look.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'bus'")]
        return {table: look.one(f"SELECT count(*) FROM bus.{table}") for table in tables}

    return count
