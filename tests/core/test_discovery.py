"""Connectors, routes and schedules are found, not listed; what does not fit together is refused at the start."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import discovery
from core.discovery import Routes
from core.errors import ConfigError
from core.message import Message
from core.route import Format, Route

CONNECTOR = """
from core.connector import ConnectorSettings
class Settings(ConnectorSettings):
    url: str
    password: str = ""
class Connector:
    sources = {}
    sinks = {}
    def __init__(self, name, settings):
        self.name, self.settings = name, settings
def connect(name, settings):
    return Connector(name, settings)
"""
ROUTES = """
from core.route import Route
from core.schedule import Schedule
route = Route("other.kind", title="Другое")
every = Schedule("other.every", "0 3 * * *", "other.kind")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of someone else, installed beside us."""
    (tmp_path / "their_connector.py").write_text(CONNECTOR)
    (tmp_path / "their_routes.py").write_text(ROUTES)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[omsbus.connectors]\ntheirs = their_connector\n[omsbus.routes]\ntheirs = their_routes\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("their_connector", "their_routes"):
        sys.modules.pop(name, None)


@pytest.mark.feature("BUS-01")
def test_a_connector_and_a_route_of_another_package_join_by_entry_points(package: None) -> None:
    [connector] = discovery.connectors({"far": {"type": "theirs", "url": "x"}})
    assert (connector.name, connector.settings.url) == ("far", "x")  # type: ignore[attr-defined]
    assert "other.kind" in {route.name for route in discovery.routes()}
    assert "other.every" in {schedule.name for schedule in discovery.schedules()}


@pytest.mark.feature("BUS-01")
def test_every_folder_with_a_connector_is_a_type() -> None:
    folders = {path.parent.name for path in (discovery.HOUSE / "connectors").glob("*/connector.py")}
    assert folders
    assert folders <= set(discovery.connector_types())
    for name in folders:
        module = discovery.connector_module(name)
        assert callable(module.connect)
        assert issubclass(module.Settings, discovery.ConnectorSettings)


def test_a_connector_that_does_not_load_is_named_and_stops_nobody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "connectors" / "broken"
    folder.mkdir(parents=True)
    (folder / "connector.py").write_text("import no_such_module_at_all\n", encoding="utf-8")
    monkeypatch.setattr(discovery, "HOUSE", tmp_path)
    assert "broken" in discovery.connector_types()
    assert discovery.connectors({}) == []
    with pytest.raises(ConfigError, match="Коннектор mine: Коннектор типа «broken» не загружается"):
        discovery.connectors({"mine": {"type": "broken"}})


@pytest.mark.feature("BUS-01")
def test_the_routes_of_the_house_fit_together() -> None:
    routes = Routes(discovery.routes())
    assert routes.by_name
    assert all(route.handlers for route in routes.by_name.values()), "each has a handler"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"type": "nothing"}, "Коннектор far: нет типа «nothing». Есть: .*theirs"),
        ({"type": "theirs"}, "Коннектор far: url: обязательный ключ не задан"),
        ({"type": "theirs", "url": "x", "ulr": "y"}, "Коннектор far: ulr: неизвестный ключ"),
        ({"type": "theirs", "url": 5, "password": "s3cret"}, "Коннектор far: url: недопустимое значение"),
    ],
)
def test_wrong_settings_of_a_connector_are_named(package: None, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        discovery.connectors({"far": values})
    assert "s3cret" not in refused.value.reason


def test_a_disabled_connector_is_left_out(package: None) -> None:
    assert discovery.connectors({"far": {"type": "theirs", "url": "x", "enabled": False}}) == []


def test_two_routes_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Два маршрута с именем a\.b"):
        Routes([Route("a.b", title=""), Route("a.b", title="")])


def test_two_routes_for_one_document_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\{urn:a\}A принимают два маршрута: a и b"):
        Routes([Route(name, title="", formats=[Format("1", "{urn:a}A")]) for name in "ab"])


def test_two_handlers_for_one_outcome_are_refused() -> None:
    route = Route("a", title="")
    route.handler(lambda body, context: None)
    with pytest.raises(ConfigError, match="объявлено два обработчика"):
        route.handler(lambda body, context: None)


def test_a_message_finds_its_route_by_queue_then_by_name_then_by_root() -> None:
    a, b = Route("a", title="", formats=[Format("7", "{urn}A")]), Route("b", title="")
    routes = Routes([a, b])
    assert routes.of(Message(kind="a", queue="b", body=b"")) == (b, "")
    assert routes.of(Message(kind="a", body=b"")) == (a, "")
    assert routes.of(Message(kind="{urn}A", body=b"")) == (a, "7")
    assert routes.of(Message(kind="{urn}B", body=b"")) == (None, "")


def test_settings_for_a_route_that_is_not_there_are_refused(bus_of: Any) -> None:
    with pytest.raises(ConfigError, match="такого маршрута нет"):
        bus_of([], [], routes={"no.such": {"attempts": 1}})


def test_a_route_and_a_sink_of_one_name_are_refused(bus_of: Any, far: Any) -> None:
    with pytest.raises(ConfigError, match="Имя far носят две очереди"):
        bus_of([Route("far", title="")], [far])


@pytest.mark.feature("BUS-01")
def test_the_core_imports_nothing_that_is_plugged_into_it() -> None:
    """The layers are import-linter's; this names the one that BUS-01 lives by."""
    for path in sorted((discovery.HOUSE / "core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in ("connectors", "routes", "transformers", "console"), f"{path}: {name}"


def test_screens_and_their_shelves_are_found_by_their_files() -> None:
    found = {screen.key: screen for screen in discovery.screens()}
    assert {"erz.persons", "erz.deaths", "fns.organizations", "pump.services", "sfr.snils"} <= set(found)
    assert set(discovery.shelves()) == {screen.subsystem for screen in found.values()}
