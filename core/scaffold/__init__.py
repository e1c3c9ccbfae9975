"""Skeletons of what the house is made of, written by `omsbus new`. Each is complete: it passes its own tests.

A template is a file below core/scaffold/<template>/, laid out like the house itself: in its path `__name__` and in its
text `{{ name }}` stand for a value, and `.tmpl` is cut off.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from core.errors import ConfigError

TEMPLATES: Final = Path(__file__).parent
TITLE_MOST: Final = 60
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ROOT: Final = re.compile(r"(?:\{(?P<namespace>[^{}\s\"<>&]+)\})?(?P<name>[^\W\d][\w.-]*)")
_PLACE: Final = re.compile(r"\{\{ (\w+) \}\}")


def subsystem(house: Path, name: str, title: str = "") -> list[Path]:
    """A folder of routes/ with models, a migration, an api and a test. Raises ConfigError."""
    values = {"subsystem": _named(name, "Имя подсистемы"), "title": _titled(title or f"Подсистема {name}")}
    return _write(house, _planned(house, ("home", "subsystem"), values))


def kind(house: Path, name: str, root: str, title: str = "") -> list[Path]:
    """A kind `subsystem.kind` of documents with this root (Clark name); its subsystem when there is none yet.

    Returns the files written. Raises ConfigError when a name is not fit or a file is there already.
    """
    parts = name.split(".")
    if len(parts) != 2:
        raise ConfigError(f"«{name}» — не имя вида сведений. Напишите ПОДСИСТЕМА.ВИД, например zags.marriage")
    home, own = _named(parts[0], "Имя подсистемы"), _named(parts[1], "Имя вида сведений")
    found = _ROOT.fullmatch(root)
    if found is None:
        raise ConfigError(f"«{root}» — не корневой элемент. Напишите --root '{{пространство-имён}}Имя'")
    values = {
        "subsystem": home,
        "kind": own,
        "class": _class(own),
        "title": _titled(title or f"Вид сведений {name}"),
        "root": root,
        **_root_values(found["namespace"] or "", found["name"]),
    }
    templates = ("kind",) if (house / "routes" / home).is_dir() else ("home", "kind")
    return _write(house, _planned(house, templates, values))


def connector(house: Path, name: str, title: str = "") -> list[Path]:
    """A connector with client, source, sink, settings, README and its contract test. Raises ConfigError."""
    named = _named(name, "Имя коннектора")
    values = {"connector": named, "class": _class(named), "title": _titled(title or f"Коннектор {name}")}
    return _write(house, _planned(house, ("connector",), values))


def _root_values(namespace: str, name: str) -> dict[str, str]:
    """The root in the languages of the templates: XSD, XML, XSLT, Python."""
    if not namespace:
        nothing = dict.fromkeys(("target", "xmlns", "xmlns_d", "d"), "")
        return {**nothing, "root_name": name, "root_constant": f'ROOT: Final = "{name}"', "root_value": "ROOT"}
    return {
        "root_name": name,
        "target": f'\n           targetNamespace="{namespace}" elementFormDefault="qualified"',
        "xmlns": f' xmlns="{namespace}"',
        "xmlns_d": f'\n                xmlns:d="{namespace}" exclude-result-prefixes="d"',
        "d": "d:",
        "root_constant": f'NAMESPACE: Final = "{namespace}"',
        "root_value": f'f"{{{{{{NAMESPACE}}}}}}{name}"',
    }


def _named(name: str, what: str) -> str:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ConfigError(f"{what} «{name}» не годится: строчные латинские буквы, цифры и _, первая — буква")
    return name


def _titled(title: str) -> str:
    if not 0 < len(title.strip()) <= TITLE_MOST or re.search(r'["\\{}<>&\n]|--', title):
        raise ConfigError(f'Название не годится: до {TITLE_MOST} знаков в строку, без " {{ }} < > & \\ и --')
    return title.strip()


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _planned(house: Path, templates: tuple[str, ...], values: Mapping[str, str]) -> dict[Path, str]:
    """File to be written → its text."""
    plan: dict[Path, str] = {}
    for template in templates:
        for source in sorted((TEMPLATES / template).rglob("*.tmpl")):
            path = str(source.relative_to(TEMPLATES / template)).removesuffix(".tmpl")
            for name in ("subsystem", "kind", "connector"):
                path = path.replace(f"__{name}__", values.get(name, ""))
            plan[house / path] = _PLACE.sub(lambda place: values[place[1]], source.read_text(encoding="utf-8"))
    return plan


def _write(house: Path, plan: Mapping[Path, str]) -> list[Path]:
    """All or nothing: nothing that exists is touched."""
    if not (house / "routes").is_dir():
        raise ConfigError(f"{house} — не папка проекта: в ней нет routes. Укажите её в --house")
    if taken := [path for path in plan if path.exists()]:
        raise ConfigError(f"Уже есть {taken[0].relative_to(house)}: возьмите другое имя или уберите старое сами")
    for path, text in plan.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(plan)
