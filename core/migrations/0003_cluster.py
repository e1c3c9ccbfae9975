"""The processes of the bus know of each other."""

revision = "bus_0003"
down_revision = "bus_0002"


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
