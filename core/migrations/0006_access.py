"""Accounts, sessions, tokens, and the audit of what people did and looked at."""

from alembic import op

revision = "bus_0006"
down_revision = "bus_0005"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE bus.account (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        login       text NOT NULL UNIQUE CHECK (login = lower(login) AND login <> ''),
        name        text NOT NULL,
        password    text NOT NULL DEFAULT '',       -- argon2 hash; '': no local password (OIDC only)
        subject     text NOT NULL DEFAULT '',       -- who this is at the OIDC provider
        roles       text[] NOT NULL,
        timezone    text NOT NULL DEFAULT 'Europe/Moscow',
        theme       text NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark')),
        blocked     boolean NOT NULL DEFAULT false,
        failures    int NOT NULL DEFAULT 0,
        locked_until timestamptz,
        must_change boolean NOT NULL DEFAULT false, -- the password was given by somebody else
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_by  text NOT NULL DEFAULT '',
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        signed_in_at timestamptz
    );
    CREATE UNIQUE INDEX account_subject ON bus.account (subject) WHERE subject <> '';

    -- The fund's own roles; those that come with the bus are in core/access/permissions.py.
    CREATE TABLE bus.role (
        name        text PRIMARY KEY,
        title       text NOT NULL,
        permissions text[] NOT NULL,
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_by  text NOT NULL DEFAULT ''
    );

    CREATE TABLE bus.session (
        hash        bytea PRIMARY KEY,              -- sha256 of the cookie
        account_id  bigint NOT NULL REFERENCES bus.account ON DELETE CASCADE,
        csrf        text NOT NULL,
        began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
        address     text NOT NULL DEFAULT '',
        agent       text NOT NULL DEFAULT ''
    );
    CREATE INDEX session_account ON bus.session (account_id);

    -- Wrong passwords by address: who tries many waits longer and longer. A row is forgotten with its last failure.
    CREATE TABLE bus.sign_in_failure (
        address     text PRIMARY KEY,               -- an IPv6 one by its /64
        failures    int NOT NULL,
        last_at     timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    CREATE TABLE bus.token (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        hash        bytea NOT NULL UNIQUE,          -- sha256 of the token
        scopes      text[] NOT NULL,                -- permissions
        created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_by  text NOT NULL,
        expires_at  timestamptz,
        used_at     timestamptz,
        revoked_at  timestamptz
    );

    -- Append-only. detail: what was changed, never a secret and no personal data but ids.
    CREATE TABLE bus.audit (
        seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        actor       text NOT NULL,
        via         text NOT NULL,                  -- console, api, cli, bus
        address     text NOT NULL DEFAULT '',
        action      text NOT NULL,                  -- queue.paused, message.viewed, account.created, ...
        object_kind text NOT NULL,                  -- queue, message, account, schedule, erz.person, ...
        object_id   text NOT NULL,
        note        text NOT NULL DEFAULT '',       -- a Russian sentence
        detail      jsonb NOT NULL DEFAULT '{}'
    );
    CREATE INDEX audit_actor ON bus.audit (actor, seq);
    CREATE INDEX audit_object ON bus.audit (object_kind, object_id, seq);
    CREATE INDEX audit_action ON bus.audit (action, seq);
    CREATE INDEX audit_actor_action ON bus.audit (actor, action, seq);
    CREATE INDEX audit_via ON bus.audit (via, seq);
    CREATE INDEX audit_at ON bus.audit (at);
    CREATE FUNCTION bus.refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'bus.audit is append-only'; END $$;
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bus.audit
        FOR EACH STATEMENT EXECUTE FUNCTION bus.refuse_audit_change();
    """)


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
