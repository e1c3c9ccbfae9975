"""Declaring a screen: what is refused at once, what follows from the table."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import BigInteger, Identity, Index, MetaData, Text, UniqueConstraint, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.errors import ConfigError
from core.screen import Field, Mistake, Screen


class Table(DeclarativeBase):
    metadata = MetaData(schema="trial")


class Card(Table):
    __tablename__ = "card"
    __table_args__ = (
        Index("card_partial", "paid", postgresql_where=text("paid IS NOT NULL")),
        Index("card_beginning", "owner", postgresql_ops={"owner": "text_pattern_ops"}),
        Index("card_seen", "seen", "number"),
        UniqueConstraint("number", "owner"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str] = mapped_column(Text, info={"personal": True})
    paid: Mapped[date | None]
    seen: Mapped[datetime] = mapped_column(postgresql.TIMESTAMP(timezone=True))


class Pair(Table):
    __tablename__ = "pair"

    left: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    right: Mapped[int] = mapped_column(BigInteger, primary_key=True)


def declared(**changes: Any) -> Screen:
    values: dict[str, Any] = {"model": Card, "title": "Карты", "one": "Карта", "fields": (Field("number", "Номер"),)}
    return Screen("cards", **values | changes)


def test_names_come_from_the_table() -> None:
    screen = declared()
    assert (screen.subsystem, screen.key, screen.object_kind, screen.pk) == ("trial", "trial.cards", "trial.card", "id")
    assert screen.personal == {"owner"}


def test_only_what_an_index_begins_with_orders_a_list() -> None:
    assert declared().sortable == {"id", "number", "seen"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fields": (Field("nothing", "?"),)}, "нет столбца nothing"),
        ({"search": ("nothing",)}, "нет столбца nothing"),
        ({"filters": ("nothing",)}, "нет столбца nothing"),
        ({"links": {"nothing": "trial.cards"}}, "нет столбца nothing"),
        ({"order": "-nothing"}, "нет столбца nothing"),
        ({"order": "-paid"}, "нет индекса"),
        ({"model": Pair, "fields": (), "order": "left"}, "первичный ключ из одного столбца"),
    ],
)
def test_a_screen_that_does_not_fit_its_table_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        declared(**changes)


def said(screen: Screen, typed: str) -> str:
    return " ".join(str(one.compile(compile_kwargs={"literal_binds": True})) for one in screen.conditions(typed))


@pytest.mark.parametrize(
    ("typed", "condition"),
    [(" 17 ", "trial.card.number = 17"), ("семнадцать", "false"), ("9" * 30, "false"), ("1.5", "false")],
)
def test_a_search_compares_what_can_be_a_value_of_the_column(typed: str, condition: str) -> None:
    assert condition in said(declared(search=("number",)), typed)


def test_a_search_of_its_own_that_says_nothing_finds_nothing() -> None:
    assert said(declared(find=lambda _text: ()), "x") == "false"
    assert said(declared(find=lambda typed: (sa.literal(typed) == "x",)), "x") == "'x' = 'x'"


@pytest.mark.feature("BUS-14")
def test_a_search_that_touches_persons_is_known_as_such() -> None:
    assert declared(search=("owner",)).asked_of_personal
    assert not declared(search=("number",)).asked_of_personal
    assert declared(find=lambda _text: ()).asked_of_personal


def test_a_mistake_names_its_column() -> None:
    mistake = Mistake("Введите номер", column="number")
    assert (mistake.reason, mistake.column) == ("Введите номер", "number")
