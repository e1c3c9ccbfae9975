"""Claims stay fast however many messages wait.

A claim must look at as many rows as it takes, never at as many as wait. So every look goes through a function here:
by its SET clauses and by the order it asks for, only the index that is meant can serve it. Left alone the planner
chooses by statistics, and those are wrong by a million rows whenever a backlog comes or goes.

`x BETWEEN q AND q ORDER BY x, seq` is `x = q ORDER BY seq` said in such a way that only an index that begins with x
has that order: the primary key is no candidate.
"""

from alembic import op

revision = "bus_0002"
down_revision = "bus_0001"

# jit: PostgreSQL before 18 adds 10^10 to the cost of a disabled step, and compiles what seems to be that costly.
_PINNED = """
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off
    SET jit = off
"""


def upgrade() -> None:
    op.execute("""
    DROP INDEX bus.entry_ready;
    DROP INDEX bus.entry_held;
    DROP INDEX bus.entry_unfinished_key;
    CREATE INDEX entry_ready ON bus.entry (queue, seq) INCLUDE (key) WHERE state = 'ready';
    CREATE INDEX entry_ready_key ON bus.entry (queue, key, seq) WHERE state = 'ready';
    CREATE INDEX entry_held ON bus.entry (queue, seq) WHERE state = 'held';
    CREATE INDEX entry_stuck_key ON bus.entry (queue, key, seq)
        WHERE key <> '' AND state IN ('held', 'retry', 'quarantined');

    -- A row changes its state once or twice and leaves dead entries at the low end of the indexes, where claims look.
    ALTER TABLE bus.entry SET (
        autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0.01,
        autovacuum_analyze_threshold = 10000, autovacuum_analyze_scale_factor = 0.02
    );
    """)
    op.execute(f"""
    -- The first ready messages of a queue.
    CREATE FUNCTION bus.near(of_queue text, most bigint) RETURNS TABLE (seq bigint, key text)
    LANGUAGE plpgsql STABLE ROWS 10 {_PINNED} AS $$ BEGIN RETURN QUERY
        SELECT e.seq, e.key FROM bus.entry e
        WHERE e.queue BETWEEN of_queue AND of_queue AND e.state = 'ready'
        ORDER BY e.queue, e.seq LIMIT most;
    END $$;

    -- Locks ready messages without a key that come after a number, however many of them others have locked.
    -- prepared: null (all), or whether bus.outgoing has the message.
    CREATE FUNCTION bus.lock_keyless(of_queue text, after bigint, prepared boolean, most bigint)
    RETURNS TABLE (seq bigint, attempts int)
    LANGUAGE plpgsql VOLATILE ROWS 10 {_PINNED} AS $$ BEGIN RETURN QUERY
        SELECT e.seq, e.attempts FROM bus.entry e
        WHERE e.queue = of_queue AND e.key BETWEEN '' AND '' AND e.state = 'ready' AND e.seq > after
          AND (prepared IS NULL OR prepared = EXISTS (SELECT FROM bus.outgoing o WHERE o.message_id = e.message_id))
        ORDER BY e.key, e.seq LIMIT most
        FOR UPDATE OF e SKIP LOCKED;
    END $$;

    -- The next keys of a queue that have ready messages, with the first of those: one look at the index a key.
    CREATE FUNCTION bus.next_keys(of_queue text, after text, most bigint) RETURNS TABLE (key text, seq bigint)
    LANGUAGE plpgsql STABLE ROWS 10 {_PINNED} AS $$ BEGIN
        key := after;
        FOR step IN 1 .. most LOOP
            SELECT e.key, e.seq INTO key, seq FROM bus.entry e
            WHERE e.queue = of_queue AND e.key > next_keys.key AND e.state = 'ready'
            ORDER BY e.key, e.seq LIMIT 1;
            EXIT WHEN NOT FOUND;
            RETURN NEXT;
        END LOOP;
    END $$;

    -- The first unfinished messages of keys, up to `each` of each, none after `last` (the index reads a page of a long
    -- key at once, unless it is told where to end). followed: the key has messages that are not ready.
    CREATE FUNCTION bus.unfinished(of_queue text, keys text[], lasts bigint[], each bigint)
    RETURNS TABLE (seq bigint, key text, state text, followed boolean)
    LANGUAGE plpgsql STABLE ROWS 10 {_PINNED} AS $$ BEGIN RETURN QUERY
        SELECT w.seq, k, w.state, w.followed FROM unnest(keys, lasts) AS one (k, last) CROSS JOIN LATERAL (
            SELECT u.seq, u.state, bool_or(u.state <> 'ready') OVER () AS followed FROM (
                (SELECT e.seq, e.state FROM bus.entry e
                 WHERE e.queue = of_queue AND e.key BETWEEN k AND k AND e.state = 'ready' AND e.seq <= last
                 ORDER BY e.key, e.seq LIMIT each)
                UNION ALL
                (SELECT e.seq, e.state FROM bus.entry e
                 WHERE e.queue = of_queue AND e.key BETWEEN k AND k AND e.key <> ''
                   AND e.state IN ('held', 'retry', 'quarantined')
                 ORDER BY e.key, e.seq LIMIT each)) AS u
            ORDER BY u.seq LIMIT each) AS w
        WHERE w.seq <= last;  -- what lies behind it was not looked at in full
    END $$;

    -- The first message of each key that is not ready.
    CREATE FUNCTION bus.first_stuck(of_queue text, keys text[]) RETURNS TABLE (seq bigint, state text)
    LANGUAGE plpgsql STABLE ROWS 10 {_PINNED} AS $$ BEGIN RETURN QUERY
        SELECT w.seq, w.state FROM unnest(keys) AS k CROSS JOIN LATERAL (
            SELECT e.seq, e.state FROM bus.entry e
            WHERE e.queue = of_queue AND e.key BETWEEN k AND k AND e.key <> ''
              AND e.state IN ('held', 'retry', 'quarantined')
            ORDER BY e.key, e.seq LIMIT 1) AS w;
    END $$;

    -- The first ready messages of a key after a number.
    CREATE FUNCTION bus.ready_behind(of_queue text, of_key text, after bigint, most bigint) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE ROWS 10 {_PINNED} AS $$ BEGIN RETURN QUERY
        SELECT e.seq FROM bus.entry e
        WHERE e.queue = of_queue AND e.key BETWEEN of_key AND of_key AND e.state = 'ready' AND e.seq > after
        ORDER BY e.key, e.seq LIMIT most;
    END $$;

    -- The next keys of all queues that have messages which are not ready, with the first of those.
    CREATE FUNCTION bus.next_stuck(after_queue text, after_key text, most bigint)
    RETURNS TABLE (queue text, key text, seq bigint, state text)
    LANGUAGE plpgsql STABLE ROWS 10 {_PINNED} AS $$ BEGIN
        queue := after_queue;
        key := after_key;
        FOR step IN 1 .. most LOOP
            SELECT e.queue, e.key, e.seq, e.state INTO queue, key, seq, state FROM bus.entry e
            WHERE (e.queue, e.key) > (next_stuck.queue, next_stuck.key) AND e.key <> ''
              AND e.state IN ('held', 'retry', 'quarantined')
            ORDER BY e.queue, e.key, e.seq LIMIT 1;
            EXIT WHEN NOT FOUND;
            RETURN NEXT;
        END LOOP;
    END $$;

    -- Retries whose time has come.
    CREATE FUNCTION bus.due(most bigint) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE ROWS 10 {_PINNED} AS $$ BEGIN RETURN QUERY
        SELECT e.seq FROM bus.entry e WHERE e.state = 'retry' AND e.due_at <= now() ORDER BY e.due_at LIMIT most;
    END $$;
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
