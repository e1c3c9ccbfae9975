"""One declared screen as a view of starlette-admin: who may what, what is shown, how rows are found.

Personal data is hidden at one place, `showing.shown`: lists, cards, rows below cards and exports go through it. For
whoever lacks `personal.read` a personal column is neither searched, filtered nor sorted by, so nothing can be guessed.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import anyio.to_thread
import sqlalchemy as sa
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette_admin.contrib.sqla import ModelView
from starlette_admin.contrib.sqla.filters import build_filter_clause
from starlette_admin.fields import BaseField
from starlette_admin.filters import FilterRegistry
from starlette_admin.i18n import get_tzinfo
from starlette_admin.types import RequestAction

from console.registry import fields
from console.registry.exporting import Exporting
from console.registry.filters import Offered
from console.registry.showing import masks, person_of, shown
from console.registry.writing import Writing
from core.database import encodable
from core.screen import MESSAGE, Mistake, Screen

REACH_ROWS: Final = 10_000
"""So far lists are paged and rows are counted; a number beyond is an estimate."""


def path_of(screen: Screen) -> str:
    """Address of the screen's list."""
    return f"/registry/{screen.subsystem}/{screen.name}/list"


class RegistryView(Writing, Exporting, ModelView):
    """See the module."""

    row_actions: Sequence[str] = ("view", "edit", "delete")
    page_size = 25
    page_size_options: Sequence[int] = (25, 50, 100)
    action_select_all_limit = 1000
    search_highlight = False
    list_template = "list.html"

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.fields = [fields.built(screen, one) for one in screen.fields]
        self.exclude_fields_from_edit = [screen.pk]
        self.show_pk_in_forms = True
        names = [one.name for one in screen.fields]
        self.searchable_fields = [name for name in names if screen.filters is None or name in screen.filters]
        self.sortable_fields = [name for name in names if name in screen.sortable]
        self.fields_default_sort = [(screen.order_column, screen.order.startswith("-"))]
        self.actions = ["export", *(["delete"] if screen.writable else [])]
        self._offered = Offered(screen)
        super().__init__(
            screen.model, key=f"{screen.subsystem}/{screen.name}", menu_label=screen.title, display_name=screen.one
        )

    # Who may what

    def masks(self, request: Request) -> bool:
        """This person sees the personal columns of this screen hidden."""
        return masks(self.screen, person_of(request))

    def is_accessible(self, request: Request) -> bool:
        return person_of(request).may(f"{self.screen.subsystem}.read")

    def _writes(self, request: Request) -> bool:
        """Who sees personal columns hidden can't write a row: it would be written blindly."""
        may = person_of(request).may(f"{self.screen.subsystem}.write")
        return self.screen.writable and may and not self.masks(request)

    can_create = can_edit = can_delete = can_import = _writes

    def can_export(self, request: Request) -> bool:
        return self.screen.export and self.is_accessible(request)

    def may_search(self, request: Request) -> bool:
        """Whether the search is open to this person."""
        return self.screen.can_search and not (self.masks(request) and self.screen.asked_of_personal)

    def get_fields_list(
        self, request: Request, *, include_nested: bool = False, action: RequestAction | None = None
    ) -> Sequence[BaseField]:
        """With `include_nested` starlette-admin asks for what can be filtered and sorted by."""
        found: Sequence[BaseField] = super().get_fields_list(request, include_nested=include_nested, action=action)
        if include_nested and self.masks(request):
            return [one for one in found if one.name not in self.screen.personal]
        return found

    def _parse_sorts(self, raw_sorts: list[str], accessible_sortable: set[str]) -> Any:
        if any(raw.rpartition("__")[0] not in accessible_sortable for raw in raw_sorts):
            raise HTTPException(400, "По этому столбцу список не упорядочить: выберите другой")
        return super()._parse_sorts(raw_sorts, accessible_sortable)

    def can_sort(self, request: Request, field: BaseField) -> bool:
        return bool(field.orderable) and not (self.masks(request) and field.name in self.screen.personal)

    # What is shown

    async def serialize_field_value(self, value: Any, field: BaseField, request: Request) -> Any:
        visible = shown(self.screen, person_of(request), field.name, value)
        if visible is not value:
            return visible
        return await super().serialize_field_value(value, field, request)

    def told(self, name: str, value: Any) -> str:
        """A value that was read from a file and sent to the page, as people write it."""
        field: Any = next(one for one in self.fields if one.name == name)
        value = field.read(value) if isinstance(value, str) and value else value
        choices = dict(field.choices or ()) if isinstance(field, fields.Choice) else None
        return fields.written(value, get_tzinfo(), choices)

    async def repr(self, obj: Any, _request: Request) -> str:
        return f"{self.screen.one} № {getattr(obj, self.screen.pk)}"

    def link(self, request: Request, field: BaseField, value: Any) -> str:
        """Where a value leads; "" for nowhere, or where this person may not go."""
        target = self.screen.links.get(field.name)
        if target is None or value in (None, ""):
            return ""
        if target == MESSAGE:
            return f"/messages/{value}" if person_of(request).may("messages.read") else ""
        subsystem, _, name = target.partition(".")
        if not person_of(request).may(f"{subsystem}.read"):
            return ""
        return f"/registry/{subsystem}/{name}/detail?pk={value}"

    # How rows are found

    def get_filter_registry(self) -> FilterRegistry:
        return self._offered

    async def build_full_text_search_query(self, request: Request, term: str, _model: Any) -> Any:
        if not self.may_search(request):
            raise HTTPException(403, "Поиск по персональным данным закрыт: нужно право «Персональные данные без маски»")
        if not encodable(term) or "\x00" in term:
            return sa.false()
        try:
            return sa.and_(sa.true(), *self.screen.conditions(term))
        except Mistake as mistake:
            raise HTTPException(400, mistake.reason) from None

    async def _apply_search_and_filters(self, request: Request, stmt: Any, q: Any, filters: Any) -> Any:
        """Both are already checked. Also over columns that are not in the list."""
        if q is not None:
            stmt = stmt.where(await self.build_full_text_search_query(request, q, self.model))
        if filters is not None and not filters.is_empty():
            by_name = {one.name: one for one in self.fields}
            clause = build_filter_clause(filters, by_name, self._offered, self, request)
            stmt = stmt if clause is None else stmt.where(clause)
        return stmt

    def build_order_clauses(self, request: Request, sorts: Any, stmt: Any) -> Any:
        """As asked, then by the primary key, so that pages neither repeat nor miss a row."""
        names = [name for name, _ in sorts]
        last = "desc" if not sorts or sorts[-1][1] == "desc" else "asc"
        whole = [*sorts, *([] if self.screen.pk in names else [(self.screen.pk, last)])]
        return super().build_order_clauses(request, whole, stmt)

    async def find_all(
        self, request: Request, skip: int = 0, limit: int = 100, q: Any = None, sorts: Any = None, filters: Any = None
    ) -> Sequence[Any]:
        if skip >= REACH_ROWS:
            return []
        most = REACH_ROWS - skip
        found = super().find_all(request, skip, min(limit, most) if limit > 0 else most, q, sorts, filters)
        return await asked(found)  # type: ignore[no-any-return]

    async def count(self, request: Request, q: Any = None, filters: Any = None) -> int:
        """Rows that match, at most REACH_ROWS; `request.state.more` is how many there are in all, or None."""
        request.state.more = None
        session: Session = request.state.session
        rows = sa.select(sa.literal(1)).select_from(self.model)
        narrow = await self._apply_search_and_filters(request, rows, q, filters)
        counted = sa.select(sa.func.count()).select_from(narrow.limit(REACH_ROWS + 1).subquery())
        found = (await asked(anyio.to_thread.run_sync(session.execute, counted))).scalar_one()
        if found > REACH_ROWS and q is None and (filters is None or filters.is_empty()):
            request.state.more = await anyio.to_thread.run_sync(self._estimate, session)
        elif found > REACH_ROWS:
            request.state.more = -1
        return min(int(found), REACH_ROWS)

    def _estimate(self, session: Session) -> int:
        """What the planner knows of the size of the table: it is never counted."""
        name = f'"{self.screen.subsystem}"."{self.screen.table.name}"'
        asked_of = sa.text("SELECT reltuples FROM pg_class WHERE oid = CAST(:name AS regclass)")
        tuples = session.scalar(asked_of, {"name": name})
        return max(int(tuples or 0), REACH_ROWS)

    async def find_by_pk(self, request: Request, pk: Any) -> Any:
        value = self._pk_of(pk)
        return None if value is None else await asked(super().find_by_pk(request, value))

    async def find_by_pks(self, request: Request, pks: list[Any]) -> Sequence[Any]:
        values = [value for value in map(self._pk_of, pks) if value is not None]
        if not values:
            return []
        return await asked(super().find_by_pks(request, values))  # type: ignore[no-any-return]

    def _pk_of(self, pk: Any) -> Any:
        """What came in an address as a value of the primary key; None when it can't be one."""
        reader = self.pk_field
        text = str(pk or "").strip()
        if not text or "\x00" in text or not isinstance(reader, fields.Words | fields.Whole | fields.Id):
            return None
        value = reader.read(text)
        return None if isinstance(value, fields.Unreadable) else value

    async def children(self, request: Request, obj: Any) -> list[Child]:
        """The first rows of other screens that belong to this one, of screens that this person may see."""
        assert self._admin
        found = []
        for key, column in self.screen.children.items():
            view = self._admin.by_screen.get(key)
            if view is not None and view.is_accessible(request):
                found.append(await Child.of(request, view, column, getattr(obj, self.screen.pk)))
        return found


class Child:
    """A few rows of another screen, shown below a card."""

    MOST: Final = 10

    def __init__(self, view: RegistryView, column: str, parent: Any, rows: list[dict[str, Any]], *, more: bool) -> None:
        self.view = view
        self.column = column
        self.parent = parent
        self.rows = rows
        self.more = more

    @classmethod
    async def of(cls, request: Request, view: RegistryView, column: str, parent: Any) -> Child:
        statement = (
            sa.select(view.model)
            .where(getattr(view.model, column) == parent)
            .order_by(getattr(view.model, view.screen.pk).desc())
            .limit(cls.MOST + 1)
        )
        session: Session = request.state.session
        found = (await asked(anyio.to_thread.run_sync(session.execute, statement))).scalars().all()
        rows = [await view.serialize(one, request) for one in found[: cls.MOST]]
        return cls(view, column, parent, rows, more=len(found) > cls.MOST)

    def fields(self, request: Request) -> list[BaseField]:
        """Its columns but the one that leads back."""
        return [one for one in self.view.get_fields_list(request, action=RequestAction.LIST) if one.name != self.column]

    @property
    def all_path(self) -> str:
        filters = self.view.screen.filters
        can = filters is None or self.column in filters
        return f"{path_of(self.view.screen)}?filter={self.column}__eq={self.parent}" if can else ""


async def asked(question: Any) -> Any:
    """The answer of the database, or a sentence: a value that it can't compare, a question that takes too long."""
    try:
        return await question
    except sa.exc.OperationalError as error:
        if "QueryCanceled" in type(error.orig).__name__:
            raise HTTPException(422, "Слишком долгий запрос: сузьте поиск или условия фильтра") from None
        raise
    except sa.exc.StatementError:
        raise HTTPException(400, "Такого значения в этом столбце не бывает: проверьте условия фильтра") from None
