"""Claims stay fast however many messages wait."""

revision = "bus_0002"
down_revision = "bus_0001"


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
