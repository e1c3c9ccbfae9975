"""Bodies and messages whose term is over are taken away."""

from alembic import op

revision = "bus_0004"
down_revision = "bus_0003"


def upgrade() -> None:
    op.execute("""
    -- What lies on the disk for a payload: its row's data, or its blob.
    ALTER TABLE bus.payload ADD COLUMN packed_bytes bigint;
    UPDATE bus.payload SET packed_bytes = coalesce(octet_length(data), size_bytes);
    ALTER TABLE bus.payload ALTER COLUMN packed_bytes SET NOT NULL;
    CREATE INDEX payload_blob ON bus.payload (blob) INCLUDE (packed_bytes) WHERE blob IS NOT NULL;

    -- How much room the bus took, hourly: for the forecast.
    CREATE TABLE bus.disk_sample (
        at          timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
        used_bytes  bigint NOT NULL,
        left_bytes  bigint
    );

    -- Tells how much of the files is free inside; without it the whole files count against the budget.
    DO $$ BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_freespacemap WITH SCHEMA bus;
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'pg_freespacemap: %', SQLERRM;
    END $$;

    -- Journal rows stay as they are, but for the one step of retention: contents give way to their sha256.
    CREATE FUNCTION bus.is_retention() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce(current_setting('omsbus.retention', true), '') = 'on' $$;

    CREATE FUNCTION bus.gives_way(was bytea, was_payload text, body bytea, payload text) RETURNS boolean
    LANGUAGE sql IMMUTABLE AS
    $$ SELECT (body IS NOT DISTINCT FROM was AND payload IS NOT DISTINCT FROM was_payload)
           OR (body IS NULL AND payload ~ '^removed:[0-9a-f]{64}$') $$;

    CREATE FUNCTION bus.refuse_message_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF bus.is_retention()
            AND (NEW.seq, NEW.id, NEW.kind, NEW.version, NEW.key, NEW.source, NEW.external_id, NEW.fingerprint,
                 NEW.outcome, NEW.cause, NEW.in_reply_to, NEW.replies_to, NEW.reply_within_s, NEW.headers,
                 NEW.accepted_at)
                IS NOT DISTINCT FROM
                (OLD.seq, OLD.id, OLD.kind, OLD.version, OLD.key, OLD.source, OLD.external_id, OLD.fingerprint,
                 OLD.outcome, OLD.cause, OLD.in_reply_to, OLD.replies_to, OLD.reply_within_s, OLD.headers,
                 OLD.accepted_at)
            AND bus.gives_way(OLD.body, OLD.body_payload, NEW.body, NEW.body_payload)
            AND bus.gives_way(OLD.received, OLD.received_payload, NEW.received, NEW.received_payload)
            AND jsonb_path_query_array(NEW.attachments, '$[*].name')
                = jsonb_path_query_array(OLD.attachments, '$[*].name')
        THEN RETURN NEW; END IF;
        RAISE EXCEPTION 'bus.message is append-only';
    END $$;
    CREATE FUNCTION bus.refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF bus.is_retention()
            AND (NEW.seq, NEW.message_id, NEW.at, NEW.stage, NEW.attempt, NEW.actor, NEW.note, NEW.duration_ms)
                IS NOT DISTINCT FROM
                (OLD.seq, OLD.message_id, OLD.at, OLD.stage, OLD.attempt, OLD.actor, OLD.note, OLD.duration_ms)
            AND bus.gives_way(OLD.output, OLD.output_payload, NEW.output, NEW.output_payload)
            AND (NEW.detail = OLD.detail OR NEW.detail ~ '^removed:[0-9a-f]{64}$')
        THEN RETURN NEW; END IF;
        RAISE EXCEPTION 'bus.event is append-only';
    END $$;
    CREATE FUNCTION bus.refuse_removal() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF bus.is_retention() AND TG_OP = 'DELETE' THEN RETURN NULL; END IF;
        RAISE EXCEPTION 'bus.% is append-only', TG_TABLE_NAME;
    END $$;
    DROP TRIGGER message_is_immutable ON bus.message;
    DROP TRIGGER event_is_append_only ON bus.event;
    CREATE TRIGGER message_is_immutable BEFORE UPDATE ON bus.message
        FOR EACH ROW EXECUTE FUNCTION bus.refuse_message_change();
    CREATE TRIGGER event_is_append_only BEFORE UPDATE ON bus.event
        FOR EACH ROW EXECUTE FUNCTION bus.refuse_event_change();
    CREATE TRIGGER message_stays BEFORE DELETE OR TRUNCATE ON bus.message
        FOR EACH STATEMENT EXECUTE FUNCTION bus.refuse_removal();
    CREATE TRIGGER event_stays BEFORE DELETE OR TRUNCATE ON bus.event
        FOR EACH STATEMENT EXECUTE FUNCTION bus.refuse_removal();
    DROP FUNCTION bus.refuse_change();

    -- Who names a payload. `length = 64` leaves out the marks of what was taken away.
    CREATE INDEX message_body_payload ON bus.message (body_payload) WHERE length(body_payload) = 64;
    CREATE INDEX message_received_payload ON bus.message (received_payload) WHERE length(received_payload) = 64;
    CREATE INDEX message_attachments ON bus.message USING gin (attachments jsonb_path_ops) WHERE attachments <> '[]';
    CREATE INDEX event_output_payload ON bus.event (output_payload) WHERE length(output_payload) = 64;
    CREATE INDEX outgoing_body_payload ON bus.outgoing (body_payload) WHERE length(body_payload) = 64;

    -- Up to which number a queue was gone through, under which terms; and who was passed over and comes again.
    CREATE TABLE bus.retention_mark (
        queue       text NOT NULL,
        content     text NOT NULL CHECK (content IN ('body', 'record')),
        seq         bigint NOT NULL,
        terms       text NOT NULL,
        PRIMARY KEY (queue, content)
    );
    CREATE TABLE bus.retention_late (
        content     text NOT NULL,
        seq         bigint NOT NULL,
        PRIMARY KEY (content, seq)
    );
    CREATE TABLE bus.retention_run (
        started_at  timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
        finished_at timestamptz,
        bodies      bigint NOT NULL DEFAULT 0,
        records     bigint NOT NULL DEFAULT 0,
        payloads    bigint NOT NULL DEFAULT 0,
        note        text NOT NULL DEFAULT ''
    );

    -- Ids of messages whose record is gone: a late repeat of one is still a repeat.
    CREATE TABLE bus.remembered (
        source      text NOT NULL,
        external_id text NOT NULL,
        fingerprint text NOT NULL,
        message_id  uuid NOT NULL,
        removed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (source, external_id)
    );
    CREATE INDEX remembered_removed ON bus.remembered (removed_at);
    CREATE INDEX remembered_message ON bus.remembered (message_id);
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
