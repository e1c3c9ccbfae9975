"""What the other pages of the console keep."""

revision = "bus_0012"
down_revision = "bus_0011"


def upgrade() -> None:
    """Filled by whoever builds it."""


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
