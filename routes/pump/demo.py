"""Puts invented services into ПУМП: for the demo, tests and training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

_FIELDS = ("started", "ended", "care_regimen", "care_type", "name", "cost", "clinic_name", "region_name")


class Rendered(Protocol):
    """Anything with the fields of `routes.pump.api.Service`."""

    def __getattribute__(self, name: str, /) -> object: ...


def seed(db: Session, person_id: int, services: Iterable[Rendered]) -> None:
    """Write services of one person."""
    rows = [{"person_id": person_id, **{name: getattr(one, name) for name in _FIELDS}} for one in services]
    if rows:
        db.connection().execute(_SEED, rows)


_SEED = text("""
INSERT INTO pump.rendered_service (person_id, started, ended, care_regimen, care_type, name, cost, clinic_name,
                                   region_name)
VALUES (:person_id, :started, :ended, :care_regimen, :care_type, :name, :cost, :clinic_name, :region_name)
""")
