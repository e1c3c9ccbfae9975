"""Which filters a field offers: few, in the words of people, each served by a comparison."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

from starlette_admin.contrib.sqla import filters as engine
from starlette_admin.fields import BaseField
from starlette_admin.filters import BaseFilter, FilterRegistry

from console.registry import fields
from core.screen import Screen

_OFFERED: dict[type[BaseField], list[type[BaseFilter]]] = {
    fields.Words: [engine.EqualFilter, engine.StartsWithFilter, engine.ContainsFilter],
    fields.Id: [engine.EqualFilter],
    fields.Choice: [engine.EqualFilter, engine.NotEqualFilter],
    fields.YesNo: [engine.IsTrueFilter, engine.IsFalseFilter],
    fields.Whole: [engine.NumericEqualFilter, engine.GreaterThanOrEqualFilter, engine.LessThanOrEqualFilter],
    fields.Money: [engine.NumericEqualFilter, engine.GreaterThanOrEqualFilter, engine.LessThanOrEqualFilter],
    fields.Day: [engine.DateEqualFilter, engine.DateBetweenFilter],
    fields.Moment: [engine.DateTimeBetweenFilter],
}


class Offered(FilterRegistry):
    """The filters of one screen's fields. A column that is never empty is not asked whether it is."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def filters_for(self, field: BaseField) -> list[type[BaseFilter]]:
        column: Any = self._screen.columns.get(field.name)
        if column is None:
            return []
        empty = [engine.IsNullFilter, engine.IsNotNullFilter] if column.nullable else []
        return [*_OFFERED.get(type(field), []), *empty]
