"""What the journal can be searched by: keys by XPath and words of bodies, filled in behind the intake."""

revision = "bus_0007"
down_revision = "bus_0006"


def upgrade() -> None:
    """Filled by whoever builds it."""


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
