"""Webhooks and idempotency keys of the REST API."""

from alembic import op

revision = "bus_0011"
down_revision = "bus_0010"


def upgrade() -> None:
    op.execute("""
    -- One row a request under a key; kept a day. status NULL: it began, and nobody knows yet how it ended.
    CREATE TABLE bus.idempotency (
        actor       text NOT NULL,
        key         text NOT NULL,
        fingerprint bytea NOT NULL,                 -- sha256 of the request
        began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        status      int,
        body        bytea,
        PRIMARY KEY (actor, key)
    );
    CREATE INDEX idempotency_began ON bus.idempotency (began_at);

    -- Who wants to be told. event_seq, change_seq: how far this one has been told; *_to: the end of the batch now sent.
    -- No secret: it is derived from the key of the bus and `salt`; key_mark tells whether that key is still the same.
    CREATE TABLE bus.webhook (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        title       text NOT NULL,
        url         text NOT NULL,
        events      text[] NOT NULL,
        queues      text[] NOT NULL DEFAULT '{}',   -- '{}': all
        kinds       text[] NOT NULL DEFAULT '{}',
        salt        bytea NOT NULL,
        key_mark    bytea NOT NULL,
        state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'failed')),
        reason      text NOT NULL DEFAULT '',
        event_seq   bigint NOT NULL,
        change_seq  bigint NOT NULL,
        event_to    bigint,
        change_to   bigint,
        attempts    int NOT NULL DEFAULT 0,
        failing_since timestamptz,
        due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
        told_at     timestamptz,
        told        bigint NOT NULL DEFAULT 0,      -- events, in all
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_by  text NOT NULL,
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    -- The last attempts of each, for people.
    CREATE TABLE bus.webhook_attempt (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        webhook_id  bigint NOT NULL REFERENCES bus.webhook ON DELETE CASCADE,
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        delivery    text NOT NULL,
        events      int NOT NULL,
        attempt     int NOT NULL,
        status      int,                            -- of HTTP; NULL: no answer
        note        text NOT NULL,
        duration_ms real NOT NULL
    );
    CREATE INDEX webhook_attempt_webhook ON bus.webhook_attempt (webhook_id, id);

    -- State changes that bus.event does not have: queues, schedules, answers. Written only while somebody wants them.
    CREATE TABLE bus.change (
        seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        type        text NOT NULL,
        queue       text NOT NULL DEFAULT '',
        subject     text NOT NULL DEFAULT '',       -- the schedule
        message_id  uuid,
        detail      jsonb NOT NULL DEFAULT '{}'     -- no text of people or partners
    );

    CREATE FUNCTION bus.note_queue_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF EXISTS (SELECT 1 FROM bus.webhook) THEN
            INSERT INTO bus.change (type, queue, detail) VALUES (
                'queue.' || CASE NEW.state WHEN 'running' THEN 'resumed' ELSE NEW.state END, NEW.name,
                jsonb_build_object('side', NEW.side, 'state', NEW.state, 'before', OLD.state));
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER queue_change_is_noted AFTER UPDATE OF state ON bus.queue
        FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION bus.note_queue_change();

    CREATE FUNCTION bus.note_outage() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF EXISTS (SELECT 1 FROM bus.webhook) THEN
            INSERT INTO bus.change (type, queue, detail) VALUES (
                'connector.' || CASE NEW.failures WHEN 0 THEN 'available' ELSE 'unavailable' END, NEW.name,
                jsonb_build_object('side', NEW.side));
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER outage_is_noted AFTER UPDATE OF failures ON bus.queue
        FOR EACH ROW WHEN ((OLD.failures = 0) <> (NEW.failures = 0)) EXECUTE FUNCTION bus.note_outage();

    CREATE FUNCTION bus.note_answer() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF EXISTS (SELECT 1 FROM bus.webhook) THEN
            INSERT INTO bus.change (type, queue, message_id, detail)
            VALUES ('message.answered', NEW.sink, NEW.message_id, jsonb_build_object('outcome', NEW.answer));
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER answer_is_noted AFTER UPDATE OF answered_at ON bus.outgoing
        FOR EACH ROW WHEN (OLD.answered_at IS NULL AND NEW.answered_at IS NOT NULL)
        EXECUTE FUNCTION bus.note_answer();

    CREATE FUNCTION bus.note_schedule() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF EXISTS (SELECT 1 FROM bus.webhook) THEN
            INSERT INTO bus.change (type, queue, subject, detail)
            VALUES ('schedule.fired', NEW.queue, NEW.name, jsonb_build_object('run', NEW.fired_for));
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER schedule_is_noted AFTER UPDATE OF fired_at ON bus.schedule
        FOR EACH ROW WHEN (OLD.fired_at IS DISTINCT FROM NEW.fired_at) EXECUTE FUNCTION bus.note_schedule();
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
