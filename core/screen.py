"""How a subsystem declares a screen of the console over one of its tables. No web framework is needed for it.

    SHELF = Shelf("ЕРЗ", "Единый регистр застрахованных лиц", icon="fa-users", place=10)

    DEATHS = Screen(
        "deaths",
        model=DeathRecord,
        title="Акты о смерти",
        one="Акт о смерти",
        fields=(Field("surname", "Фамилия"), Field("death_date", "Дата смерти"), …),
        find=by_name,
        links={"source_message_id": MESSAGE, "person_id": "erz.persons"},
    )

Both stand at module level in `routes/<subsystem>/screens.py` and are found there (core.discovery); nothing else is
written: the list, search, filters, card, export and, when `writable`, forms and import come of it (console.registry).
What is personal the model says (`info={"personal": True}`): it is masked for whoever lacks `personal.read`, and such a
person can't search, filter or sort by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from core.errors import BusError, ConfigError

MESSAGE: Final = "message"
"""A link to the card of a message of the journal."""

WHOLE_MOST: Final = 2**63 - 1

Conditions = Sequence[sa.ColumnElement[bool]]


class Mistake(BusError):
    """What was typed can't be kept. `field` is the column it is about, "" for the whole row."""

    def __init__(self, reason: str, *, column: str = "") -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, slots=True)
class Shelf:
    """A subsystem in the menu. icon: a class of Font Awesome; place: order in the menu."""

    title: str
    lead: str = ""
    icon: str = "fa-table"
    place: int = 100


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the table as people see it.

    name      of the mapped attribute; a screen with another name is refused when it is declared
    choices   value → word: the word is shown, forms and filters offer a choice
    in_list   False: only on the card, in the form and in the export
    """

    name: str
    title: str
    help: str = ""
    choices: Mapping[Any, str] | None = None
    in_list: bool = True


@dataclass(frozen=True, eq=False)
class Screen:
    """One table of a subsystem. The subsystem is the schema of the table; rights are `<subsystem>.read` and `.write`.

    name      Latin, unique in the subsystem: stands in addresses
    one       what one row is called, in the nominative: «Акт о смерти»
    lead      a sentence below the title
    order     the column that orders the list, "-" for descending; it must have an index
    search    columns of which one must equal what is typed into the search
    find      instead: text → conditions (all must hold; none: nothing is found). They must be served by an index.
              May raise Mistake. `find_hint` says what can be typed
    links     column → MESSAGE, or the key of a screen whose primary key it holds
    children  key of a screen → its column that holds our primary key: shown below the card
    filters   columns that can be filtered by; None: all of the fields
    prepare   what was typed → what is written (derived columns too). Raises Mistake
    """

    name: str
    model: type[DeclarativeBase]
    title: str
    one: str
    fields: tuple[Field, ...]
    lead: str = ""
    order: str = "-id"
    search: tuple[str, ...] = ()
    find: Callable[[str], Conditions] | None = None
    find_hint: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[str, ...] | None = None
    writable: bool = False
    export: bool = True
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        columns = self.columns
        named = (
            *(one.name for one in self.fields),
            *self.search,
            *self.links,
            *(self.filters or ()),
            self.order_column,
        )
        if unknown := [name for name in named if name not in columns]:
            raise ConfigError(f"Экран {self.key}: в таблице нет столбца {unknown[0]}, исправьте объявление")
        if self.order_column not in self.sortable:
            raise ConfigError(f"Экран {self.key}: по столбцу {self.order_column} нет индекса, порядок будет медленным")
        if len(self.table.primary_key.columns) != 1:
            raise ConfigError(f"Экран {self.key}: у таблицы должен быть первичный ключ из одного столбца")

    @property
    def table(self) -> sa.Table:
        table = self.model.__table__
        assert isinstance(table, sa.Table)
        return table

    @property
    def subsystem(self) -> str:
        """Schema of the table, name of the folder below routes/."""
        return self.table.schema or ""

    @property
    def key(self) -> str:
        """`erz.deaths`: unique in the house, for links and children."""
        return f"{self.subsystem}.{self.name}"

    @property
    def object_kind(self) -> str:
        """`erz.death_record`: what the audit calls a row."""
        return f"{self.subsystem}.{self.table.name}"

    @cached_property
    def columns(self) -> Mapping[str, sa.Column[Any]]:
        """Mapped attribute → its column."""
        mapper = sa.inspect(self.model)
        return {one.key: one.columns[0] for one in mapper.column_attrs if isinstance(one.columns[0], sa.Column)}

    @cached_property
    def pk(self) -> str:
        """The attribute of the primary key."""
        column = next(iter(self.table.primary_key.columns))
        return next(name for name, one in self.columns.items() if one is column)

    @property
    def order_column(self) -> str:
        return self.order.removeprefix("-")

    @cached_property
    def sortable(self) -> frozenset[str]:
        """Columns by which a million rows are ordered without a sort: those that come first in an index."""
        firsts = [next(iter(self.table.primary_key.columns))]
        for index in self.table.indexes:
            if index.dialect_options["postgresql"]["where"] is None and not index.dialect_options["postgresql"]["ops"]:
                firsts += [one for one in list(index.expressions)[:1] if isinstance(one, sa.Column)]
        for constraint in self.table.constraints:
            if isinstance(constraint, sa.UniqueConstraint):
                firsts += list(constraint.columns)[:1]
        return frozenset(name for name, column in self.columns.items() if any(column is first for first in firsts))

    @cached_property
    def personal(self) -> frozenset[str]:
        """Attributes whose content is personal data."""
        return frozenset(name for name, column in self.columns.items() if column.info.get("personal"))

    @property
    def asked_of_personal(self) -> bool:
        """The search tells something about persons: it is closed to whoever sees them masked."""
        return bool(self.personal if self.find else self.personal.intersection(self.search))

    @property
    def can_search(self) -> bool:
        return bool(self.find or self.search)

    def conditions(self, text: str) -> Conditions:
        """What a row must be to be found by this text. Raises Mistake."""
        if self.find:
            return self.find(text) or (sa.false(),)
        wanted = text.strip()
        given = [self.columns[name] for name in self.search]
        equal = [column == value for column in given if (value := _as(column, wanted)) is not None]
        return (sa.or_(sa.false(), *equal),)


def _as(column: sa.Column[Any], text: str) -> Any:
    """The text as a value of this column, None when it can't be one."""
    try:
        value = column.type.python_type(text)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return None if isinstance(value, int) and abs(value) > WHOLE_MOST else value
