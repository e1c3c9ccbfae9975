"""Business-day calendars of the schedules, and schedules made by operators."""

from alembic import op

revision = "bus_0009"
down_revision = "bus_0008"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE bus.calendar (
        name        text PRIMARY KEY CHECK (name <> ''),
        title       text NOT NULL DEFAULT '',
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_by  text NOT NULL DEFAULT ''
    );
    -- Only days that differ from the week, and shortened ones; a year without any is not known yet.
    CREATE TABLE bus.calendar_day (
        calendar    text NOT NULL REFERENCES bus.calendar ON DELETE CASCADE,
        day         date NOT NULL,
        kind        text NOT NULL CHECK (kind IN ('off', 'working', 'short')),
        note        text NOT NULL DEFAULT '',
        PRIMARY KEY (calendar, day)
    );

    -- changed: what an operator wants otherwise than code or settings declare it (cron, timezone, missed, calendar,
    -- rule); no foreign key to the calendar: a declared schedule may name one that is imported later.
    ALTER TABLE bus.schedule
        ADD COLUMN calendar   text NOT NULL DEFAULT '',
        ADD COLUMN rule       text NOT NULL DEFAULT 'skip' CHECK (rule IN ('skip', 'next', 'previous')),
        ADD COLUMN changed    jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN changed_by text NOT NULL DEFAULT '';

    -- The history of a schedule: whatever the collation of the database, and the newest first.
    CREATE INDEX message_schedule ON bus.message ((headers ->> 'schedule'), seq) WHERE source = 'schedule';
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
