"""The hash chain over the journal and the audit."""

from alembic import op

revision = "bus_0010"
down_revision = "bus_0009"


def upgrade() -> None:
    op.execute("""
    -- One chain of blocks over four streams (docs/evidence.md). A block seals the rows of its stream with numbers
    -- above `after` up to `last`; `numbers` says which there were, `leaves` has a hash of 32 octets for each.
    CREATE TABLE bus.seal (
        number      bigint PRIMARY KEY CHECK (number > 0),
        stream      text NOT NULL CHECK (stream IN ('message', 'event', 'audit', 'removal')),
        after       bigint NOT NULL,
        last        bigint NOT NULL CHECK (last > after),
        count       int NOT NULL CHECK (count > 0),
        numbers     text NOT NULL,
        leaves      bytea STORAGE EXTERNAL NOT NULL,
        root        bytea NOT NULL CHECK (octet_length(root) = 32),
        previous    bytea NOT NULL CHECK (octet_length(previous) = 32),
        skip        bytea NOT NULL CHECK (octet_length(skip) = 32),
        sealed_at   timestamptz NOT NULL,
        hash        bytea NOT NULL CHECK (octet_length(hash) = 32)
    );
    CREATE UNIQUE INDEX seal_last ON bus.seal (stream, last);

    -- What retention deleted: written by a trigger in the transaction of the deletion, and sealed like the rest.
    CREATE TABLE bus.removal (
        seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        stream      text NOT NULL,
        numbers     int8multirange NOT NULL,
        count       int NOT NULL
    );
    CREATE INDEX removal_numbers ON bus.removal USING gist (numbers);
    CREATE FUNCTION bus.note_removal() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        INSERT INTO bus.removal (stream, numbers, count)
        SELECT TG_ARGV[0], range_agg(int8range(seq, seq, '[]')), count(*) FROM gone HAVING count(*) > 0;
        RETURN NULL;
    END $$;
    CREATE TRIGGER message_removal_is_noted AFTER DELETE ON bus.message REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION bus.note_removal('message');
    CREATE TRIGGER event_removal_is_noted AFTER DELETE ON bus.event REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION bus.note_removal('event');

    CREATE FUNCTION bus.refuse_any_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'bus.% is append-only', TG_TABLE_NAME; END $$;
    CREATE TRIGGER seal_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bus.seal
        FOR EACH STATEMENT EXECUTE FUNCTION bus.refuse_any_change();
    CREATE TRIGGER removal_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bus.removal
        FOR EACH STATEMENT EXECUTE FUNCTION bus.refuse_any_change();

    -- Verifications of the chain: the last ones are shown to people.
    CREATE TABLE bus.verification (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        started_by  text NOT NULL,
        seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        outcome     text NOT NULL DEFAULT 'running'
                    CHECK (outcome IN ('running', 'whole', 'broken', 'stopped', 'failed')),
        first_block bigint NOT NULL,
        last_block  bigint NOT NULL,
        blocks      bigint NOT NULL DEFAULT 0,
        rows        bigint NOT NULL DEFAULT 0,
        head        text NOT NULL DEFAULT '',
        note        text NOT NULL DEFAULT '',
        report      jsonb NOT NULL DEFAULT '{}'
    );
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
