"""What the journal can be searched by: keys by XPath and words of bodies, filled in behind the intake.

Nothing is added to bus.message and bus.entry but two partial indexes of rare states: what a search needs beyond them is
written by core/search/indexer.py, so that the intake costs what it cost before.
"""

from alembic import op

revision = "bus_0007"
down_revision = "bus_0006"


def upgrade() -> None:
    op.execute("""
    CREATE INDEX entry_retry_queue ON bus.entry (queue, seq) WHERE state = 'retry';
    CREATE INDEX entry_dropped ON bus.entry (queue, seq) WHERE state = 'dropped';

    -- What is indexed. participant and key come with the bus; xpath and words are declared by operators.
    -- Of the messages up to `since` those above `low` are indexed, backwards from `since`; of the later ones those up
    -- to bus.search_cursor.high.
    CREATE TABLE bus.search_rule (
        id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        title       text NOT NULL,
        what        text NOT NULL CHECK (what IN ('participant', 'key', 'xpath', 'words')),
        kind        text NOT NULL DEFAULT '',       -- of message; '': every kind
        xpath       text NOT NULL DEFAULT '',
        namespaces  jsonb NOT NULL DEFAULT '{}',
        personal    boolean NOT NULL,
        since       bigint NOT NULL,
        low         bigint NOT NULL,
        declared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        declared_by text NOT NULL DEFAULT '',
        removed_at  timestamptz                     -- its keys are being deleted
    );
    CREATE UNIQUE INDEX search_rule_words ON bus.search_rule (kind) WHERE what = 'words' AND removed_at IS NULL;

    -- Everything up to `high` has been looked at. `candidate` becomes `high` when no transaction that was under way
    -- at `candidate_xid` is left: a smaller number may be committed later than a larger one.
    CREATE TABLE bus.search_cursor (
        one         boolean PRIMARY KEY DEFAULT true CHECK (one),
        high        bigint NOT NULL,
        candidate   bigint NOT NULL,
        candidate_xid xid8 NOT NULL,
        candidate_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    -- value: bus.search_value of what was found, so that the index holds nothing personal that can be read.
    CREATE TABLE bus.search_key (
        rule        int NOT NULL,
        value       bigint NOT NULL,
        seq         bigint NOT NULL,
        PRIMARY KEY (rule, value, seq)
    );
    CREATE INDEX search_key_seq ON bus.search_key (seq);

    CREATE TABLE bus.search_words (
        seq         bigint PRIMARY KEY,
        rule        int NOT NULL,
        words       bigint[] NOT NULL
    );
    CREATE INDEX search_words_words ON bus.search_words USING gin (words);

    -- The same as core.search.values.hashed.
    CREATE FUNCTION bus.search_value(given text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    $$ SELECT ('x' || encode(substring(sha256(convert_to(given, 'UTF8')) FROM 1 FOR 8), 'hex'))::bit(64)::bigint $$;

    INSERT INTO bus.search_cursor (high, candidate, candidate_xid)
    SELECT top, top, pg_snapshot_xmax(pg_current_snapshot())
    FROM (SELECT coalesce(max(seq), 0) AS top FROM bus.message) AS found;
    INSERT INTO bus.search_rule (name, title, what, personal, since, low)
    SELECT name, title, name, false, high, high
    FROM bus.search_cursor, (VALUES ('participant', 'Участник'), ('key', 'Ключ порядка')) AS given (name, title);

    -- Filters of the list that a person keeps. query: of the page's address, without anything personal.
    CREATE TABLE bus.saved_search (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        login       text NOT NULL,
        title       text NOT NULL,
        query       text NOT NULL,
        made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (login, title)
    );
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
