"""Organizations of ЕГРЮЛ."""

from alembic import op

revision = "fns_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE fns.organization (
        ogrn               text PRIMARY KEY,
        ogrn_date          date NOT NULL,
        inn                text NOT NULL DEFAULT '',
        kpp                text NOT NULL DEFAULT '',
        name               text NOT NULL,
        short_name         text NOT NULL DEFAULT '',
        status_code        text NOT NULL DEFAULT '',
        status_name        text NOT NULL DEFAULT '',
        ended              date,
        address            text NOT NULL DEFAULT '',
        extract_date       date NOT NULL,
        source_message_id  uuid,
        changed_at         timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX organization_inn ON fns.organization (inn);
    """)
