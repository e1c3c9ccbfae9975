"""Deaths: an act of ЕГР ЗАГС is written down, the person it names is found and declared dead, or alive again.

Versions of one act may come in any order and any number of times: only one newer than the last changes anything
(НомерВерс, then ДатаВерс). A death whose person is not found, or not found for certain, is kept with a note; when
the person comes into the registry later, it is found again (`match_waiting`).

At most three statements an act: one lookup, one upsert, one update of the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from routes.erz.acts import act_columns
from routes.erz.values import DeathAct, Identity

NOT_NEWER: Final = "версия записи акта не новее принятой, реестр не изменён"
NOBODY: Final = "умерший в реестре не найден, запись ждёт сопоставления"
SEVERAL: Final = "под сведения об умершем подходит больше одного человека, выберите вручную"
NO_LONGER: Final = "в новой версии записи умерший не найден, оставлена прежняя связь: проверьте её"


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of an act. `person_id` None: not matched; `applied` False: an older or repeated version."""

    record_id: int | None
    person_id: int | None
    applied: bool
    note: str = ""


def register_death(db: Session, act: DeathAct, source: UUID) -> Registered:
    """Write one version of a death act. `source`: journal id of the message."""
    found, matched_by, note = _find(db, act.person)
    row = db.connection().execute(_UPSERT, _record(act, found, matched_by, note, source)).one_or_none()
    if row is None:
        return Registered(None, found, applied=False, note=NOT_NEWER)
    record_id, person_id, note, is_new = row
    if person_id is not None or not is_new:
        values = {"record": record_id, "person": person_id, "valid": not act.is_annulled, "source": source}
        db.connection().execute(_MARK, {**values, **_died(act)})
    return Registered(record_id, person_id, applied=True, note=note)


def _record(act: DeathAct, person_id: int | None, matched_by: str, note: str, source: UUID) -> dict[str, Any]:
    return {
        **act_columns(act, act.person, act.certificate),
        **_died(act),
        "person_id": person_id,
        "matched_by": matched_by,
        "note": note,
        "kept_note": NO_LONGER,
        "document_key": act.person.document_key,
        "source": source,
    }


def _died(act: DeathAct) -> dict[str, Any]:
    return {
        "death_date": act.died.first if act.died else None,
        "death_precision": act.died.precision if act.died else "day",
    }


def match_waiting(db: Session, person_id: int, person: Identity, source: UUID) -> bool:
    """A person has come into the registry: take a death that was waiting for them. True when there was one."""
    if person.birth is None or person.birth.precision != "day":
        return False
    found = db.connection().execute(
        _MATCH_WAITING, {"person": person_id, "key": person.search_key, "birth": person.birth.first, "source": source}
    )
    return found.one_or_none() is not None


def _find(db: Session, person: Identity) -> tuple[int | None, str, str]:
    """(person id, how it was found, note). Certain is: the same document, or full name and full birth date of one."""
    birth = person.birth
    if birth is None or not person.surname:
        return None, "", NOBODY
    values = {"key": person.search_key, "since": birth.first, "until": birth.last, "document": person.document_key}
    rows = db.connection().execute(_FIND, values).all()
    same_document = [row for row in rows if row.same_document]
    if len(same_document) == 1:
        return same_document[0].id, "document", ""
    if len(rows) == 1 and birth.precision == "day":
        return rows[0].id, "name", ""
    return None, "", SEVERAL if rows else NOBODY


_FIND = text("""
SELECT p.id, :document <> '' AND EXISTS (
           SELECT 1 FROM erz.document d WHERE d.person_id = p.id AND d.number_key = :document) AS same_document
FROM erz.person p
WHERE p.search_key = :key AND p.birth_date BETWEEN :since AND :until AND p.birth_precision = 'day'
  AND p.status <> 'annulled'
ORDER BY p.id LIMIT 50
""")

_UPSERT = text("""
INSERT INTO erz.death_record AS r (
    person_id, office_code, office_name, act_number, act_date, version, version_date, status_code, annulled,
    surname, given, patronymic, search_key, birth_date, birth_precision, sex, certificate, certificate_date, note,
    source_message_id, document_key, death_date, death_precision, matched_by)
VALUES (:person_id, :office_code, :office_name, :act_number, :act_date, :version, :version_date, :status_code,
    :annulled, :surname, :given, :patronymic, :search_key, :birth_date, :birth_precision, :sex, :certificate,
    :certificate_date, :note, :source, :document_key, :death_date, :death_precision, :matched_by)
ON CONFLICT (office_code, act_number, act_date) DO UPDATE SET
    person_id = COALESCE(EXCLUDED.person_id, r.person_id),
    note = CASE WHEN EXCLUDED.person_id IS NULL AND r.person_id IS NOT NULL THEN :kept_note ELSE EXCLUDED.note END,
    office_name = EXCLUDED.office_name, version = EXCLUDED.version, version_date = EXCLUDED.version_date,
    status_code = EXCLUDED.status_code, annulled = EXCLUDED.annulled, surname = EXCLUDED.surname,
    given = EXCLUDED.given, patronymic = EXCLUDED.patronymic, search_key = EXCLUDED.search_key,
    birth_date = EXCLUDED.birth_date, birth_precision = EXCLUDED.birth_precision, sex = EXCLUDED.sex,
    certificate = EXCLUDED.certificate, certificate_date = EXCLUDED.certificate_date,
    source_message_id = EXCLUDED.source_message_id, received_at = now(), document_key = EXCLUDED.document_key,
    death_date = EXCLUDED.death_date, death_precision = EXCLUDED.death_precision, matched_by = EXCLUDED.matched_by
WHERE (EXCLUDED.version, EXCLUDED.version_date) > (r.version, r.version_date)
RETURNING r.id, r.person_id, r.note, r.xmax = 0 AS is_new
""")

# One statement for all that a version can do: declare dead, revive after an annulment, revive whoever the earlier
# version named when the new one names somebody else.
_MARK = text("""
UPDATE erz.person SET
    status = CASE WHEN id = :person AND :valid THEN 'dead' ELSE 'alive' END,
    death_date = CASE WHEN id = :person AND :valid THEN CAST(:death_date AS date) END,
    death_precision = CASE WHEN id = :person AND :valid THEN :death_precision ELSE 'day' END,
    death_record_id = CASE WHEN id = :person AND :valid THEN CAST(:record AS bigint) END,
    source_message_id = :source, changed_at = now()
WHERE death_record_id = :record OR (id = :person AND :valid AND status <> 'annulled')
""")

_MATCH_WAITING = text("""
WITH waiting AS (
    SELECT id, death_date, death_precision, annulled FROM erz.death_record
    WHERE person_id IS NULL AND search_key = :key AND birth_date = :birth AND birth_precision = 'day'
    ORDER BY annulled, id DESC LIMIT 1
), matched AS (
    UPDATE erz.death_record r SET person_id = :person, matched_by = 'name', note = '' FROM waiting
    WHERE r.id = waiting.id RETURNING r.id
)
UPDATE erz.person p SET status = 'dead', death_date = waiting.death_date, death_precision = waiting.death_precision,
    death_record_id = waiting.id, source_message_id = :source, changed_at = now()
FROM waiting, matched WHERE p.id = :person AND NOT waiting.annulled
RETURNING p.id
""")
