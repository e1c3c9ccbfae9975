"""What the other pages of the console keep."""

from alembic import op

revision = "bus_0012"
down_revision = "bus_0011"


def upgrade() -> None:
    op.execute("""
    -- Numbers of a queue that an operator set: they win over the settings file (core/overrides.py). NULL: the file's.
    CREATE TABLE bus.queue_override (
        queue       text PRIMARY KEY,
        concurrency int,
        attempts    int,
        first_s     double precision,
        factor      double precision,
        most_s      double precision,
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_by  text NOT NULL
    );

    -- The last test of each connection (core/connection_check.py). finished_at NULL: under way.
    CREATE TABLE bus.connection_check (
        connector   text PRIMARY KEY,
        asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        asked_by    text NOT NULL,
        finished_at timestamptz,
        ok          boolean NOT NULL DEFAULT false,
        said        text NOT NULL DEFAULT ''
    );
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
