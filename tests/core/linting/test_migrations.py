"""Tables and columns are read from whatever the revisions do, without a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import discovery
from core.linting.migrations import NotRendered, tables


def revisions(folder: Path, *bodies: str) -> Path:
    for number, body in enumerate(bodies, 1):
        before = f'"r{number - 1}"' if number > 1 else "None"
        (folder / f"000{number}_x.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f'revision = "r{number}"\ndown_revision = {before}\n\n\ndef upgrade():\n    {body}\n',
            encoding="utf-8",
        )
    return folder


CREATE = '''op.execute("""
    -- CREATE TABLE x.commented (id int);
    CREATE TABLE x.person (
        id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name   text NOT NULL DEFAULT ', a) trap (',
        cost   numeric(14, 2) CHECK (cost > 0),
        "from" date,
        UNIQUE (name, cost),
        CONSTRAINT person_cost CHECK (cost < 100)
    );
    CREATE INDEX person_name ON x.person (name);
    CREATE TABLE IF NOT EXISTS x.gone (id int);
    """)'''


def test_columns_are_told_from_constraints_types_and_texts(tmp_path: Path) -> None:
    assert tables(revisions(tmp_path, CREATE)) == {"x.person": {"id", "name", "cost", "from"}, "x.gone": {"id"}}


def test_later_revisions_change_what_earlier_ones_made(tmp_path: Path) -> None:
    changes = (
        'op.execute("ALTER TABLE x.person ADD COLUMN born date, DROP COLUMN cost; DROP TABLE x.gone")',
        'op.execute("ALTER TABLE x.person RENAME COLUMN name TO surname")',
        'op.execute("ALTER TABLE x.person ALTER COLUMN born SET NOT NULL")',
    )
    assert tables(revisions(tmp_path, CREATE, *changes)) == {"x.person": {"id", "surname", "from", "born"}}


def test_operations_of_alembic_are_read_too(tmp_path: Path) -> None:
    made = revisions(
        tmp_path,
        'op.create_table("person", sa.Column("id", sa.Integer(), primary_key=True), schema="x")',
        'op.add_column("person", sa.Column("name", sa.Text()), schema="x")',
    )
    assert tables(made) == {"x.person": {"id", "name"}}


@pytest.mark.parametrize("body", ['op.get_bind().execute(sa.text("SELECT 1")).fetchall()', "raise ValueError"])
def test_a_revision_that_needs_a_database_or_fails_is_named(tmp_path: Path, body: str) -> None:
    with pytest.raises(NotRendered):
        tables(revisions(tmp_path, body))


def test_the_migrations_of_the_bus_are_read() -> None:
    made = tables(dict(discovery.migrations())["bus"])
    assert {"bus.message", "bus.entry", "bus.event", "bus.outgoing", "bus.queue"} <= set(made)
    assert {"seq", "id", "external_id", "body_payload", "accepted_at"} <= made["bus.message"]
