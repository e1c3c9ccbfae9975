"""Tables of ПУМП (PostgreSQL schema `pump`), so far only what a citizen may ask about."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Identity, Index, MetaData, Numeric, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PERSONAL: Final[dict[str, Any]] = {"personal": True}


class Table(DeclarativeBase):
    """Every table of this subsystem."""

    metadata = MetaData(schema="pump")
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text}


class RenderedService(Table):
    """One medical service that was rendered and paid for."""

    __tablename__ = "rendered_service"
    __table_args__ = (Index("rendered_service_person", "person_id", "started"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    person_id: Mapped[int] = mapped_column(BigInteger)
    """erz.person.id"""
    started: Mapped[date] = mapped_column(info=PERSONAL)
    ended: Mapped[date | None] = mapped_column(info=PERSONAL)
    care_regimen: Mapped[str]
    """Условие оказания: Амбулаторно, Стационарно, …"""
    care_type: Mapped[str]
    """Вид помощи."""
    name: Mapped[str] = mapped_column(Text, info=PERSONAL)
    cost: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    """Roubles."""
    clinic_name: Mapped[str] = mapped_column(Text, info=PERSONAL)
    region_name: Mapped[str]
