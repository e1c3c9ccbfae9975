"""Questions about a person, and the СНИЛС that an answer brings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.errors import Retryable
from routes.erz.values import search_key


@dataclass(frozen=True, slots=True)
class PersonCard:
    """What other subsystems may know of a person. `certificate`: of birth, series and number; sex 1 or 2."""

    id: int
    surname: str
    given: str
    patronymic: str
    birth_date: date | None
    birth_is_exact: bool
    sex: int | None
    snils: str | None
    enp: str | None
    status: str
    certificate: str
    certificate_date: date | None
    certificate_office: str

    @property
    def search_key(self) -> str:
        return search_key(self.surname, self.given, self.patronymic)


class SnilsSet(StrEnum):
    """What became of a СНИЛС that came in an answer."""

    SET = "set"
    SAME = "same"  # the person has it already
    OTHER = "other"  # the person has another one: not overwritten
    TAKEN = "taken"  # somebody else has it: not written
    NOBODY = "nobody"


def person_card(db: Session, person_id: int) -> PersonCard | None:
    """The card of one person; None when there is none."""
    row = db.connection().execute(_CARD, {"id": person_id}).one_or_none()
    return PersonCard(*row) if row else None


def set_snils(db: Session, person_id: int, snils: str, source: UUID) -> SnilsSet:
    """Give the person a СНИЛС whose check number was verified. Never overwrites another one.

    Raises Retryable when two persons are given one number at the same moment.
    """
    try:
        row = db.connection().execute(_SET_SNILS, {"id": person_id, "snils": snils, "source": source}).one_or_none()
    except IntegrityError:
        raise Retryable("Тот же СНИЛС одновременно записывается другому человеку; шина повторит") from None
    if row is None:
        return SnilsSet.NOBODY
    if row.was is not None:
        return SnilsSet.SAME if row.was == snils else SnilsSet.OTHER
    return SnilsSet.TAKEN if row.taken else SnilsSet.SET


def identify(db: Session, *, enp: str, surname: str, given: str, patronymic: str, birth: date) -> int | None:
    """The person with this ЕНП, when name and birth date agree too; None otherwise."""
    values = {"enp": enp, "key": search_key(surname, given, patronymic), "birth": birth}
    found: int | None = db.connection().execute(_IDENTIFY, values).scalar_one_or_none()
    return found


_CARD = text("""
SELECT p.id, p.surname, p.given, p.patronymic, p.birth_date, p.birth_precision = 'day', p.sex, p.snils, p.enp,
       p.status, COALESCE(r.certificate, ''), r.certificate_date, COALESCE(r.office_name, '')
FROM erz.person p LEFT JOIN LATERAL (
    SELECT certificate, certificate_date, office_name FROM erz.birth_record b
    WHERE b.person_id = p.id AND NOT b.annulled ORDER BY b.id DESC LIMIT 1) r ON true
WHERE p.id = :id
""")

_SET_SNILS = text("""
WITH before AS (
    SELECT p.id, p.snils AS was, EXISTS (
        SELECT 1 FROM erz.person other WHERE other.snils = :snils AND other.id <> p.id) AS taken
    FROM erz.person p WHERE p.id = :id FOR UPDATE OF p
), changed AS (
    UPDATE erz.person p SET snils = :snils, source_message_id = :source, changed_at = now()
    FROM before WHERE p.id = before.id AND before.was IS NULL AND NOT before.taken)
SELECT was, taken FROM before
""")

_IDENTIFY = text("""
SELECT id FROM erz.person
WHERE enp = :enp AND search_key = :key AND birth_date = :birth AND birth_precision = 'day' AND status <> 'annulled'
""")
