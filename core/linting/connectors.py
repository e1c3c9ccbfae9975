"""Checks of the connectors: the same files in every folder, the protocol apart from the bus, the contract tested."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from core.connector import ConnectorSettings
from core.linting.finding import Finding, imported

NEEDED: Final = {
    "__init__.py": "без него папка не пакет",
    "connector.py": "в нём Settings и connect(name, settings)",
    "client.py": "в нём протокол другой стороны и ничего из шины",
    "settings.py": "в нём настройки коннектора",
    "README.md": "что за система, как узнаётся повтор, что не проверено",
}
_OF_THE_BUS: Final = ("core.bus", "core.connector", "core.engine", "core.journal", "core.message", "core.route")


def check(house: Path) -> Iterator[Finding]:
    """Every folder of connectors/ is a whole connector."""
    for folder in sorted((house / "connectors").iterdir()):
        if folder.is_dir() and any(folder.glob("*.py")):
            yield from _connector(house, folder)


def _connector(house: Path, folder: Path) -> Iterator[Finding]:
    place = f"connectors/{folder.name}"
    for name, why in NEEDED.items():
        if not (folder / name).is_file():
            yield Finding(f"{place}/{name}", f"нет файла: {why}")
    if not (folder / "source.py").is_file() and not (folder / "sink.py").is_file():
        yield Finding(place, "нет ни source.py, ни sink.py: коннектор ничего не принимает и не отправляет")
    if (folder / "client.py").is_file():
        for name in _imports(folder / "client.py"):
            if name.startswith(_OF_THE_BUS):
                yield Finding(f"{place}/client.py", f"протокол не должен знать шину: уберите импорт {name}")
    if (folder / "connector.py").is_file():
        yield from _seam(house, folder / "connector.py")
    tests = house / "tests" / "connectors" / folder.name
    texts = [file.read_text(encoding="utf-8") for file in sorted(tests.glob("test_*.py"))]
    if not texts:
        yield Finding(f"tests/connectors/{folder.name}", "нет тестов: начните с договора, omsbus new connector покажет")
    elif not any("ConnectorContract" in text for text in texts):
        text = "нет договорного теста: унаследуйте core.testing.connectors.ConnectorContract"
        yield Finding(f"tests/connectors/{folder.name}", text)


def _seam(house: Path, file: Path) -> Iterator[Finding]:
    module = imported(house, file)
    if isinstance(module, Finding):
        yield module
        return
    place = str(file.relative_to(house))
    settings = getattr(module, "Settings", None)
    if not isinstance(settings, type) or not issubclass(settings, ConnectorSettings):
        yield Finding(place, "нет класса Settings, наследника ConnectorSettings: импортируйте его из settings.py")
    if not callable(getattr(module, "connect", None)):
        yield Finding(place, "нет функции connect(name, settings): она строит коннектор без ввода-вывода")


def _imports(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return  # the import of the module says it
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
