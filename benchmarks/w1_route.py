"""The one route of workload W1 on the bus: XSLT to eight fields, one row. Served by `omsbus bench serve w1`."""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.load import STYLE
from benchmarks.sample import Fields
from core.route import Context, Format, Route

QUEUE: Final = "w1"


class Table(DeclarativeBase):
    """The workload's own table: no constraint, so that what was done twice stands there twice."""


class Row(Table):
    """One row a message. The key is SQLAlchemy's alone: the table has none."""

    __tablename__ = "reg"

    id: Mapped[str] = mapped_column(primary_key=True)
    act_no: Mapped[str]
    surname: Mapped[str]
    given: Mapped[str]
    birth_date: Mapped[str]
    death_date: Mapped[str]
    place: Mapped[str]
    cause: Mapped[str]


route = Route(
    QUEUE,
    title="Замер W1: одна строка на сообщение",
    formats=[Format("1.1", root="{http://schemas.xmlsoap.org/soap/envelope/}Envelope", transform=str(STYLE))],
    body=Fields,
)


@route.handler
def register(body: Fields, ctx: Context) -> None:
    """One row, nothing more."""
    ctx.db.add(Row(**body.__dict__))
