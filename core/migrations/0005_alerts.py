"""Alerts that were sent."""

revision = "bus_0005"
down_revision = "bus_0004"


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
