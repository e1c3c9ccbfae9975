"""What the bus counts of itself (rates, times), and the alerts that it raised and sent."""

from alembic import op

revision = "bus_0005"
down_revision = "bus_0004"


def upgrade() -> None:
    op.execute("""
    -- Counted by every process, added once in some seconds: by the minute, by the hour, and in all (began = epoch).
    -- waited and worked are histograms over core/rates.BOUNDS_S: messages per bucket, the last one without a bound.
    CREATE TABLE bus.rate (
        span        text NOT NULL CHECK (span IN ('minute', 'hour', 'all')),
        began       timestamptz NOT NULL,
        queue       text NOT NULL,
        accepted    bigint NOT NULL,
        commits     bigint NOT NULL,
        handled     bigint NOT NULL,
        sent        bigint NOT NULL,
        retried     bigint NOT NULL,
        quarantined bigint NOT NULL,
        batches     bigint NOT NULL,
        claimed     bigint NOT NULL,
        signals     bigint NOT NULL,
        waited      bigint[] NOT NULL,
        waited_s    double precision NOT NULL,
        worked      bigint[] NOT NULL,
        worked_s    double precision NOT NULL,
        PRIMARY KEY (span, began, queue)
    ) WITH (fillfactor = 50);

    CREATE FUNCTION bus.added(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS
    $$ SELECT coalesce(array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY place), '{}')
       FROM unnest(a, b) WITH ORDINALITY AS both_ (x, y, place) $$;
    CREATE AGGREGATE bus.total(bigint[]) (sfunc = bus.added, stype = bigint[], initcond = '{}');

    -- One row from the moment something is found wrong until it is right again.
    CREATE TABLE bus.alert (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        rule        text NOT NULL,
        subject     text NOT NULL,
        severity    text NOT NULL CHECK (severity IN ('warning', 'critical')),
        text        text NOT NULL,
        advice      text NOT NULL,
        value       double precision NOT NULL,
        since       timestamptz NOT NULL,
        seen_at     timestamptz NOT NULL,
        fired_at    timestamptz,
        told_at     timestamptz,
        told_value  double precision,
        over_at     timestamptz
    );
    CREATE UNIQUE INDEX alert_open ON bus.alert (rule, subject) WHERE over_at IS NULL;
    CREATE INDEX alert_over ON bus.alert (over_at) WHERE over_at IS NOT NULL;

    -- What is to be told, a row a channel; written in the transaction that decides it, so that a crash loses nothing.
    CREATE TABLE bus.alert_notice (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        alert_id    bigint NOT NULL REFERENCES bus.alert ON DELETE CASCADE,
        channel     text NOT NULL,
        what        text NOT NULL CHECK (what IN ('began', 'worse', 'again', 'over')),
        made_at     timestamptz NOT NULL,
        due_at      timestamptz NOT NULL,
        sent_at     timestamptz,
        attempts    int NOT NULL DEFAULT 0,
        failure     text NOT NULL DEFAULT ''
    );
    CREATE INDEX alert_notice_waiting ON bus.alert_notice (channel, due_at) WHERE sent_at IS NULL;
    CREATE INDEX alert_notice_alert ON bus.alert_notice (alert_id);
    CREATE INDEX alert_notice_sent ON bus.alert_notice (channel, sent_at) WHERE sent_at IS NOT NULL;
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
