"""Webhooks and idempotency keys of the REST API."""

revision = "bus_0011"
down_revision = "bus_0010"


def upgrade() -> None:
    """Filled by whoever builds it."""


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
