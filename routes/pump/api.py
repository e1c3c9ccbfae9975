"""What other subsystems may ask of ПУМП."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Service:
    """A rendered service; cost in roubles."""

    started: date
    ended: date | None
    care_regimen: str
    care_type: str
    name: str
    cost: Decimal
    clinic_name: str
    region_name: str


def rendered_services(db: Session, person_id: int, since: date, until: date) -> Sequence[Service]:
    """Services of a person that were under way between the two days, both included, oldest first."""
    values = {"person": person_id, "since": since, "until": until}
    return [Service(*row) for row in db.connection().execute(_SERVICES, values)]


_SERVICES = text("""
SELECT started, ended, care_regimen, care_type, name, cost, clinic_name, region_name FROM pump.rendered_service
WHERE person_id = :person AND started <= :until AND COALESCE(ended, started) >= :since
ORDER BY started, id
""")
