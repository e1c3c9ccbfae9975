"""Rendered services."""

from alembic import op

revision = "pump_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE pump.rendered_service (
        id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        person_id     bigint NOT NULL,
        started       date NOT NULL,
        ended         date,
        care_regimen  text NOT NULL,
        care_type     text NOT NULL,
        name          text NOT NULL,
        cost          numeric(14, 2) NOT NULL,
        clinic_name   text NOT NULL,
        region_name   text NOT NULL
    );
    CREATE INDEX rendered_service_person ON pump.rendered_service (person_id, started);
    """)
