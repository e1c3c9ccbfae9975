"""Bodies and messages whose term is over are taken away."""

revision = "bus_0004"
down_revision = "bus_0003"


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
