"""The one place that decides what of a registry a person sees."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request

from core import masking
from core.access.person import Person
from core.screen import Screen

PERSONAL: Final = "personal.read"


def shown(screen: Screen, person: Person, name: str, value: Any) -> Any:
    """The value of a column for this person: what is personal is hidden without the permission (DESIGN §6).

    A name that is no column of the table is hidden too.
    """
    if value is None or person.may(PERSONAL) or (name in screen.columns and name not in screen.personal):
        return value
    return masking.mask(str(value))


def masks(screen: Screen, person: Person) -> bool:
    """This person sees something of this screen hidden."""
    return bool(screen.personal) and not person.may(PERSONAL)


def person_of(request: Request) -> Person:
    """Whom console.registry.engine has let in."""
    person: Person = request.state.person
    return person
