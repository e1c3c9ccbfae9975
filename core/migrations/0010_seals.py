"""The hash chain over the journal and the audit."""

revision = "bus_0010"
down_revision = "bus_0009"


def upgrade() -> None:
    """Filled by whoever builds it."""


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
