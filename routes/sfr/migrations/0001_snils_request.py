"""Questions about a СНИЛС."""

from alembic import op

revision = "sfr_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE sfr.snils_request (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        person_id   bigint NOT NULL,
        message_id  uuid NOT NULL,
        state       text NOT NULL DEFAULT 'asked',
        snils       text,
        note        text NOT NULL DEFAULT '',
        asked_at    timestamptz NOT NULL DEFAULT now(),
        changed_at  timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT snils_request_state
            CHECK (state IN ('asked', 'answered', 'rejected', 'failed', 'timeout', 'doubtful'))
    );
    CREATE UNIQUE INDEX snils_request_message ON sfr.snils_request (message_id);
    CREATE UNIQUE INDEX snils_request_open ON sfr.snils_request (person_id) WHERE state = 'asked';
    """)
