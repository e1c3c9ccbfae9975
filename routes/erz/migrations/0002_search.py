"""Search by the beginning of a name, whatever the collation of the database."""

from alembic import op

revision = "erz_0002"
down_revision = "erz_0001"


def upgrade() -> None:
    op.execute("""
    CREATE INDEX person_name ON erz.person (search_key text_pattern_ops);
    CREATE INDEX birth_record_name ON erz.birth_record (search_key text_pattern_ops);
    CREATE INDEX death_record_name ON erz.death_record (search_key text_pattern_ops);
    CREATE INDEX birth_record_source ON erz.birth_record (source_message_id);
    CREATE INDEX death_record_source ON erz.death_record (source_message_id);
    CREATE INDEX person_source ON erz.person (source_message_id);
    """)
