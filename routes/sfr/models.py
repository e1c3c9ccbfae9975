"""Tables of the СФР exchange (PostgreSQL schema `sfr`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, MetaData, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PERSONAL: Final[dict[str, Any]] = {"personal": True}
_MOMENT = postgresql.TIMESTAMP(timezone=True)


class Table(DeclarativeBase):
    """Every table of this subsystem."""

    metadata = MetaData(schema="sfr")


class SnilsRequest(Table):
    """One question about a СНИЛС and what became of it."""

    __tablename__ = "snils_request"
    __table_args__ = (
        CheckConstraint(
            "state IN ('asked', 'answered', 'rejected', 'failed', 'timeout', 'doubtful')", name="snils_request_state"
        ),
        Index("snils_request_message", "message_id", unique=True),
        Index("snils_request_open", "person_id", unique=True, postgresql_where=text("state = 'asked'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[int] = mapped_column(BigInteger)
    """erz.person.id"""
    message_id: Mapped[UUID] = mapped_column(postgresql.UUID)
    """Journal id of our question: the `cause` of everything that answers it."""
    state: Mapped[str] = mapped_column(Text, server_default="asked")
    """asked, answered, rejected (by СФР), failed (by СМЭВ), timeout, doubtful (answered, but not to be written)."""
    snils: Mapped[str | None] = mapped_column(Text, info=PERSONAL)
    note: Mapped[str] = mapped_column(Text, server_default="", info=PERSONAL)
    """What the far side said, or why the answer is doubtful."""
    asked_at: Mapped[datetime] = mapped_column(_MOMENT, server_default=text("now()"))
    changed_at: Mapped[datetime] = mapped_column(_MOMENT, server_default=text("now()"))
