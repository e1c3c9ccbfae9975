"""Messages in quarantine by their reason; many messages sent again as one job; corrections by two people."""

from alembic import op

revision = "bus_0008"
down_revision = "bus_0007"

# See 0002: the look must go through the index that is meant, however the statistics stand.
_PINNED = """
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off
    SET jit = off
"""


def upgrade() -> None:
    op.execute(r"""
    -- A reason without what differs from message to message: ids, digests, numbers. A digit that belongs to a word
    -- (v1, GUD6) stays.
    CREATE FUNCTION bus.reason_form(reason text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT regexp_replace(regexp_replace(reason,
            '[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{16,}', '…', 'g'),
            '(?<![A-Za-zА-Яа-яЁё_0-9])[0-9]+([.,:/-][0-9]+)*', 'N', 'g')
    $$;
    -- Messages that are in quarantine for one reason have one number here.
    CREATE FUNCTION bus.reason_group(error text, reason text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT lpad(to_hex(hashtextextended(error || ' ' || bus.reason_form(reason), 0)), 16, '0')
    $$;
    CREATE INDEX entry_reason ON bus.entry (queue, bus.reason_group(error, reason), seq) WHERE state = 'quarantined';
    """)
    op.execute(f"""
    -- A group with its first and last message and how many it has, counted up to `most`; no row when there is none.
    CREATE FUNCTION bus.quarantine_of(of_queue text, of_reason text, most bigint)
    RETURNS TABLE (queue text, reason text, first bigint, last bigint, many bigint, is_more boolean)
    LANGUAGE plpgsql STABLE ROWS 1 {_PINNED} AS $$ BEGIN
        queue := of_queue;
        reason := of_reason;
        SELECT e.seq INTO first FROM bus.entry e
        WHERE e.queue = of_queue AND bus.reason_group(e.error, e.reason) BETWEEN of_reason AND of_reason
          AND e.state = 'quarantined'
        ORDER BY bus.reason_group(e.error, e.reason), e.seq LIMIT 1;
        IF NOT FOUND THEN RETURN; END IF;
        SELECT l.seq INTO last FROM bus.quarantined(of_queue, of_reason, 9223372036854775807, 1) AS l;
        SELECT count(*) INTO many FROM (
            SELECT 1 FROM bus.entry e
            WHERE e.queue = of_queue AND bus.reason_group(e.error, e.reason) BETWEEN of_reason AND of_reason
              AND e.state = 'quarantined'
            ORDER BY bus.reason_group(e.error, e.reason), e.seq LIMIT most) AS part;
        is_more := many >= most;
        RETURN NEXT;
    END $$;

    -- Every group in quarantine: one look into the index a group. Counted are `most` messages in all, and `each` of
    -- every group however many there were before.
    CREATE FUNCTION bus.quarantine(most_groups bigint, most bigint, each bigint)
    RETURNS TABLE (queue text, reason text, first bigint, last bigint, many bigint, is_more boolean)
    LANGUAGE plpgsql STABLE ROWS 100 {_PINNED} AS $$
    DECLARE
        left_over bigint := most;
    BEGIN
        queue := '';
        reason := '';
        FOR step IN 1 .. most_groups LOOP
            SELECT e.queue, bus.reason_group(e.error, e.reason) INTO queue, reason FROM bus.entry e
            WHERE (e.queue, bus.reason_group(e.error, e.reason)) > (quarantine.queue, quarantine.reason)
              AND e.state = 'quarantined'
            ORDER BY e.queue, bus.reason_group(e.error, e.reason), e.seq LIMIT 1;
            EXIT WHEN NOT FOUND;
            SELECT g.first, g.last, g.many, g.is_more INTO first, last, many, is_more
            FROM bus.quarantine_of(queue, reason, greatest(left_over, each)) AS g;
            left_over := left_over - many;
            RETURN NEXT;
        END LOOP;
    END $$;

    -- The last messages of a group before a number.
    CREATE FUNCTION bus.quarantined(of_queue text, of_reason text, before bigint, most bigint)
    RETURNS TABLE (seq bigint, message_id uuid)
    LANGUAGE plpgsql STABLE ROWS 50 {_PINNED} AS $$ BEGIN RETURN QUERY
        SELECT e.seq, e.message_id FROM bus.entry e
        WHERE e.queue = of_queue AND bus.reason_group(e.error, e.reason) >= of_reason
          AND (bus.reason_group(e.error, e.reason), e.seq) < (of_reason, before) AND e.state = 'quarantined'
        ORDER BY bus.reason_group(e.error, e.reason) DESC, e.seq DESC LIMIT most;
    END $$;
    """)
    op.execute("""
    -- A job over many messages; its counts are those of its items. `errors_before`: of the failures these were there
    -- when a person let it go on.
    CREATE TABLE bus.bulk (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        action      text NOT NULL CHECK (action IN ('resend', 'drop')),
        title       text NOT NULL,
        reason      text NOT NULL DEFAULT '',
        rate_per_s  double precision NOT NULL CHECK (rate_per_s > 0),
        errors_most int NOT NULL CHECK (errors_most >= 0),
        errors_before int NOT NULL DEFAULT 0,
        state       text NOT NULL DEFAULT 'planned'
                    CHECK (state IN ('planned', 'running', 'paused', 'done', 'cancelled', 'stopped')),
        note        text NOT NULL DEFAULT '',
        total       int NOT NULL,
        waiting     int NOT NULL,
        under_way   int NOT NULL DEFAULT 0,
        succeeded   int NOT NULL DEFAULT 0,
        failed      int NOT NULL DEFAULT 0,
        skipped     int NOT NULL DEFAULT 0,
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_by  text NOT NULL,
        started_at  timestamptz,
        finished_at timestamptz,
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_by  text NOT NULL DEFAULT ''
    );
    CREATE INDEX bulk_open ON bus.bulk (id) WHERE state IN ('planned', 'running') OR under_way > 0;

    -- A message of a job. `was`: its state when it was chosen; `went_id`: what was sent, itself or a copy.
    CREATE TABLE bus.bulk_item (
        bulk_id     bigint NOT NULL REFERENCES bus.bulk ON DELETE CASCADE,
        place       int NOT NULL,
        message_id  uuid NOT NULL,
        was         text NOT NULL,
        state       text NOT NULL DEFAULT 'waiting'
                    CHECK (state IN ('waiting', 'under_way', 'succeeded', 'failed', 'skipped')),
        went_id     uuid,
        note        text NOT NULL DEFAULT '',
        changed_at  timestamptz,
        PRIMARY KEY (bulk_id, place),
        UNIQUE (bulk_id, message_id)
    );
    CREATE INDEX bulk_item_state ON bus.bulk_item (bulk_id, state, place);

    -- A proposed body in place of a message's own. It never changes; what is decided about it is written once.
    CREATE TABLE bus.correction (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        message_id  uuid NOT NULL,
        entry_state text NOT NULL,
        entry_changed_at timestamptz NOT NULL,
        body        bytea STORAGE EXTERNAL,
        body_payload text,
        sha256      text NOT NULL,
        note        text NOT NULL,
        state       text NOT NULL DEFAULT 'proposed'
                    CHECK (state IN ('proposed', 'approved', 'rejected', 'withdrawn', 'expired')),
        proposed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        proposed_by text NOT NULL,
        proposed_account bigint NOT NULL,
        expires_at  timestamptz NOT NULL,
        decided_at  timestamptz,
        decided_by  text NOT NULL DEFAULT '',
        decision    text NOT NULL DEFAULT '',
        new_id      uuid,
        CHECK (state <> 'approved' OR (new_id IS NOT NULL AND decided_by <> proposed_by))
    );
    CREATE INDEX correction_message ON bus.correction (message_id);
    CREATE UNIQUE INDEX correction_open ON bus.correction (message_id) WHERE state = 'proposed';
    CREATE INDEX correction_body_payload ON bus.correction (body_payload) WHERE length(body_payload) = 64;
    CREATE FUNCTION bus.refuse_correction_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF (NEW.id, NEW.message_id, NEW.entry_state, NEW.entry_changed_at, NEW.sha256, NEW.note, NEW.proposed_at,
            NEW.proposed_by, NEW.proposed_account, NEW.expires_at)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.message_id, OLD.entry_state, OLD.entry_changed_at, OLD.sha256, OLD.note, OLD.proposed_at,
             OLD.proposed_by, OLD.proposed_account, OLD.expires_at)
            AND ((NEW.body, NEW.body_payload) IS NOT DISTINCT FROM (OLD.body, OLD.body_payload)
                 OR (bus.is_retention() AND bus.gives_way(OLD.body, OLD.body_payload, NEW.body, NEW.body_payload)))
            AND (OLD.state = 'proposed' OR (NEW.state, NEW.decided_at, NEW.decided_by, NEW.decision, NEW.new_id)
                 IS NOT DISTINCT FROM (OLD.state, OLD.decided_at, OLD.decided_by, OLD.decision, OLD.new_id))
        THEN RETURN NEW; END IF;
        RAISE EXCEPTION 'bus.correction is decided once';
    END $$;
    CREATE TRIGGER correction_is_decided_once BEFORE UPDATE ON bus.correction
        FOR EACH ROW EXECUTE FUNCTION bus.refuse_correction_change();
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
