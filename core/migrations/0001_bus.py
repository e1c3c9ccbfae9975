"""The bus: messages, where each stands, what happened to it, what went out, queues, schedules, payloads."""

from alembic import op

revision = "bus_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
    -- Immutable: one row a message, exactly as accepted. seq is the order of acceptance.
    CREATE TABLE bus.message (
        seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id              uuid NOT NULL UNIQUE,
        kind            text NOT NULL,
        version         text NOT NULL,
        key             text NOT NULL,
        source          text NOT NULL,
        external_id     text NOT NULL,
        fingerprint     text NOT NULL,
        outcome         text NOT NULL,
        cause           uuid,
        in_reply_to     text NOT NULL,
        replies_to      text NOT NULL,
        reply_within_s  double precision,
        headers         jsonb NOT NULL,
        attachments     jsonb NOT NULL,
        body            bytea STORAGE EXTERNAL,
        body_payload    text,
        received        bytea STORAGE EXTERNAL,
        received_payload text,
        accepted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (source, external_id)
    );
    CREATE INDEX message_cause ON bus.message (cause) WHERE cause IS NOT NULL;
    CREATE INDEX message_kind ON bus.message (kind, seq);

    -- Where each message stands now. The only mutable row of a message, and a narrow one.
    CREATE TABLE bus.entry (
        seq         bigint PRIMARY KEY,
        message_id  uuid NOT NULL UNIQUE,
        queue       text NOT NULL,
        key         text NOT NULL,
        state       text NOT NULL CHECK (state IN
                    ('ready', 'held', 'retry', 'quarantined', 'handled', 'sent', 'dropped')),
        attempts    int NOT NULL DEFAULT 0,
        due_at      timestamptz,
        error       text NOT NULL DEFAULT '',
        reason      text NOT NULL DEFAULT '',
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX entry_ready ON bus.entry (queue, seq) WHERE state = 'ready';
    CREATE INDEX entry_retry ON bus.entry (due_at) WHERE state = 'retry';
    CREATE INDEX entry_held ON bus.entry (queue, key, seq) WHERE state = 'held';
    CREATE INDEX entry_quarantined ON bus.entry (queue, seq) WHERE state = 'quarantined';
    CREATE INDEX entry_unfinished_key ON bus.entry (queue, key, seq)
        WHERE key <> '' AND state IN ('ready', 'held', 'retry', 'quarantined');
    CREATE INDEX entry_queue ON bus.entry (queue, seq);

    -- Append-only: every attempt, every stage's output, every operator's action.
    CREATE TABLE bus.event (
        seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        message_id  uuid NOT NULL,
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        stage       text NOT NULL,
        attempt     int NOT NULL DEFAULT 0,
        actor       text NOT NULL DEFAULT '',
        note        text NOT NULL DEFAULT '',
        detail      text NOT NULL DEFAULT '',
        duration_ms real,
        output      bytea STORAGE EXTERNAL,
        output_payload text
    );
    CREATE INDEX event_message ON bus.event (message_id, seq);

    -- What a sink has prepared: identity and bytes that are repeated until the far side confirms.
    CREATE TABLE bus.outgoing (
        message_id   uuid PRIMARY KEY,
        sink         text NOT NULL,
        external_id  text NOT NULL,
        body         bytea STORAGE EXTERNAL,
        body_payload text,
        headers      jsonb NOT NULL,
        replies_to   text NOT NULL,
        sends        int NOT NULL DEFAULT 0,
        prepared_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        confirmed_at timestamptz,
        answer_due_at timestamptz,
        answered_at  timestamptz,
        answer       text NOT NULL DEFAULT ''
    );
    CREATE INDEX outgoing_external ON bus.outgoing (sink, external_id);
    CREATE INDEX outgoing_due ON bus.outgoing (answer_due_at) WHERE answered_at IS NULL AND answer_due_at IS NOT NULL;

    CREATE TABLE bus.queue (
        name        text PRIMARY KEY,
        side        text NOT NULL CHECK (side IN ('route', 'sink', 'source')),
        title       text NOT NULL DEFAULT '',
        state       text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'paused', 'stopped')),
        reason      text NOT NULL DEFAULT '',
        failures    int NOT NULL DEFAULT 0,
        rest_until  timestamptz,
        poll_asked_at timestamptz,
        polled_at   timestamptz,
        poll_result text NOT NULL DEFAULT '',
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_by  text NOT NULL DEFAULT ''
    );

    CREATE TABLE bus.schedule (
        name        text PRIMARY KEY,
        title       text NOT NULL DEFAULT '',
        cron        text NOT NULL,
        timezone    text NOT NULL,
        queue       text NOT NULL,
        body        text NOT NULL DEFAULT '{}',
        missed      text NOT NULL CHECK (missed IN ('skip', 'once', 'all')),
        paused      boolean NOT NULL DEFAULT false,
        origin      text NOT NULL DEFAULT 'code',
        fired_for   timestamptz,
        fired_at    timestamptz,
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    -- Content-addressed: one copy of a large body, however many messages carry it.
    CREATE TABLE bus.payload (
        sha256      text PRIMARY KEY,
        size_bytes  bigint NOT NULL,
        codec       text NOT NULL,
        data        bytea STORAGE EXTERNAL,
        blob        text,
        stored_at   timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    -- Length of a body that may be packed (core/payloads.py): a zstd frame names it in its header.
    CREATE FUNCTION bus.body_bytes(body bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS
    $$ DECLARE
        head int; place int;
    BEGIN
        IF substring(body FROM 1 FOR 4) <> '\\x28b52ffd'::bytea THEN RETURN octet_length(body); END IF;
        head := get_byte(body, 4);
        place := 5 + CASE WHEN head & 32 = 0 THEN 1 ELSE 0 END + (ARRAY[0, 1, 2, 4])[(head & 3) + 1];
        RETURN CASE head >> 6
            WHEN 0 THEN get_byte(body, place)
            WHEN 1 THEN 256 + get_byte(body, place) + (get_byte(body, place + 1) << 8)
            ELSE get_byte(body, place) + (get_byte(body, place + 1) << 8) + (get_byte(body, place + 2) << 16)
                + get_byte(body, place + 3)::bigint * 16777216
        END;
    END $$;

    CREATE FUNCTION bus.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'bus.% is append-only', TG_TABLE_NAME; END $$;
    CREATE TRIGGER message_is_immutable BEFORE UPDATE ON bus.message
        FOR EACH ROW EXECUTE FUNCTION bus.refuse_change();
    CREATE TRIGGER event_is_append_only BEFORE UPDATE ON bus.event
        FOR EACH ROW EXECUTE FUNCTION bus.refuse_change();
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
