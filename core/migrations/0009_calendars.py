"""Business-day calendars of the schedules, and schedules made by operators."""

revision = "bus_0009"
down_revision = "bus_0008"


def upgrade() -> None:
    """Filled by whoever builds it."""


def downgrade() -> None:
    raise NotImplementedError("The journal is never taken away by a migration")
