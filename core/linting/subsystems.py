"""Checks of the subsystems: a README each, and tables of which models and migrations tell the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from core.linting.finding import Finding, imported
from core.linting.migrations import NotRendered, tables


def check(house: Path) -> Iterator[Finding]:
    """Every folder of routes/ is a whole subsystem."""
    for folder in sorted((house / "routes").iterdir()):
        if not folder.is_dir() or not any(folder.glob("*.py")):
            continue
        place = f"routes/{folder.name}"
        for name, why in (("__init__.py", "без него папка не пакет"), ("README.md", "что это и для кого")):
            if not (folder / name).is_file():
                yield Finding(f"{place}/{name}", f"нет файла: {why}")
        yield from _tables(house, folder)


def _tables(house: Path, folder: Path) -> Iterator[Finding]:
    models, revisions = folder / "models.py", folder / "migrations"
    has_revisions = any(revisions.glob("[0-9]*.py"))
    if models.is_file() and not has_revisions:
        yield Finding(str(revisions.relative_to(house)), "есть models.py, но нет миграций: добавьте 0001_….py")
    elif has_revisions and not models.is_file():
        yield Finding(str(models.relative_to(house)), "есть миграции, но нет models.py: опишите таблицы")
    elif has_revisions:
        yield from _compare(house, folder.name, models, revisions)


def _compare(house: Path, schema: str, models: Path, revisions: Path) -> Iterator[Finding]:
    place = str(models.relative_to(house))
    module = imported(house, models)
    if isinstance(module, Finding):
        yield module
        return
    try:
        made = tables(revisions)
    except NotRendered as error:
        text = f"миграции не выводятся в SQL ({error}): меняйте данные запросом в op.execute, а не чтением базы"
        yield Finding(str(revisions.relative_to(house)), text)
        return
    declared = {table.fullname: {column.name for column in table.columns} for table in _declared(module)}
    for name, columns in declared.items():
        if not name.startswith(f"{schema}."):
            yield Finding(place, f'таблица {name} вне схемы {schema}: задайте MetaData(schema="{schema}")')
        elif name not in made:
            yield Finding(place, f"таблицы {name} нет в миграциях: добавьте миграцию")
        else:
            for column in sorted(columns - made[name]):
                yield Finding(place, f"столбца {name}.{column} нет в миграциях: добавьте миграцию")
            for column in sorted(made[name] - columns):
                yield Finding(place, f"столбец {name}.{column} есть в миграциях, а в модели нет: опишите его")
    for name in sorted(set(made) - set(declared)):
        yield Finding(place, f"таблица {name} есть в миграциях, а в моделях нет: опишите её")


def _declared(module: object) -> Iterator[sa.Table]:
    """Tables of every MetaData that the module's classes belong to, each once."""
    known = {id(one.metadata): one.metadata for one in vars(module).values() if hasattr(one, "metadata")}
    for metadata in known.values():
        if isinstance(metadata, sa.MetaData):
            yield from metadata.tables.values()
