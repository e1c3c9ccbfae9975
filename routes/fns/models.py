"""Tables of the ФНС exchange (PostgreSQL schema `fns`). Organizations are no personal data."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Index, MetaData, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """Every table of this subsystem."""

    metadata = MetaData(schema="fns")
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text}


class Organization(Table):
    """A legal person as the newest extract of ЕГРЮЛ says."""

    __tablename__ = "organization"
    __table_args__ = (Index("organization_inn", "inn"),)

    ogrn: Mapped[str] = mapped_column(Text, primary_key=True)
    ogrn_date: Mapped[date]
    inn: Mapped[str] = mapped_column(Text, server_default="")
    kpp: Mapped[str] = mapped_column(Text, server_default="")
    name: Mapped[str]
    short_name: Mapped[str] = mapped_column(Text, server_default="")
    status_code: Mapped[str] = mapped_column(Text, server_default="")
    status_name: Mapped[str] = mapped_column(Text, server_default="")
    ended: Mapped[date | None]
    """ДатаПрекрЮЛ; None while it exists."""
    address: Mapped[str] = mapped_column(Text, server_default="")
    extract_date: Mapped[date]
    """ДатаВып: an extract older than this one changes nothing."""
    source_message_id: Mapped[UUID | None] = mapped_column(postgresql.UUID)
    changed_at: Mapped[datetime] = mapped_column(postgresql.TIMESTAMP(timezone=True), server_default=text("now()"))
