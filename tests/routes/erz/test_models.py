"""Models and migrations say the same, and personal columns are marked."""

from __future__ import annotations

import importlib

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData

from core.database import Database

SUBSYSTEMS = ("erz", "fns", "sfr", "pump")
PERSONAL = {
    "erz.person": {"surname", "given", "patronymic", "search_key", "birth_date", "birth_place", "snils", "enp"},
    "erz.document": {"series", "number", "number_key", "issued"},
    "erz.policy": {"enp"},
    "erz.birth_record": {"surname", "given", "patronymic", "search_key", "birth_date", "mother", "father"},
    "erz.death_record": {"surname", "given", "patronymic", "search_key", "birth_date", "death_date", "document_key"},
    "sfr.snils_request": {"snils"},
    "pump.rendered_service": {"name", "clinic_name", "started"},
}


def metadata_of(subsystem: str) -> MetaData:
    metadata: MetaData = importlib.import_module(f"routes.{subsystem}.models").Table.metadata
    return metadata


@pytest.mark.parametrize("subsystem", SUBSYSTEMS)
def test_the_models_and_the_migrations_say_the_same(registry_database: Database, subsystem: str) -> None:
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _: name == subsystem if kind == "schema" else name != "migration",
        "compare_type": True,
    }
    with registry_database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata_of(subsystem)) == []


@pytest.mark.parametrize("table", PERSONAL)
def test_personal_columns_are_marked(table: str) -> None:
    columns = metadata_of(table.partition(".")[0]).tables[table].columns
    marked = {column.name for column in columns if column.info.get("personal")}
    assert PERSONAL[table] <= marked


def test_organizations_are_not_personal_data() -> None:
    columns = metadata_of("fns").tables["fns.organization"].columns
    assert not any(column.info.get("personal") for column in columns)
