"""Tables of the shared registry (PostgreSQL schema `erz`), the beginning: persons, documents, policies, civil acts.

`info={"personal": True}` marks a column whose content is masked by role (DESIGN §6). The migrations are the truth
for the database; a test compares both.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PERSONAL: Final[dict[str, Any]] = {"personal": True}

Key = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
Words = Annotated[str, mapped_column(Text, server_default="")]
PersonalWords = Annotated[str, mapped_column(Text, server_default="", info=PERSONAL)]
Moment = Annotated[datetime, mapped_column(postgresql.TIMESTAMP(timezone=True), server_default=text("now()"))]
Source = Annotated[UUID | None, mapped_column(postgresql.UUID)]
"""Journal id of the message that wrote the row last."""


class Table(DeclarativeBase):
    """Every table of this subsystem."""

    metadata = MetaData(schema="erz")
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text, int: BigInteger}


def _by_beginning(name: str) -> Index:
    """An index that finds by the beginning of a name, whatever the collation of the database."""
    return Index(name, "search_key", postgresql_ops={"search_key": "text_pattern_ops"})


class Person(Table):
    """A person the fund knows. One row a human being; СНИЛС and ЕНП are unique where known."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("sex IN (1, 2)", name="person_sex"),
        CheckConstraint("status IN ('alive', 'dead', 'annulled')", name="person_status"),
        CheckConstraint("birth_precision IN ('day', 'month', 'year')", name="person_birth_precision"),
        CheckConstraint("death_precision IN ('day', 'month', 'year')", name="person_death_precision"),
        CheckConstraint("snils ~ '^[0-9]{11}$'", name="person_snils_form"),
        CheckConstraint("enp ~ '^[0-9]{16}$'", name="person_enp_form"),
        Index("person_search", "search_key", "birth_date"),
        _by_beginning("person_name"),
        Index("person_source", "source_message_id"),
        Index("person_snils", "snils", unique=True, postgresql_where=text("snils IS NOT NULL")),
        Index("person_enp", "enp", unique=True, postgresql_where=text("enp IS NOT NULL")),
        Index("person_death", "death_record_id", postgresql_where=text("death_record_id IS NOT NULL")),
    )

    id: Mapped[Key]
    surname: Mapped[PersonalWords]
    given: Mapped[PersonalWords]
    patronymic: Mapped[PersonalWords]
    search_key: Mapped[str] = mapped_column(Text, info=PERSONAL)
    """`values.search_key` of the three names."""
    birth_date: Mapped[date | None] = mapped_column(info=PERSONAL)
    """The first day of what is known, see birth_precision."""
    birth_precision: Mapped[str] = mapped_column(Text, server_default="day")
    birth_place: Mapped[PersonalWords]
    sex: Mapped[int | None] = mapped_column(SmallInteger)
    snils: Mapped[str | None] = mapped_column(Text, info=PERSONAL)
    enp: Mapped[str | None] = mapped_column(Text, info=PERSONAL)
    status: Mapped[str] = mapped_column(Text, server_default="alive")
    """alive, dead, annulled (the birth act that made this row was annulled)."""
    death_date: Mapped[date | None] = mapped_column(info=PERSONAL)
    death_precision: Mapped[str] = mapped_column(Text, server_default="day")
    death_record_id: Mapped[int | None] = mapped_column(BigInteger)
    source_message_id: Mapped[Source]
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]


class Document(Table):
    """An identity document of a person."""

    __tablename__ = "document"
    __table_args__ = (
        UniqueConstraint("person_id", "kind_code", "number_key", name="document_once"),
        Index("document_number", "number_key"),
    )

    id: Mapped[Key]
    person_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("erz.person.id"))
    kind_code: Mapped[str]
    """Code of the kind of document (СПДУЛ): 21 passport of РФ, 03 birth certificate."""
    series: Mapped[PersonalWords]
    number: Mapped[PersonalWords]
    number_key: Mapped[str] = mapped_column(Text, info=PERSONAL)
    """`values.document_key` of series and number."""
    issued: Mapped[date | None] = mapped_column(info=PERSONAL)
    issuer: Mapped[PersonalWords]


class Policy(Table):
    """A policy of compulsory health insurance."""

    __tablename__ = "policy"
    __table_args__ = (Index("policy_person", "person_id"), Index("policy_enp", "enp"))

    id: Mapped[Key]
    person_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("erz.person.id"))
    enp: Mapped[str] = mapped_column(Text, info=PERSONAL)
    insurer_code: Mapped[Words]
    """Code of the СМО in the federal register."""
    starts: Mapped[date]
    ends: Mapped[date | None]


class ActColumns:
    """What every civil act record has: which version was taken last, whom it names, whom we found."""

    id: Mapped[Key]
    person_id: Mapped[int | None] = mapped_column(BigInteger)
    """None: nobody, or more than one, was found; `note` says which."""
    office_code: Mapped[str]
    office_name: Mapped[Words]
    act_number: Mapped[str]
    act_date: Mapped[date]
    version: Mapped[int]
    version_date: Mapped[date]
    status_code: Mapped[str]
    annulled: Mapped[bool]
    surname: Mapped[PersonalWords]
    given: Mapped[PersonalWords]
    patronymic: Mapped[PersonalWords]
    search_key: Mapped[str] = mapped_column(Text, info=PERSONAL)
    birth_date: Mapped[date | None] = mapped_column(info=PERSONAL)
    birth_precision: Mapped[str] = mapped_column(Text, server_default="day")
    sex: Mapped[int | None] = mapped_column(SmallInteger)
    certificate: Mapped[PersonalWords]
    """Series and number of the certificate."""
    certificate_date: Mapped[date | None] = mapped_column(info=PERSONAL)
    note: Mapped[Words]
    source_message_id: Mapped[Source]
    received_at: Mapped[Moment]


class BirthRecord(ActColumns, Table):
    """A birth act as ЕГР ЗАГС told it last."""

    __tablename__ = "birth_record"
    __table_args__ = (
        UniqueConstraint("office_code", "act_number", "act_date", name="birth_record_act"),
        Index("birth_record_person", "person_id"),
        _by_beginning("birth_record_name"),
        Index("birth_record_source", "source_message_id"),
    )

    alive: Mapped[bool]
    made_person: Mapped[bool] = mapped_column(server_default=text("false"))
    """This act brought the person into the registry, so its corrections change the person too."""
    birth_place: Mapped[PersonalWords]
    mother: Mapped[PersonalWords]
    father: Mapped[PersonalWords]


class DeathRecord(ActColumns, Table):
    """A death act as ЕГР ЗАГС told it last."""

    __tablename__ = "death_record"
    __table_args__ = (
        UniqueConstraint("office_code", "act_number", "act_date", name="death_record_act"),
        Index("death_record_person", "person_id"),
        _by_beginning("death_record_name"),
        Index("death_record_source", "source_message_id"),
        Index("death_record_waiting", "search_key", postgresql_where=text("person_id IS NULL")),
    )

    document_key: Mapped[PersonalWords]
    death_date: Mapped[date | None] = mapped_column(info=PERSONAL)
    death_precision: Mapped[str] = mapped_column(Text, server_default="day")
    matched_by: Mapped[Words]
    """document, name, or "" when the person was not found."""
