"""Births: an act of ЕГР ЗАГС is written down, the child is found in the registry or comes into it.

Versions of one act may come in any order and any number of times: only one newer than the last changes anything.
The act that brought a person into the registry corrects and, when annulled, closes that person; an act of a person
known from elsewhere is only linked to them.

At most four statements an act.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Retryable
from routes.erz.acts import act_columns, person_columns
from routes.erz.deaths import NOT_NEWER, match_waiting
from routes.erz.values import BirthAct, Identity

SEVERAL: Final = "под сведения о ребёнке подходит больше одного человека, выберите вручную"
STILLBORN: Final = "мертворождение: человек в реестр не заносится"
NAMELESS: Final = "нет фамилии или даты рождения ребёнка: человек в реестр не занесён, запись ждёт сопоставления"


@dataclass(frozen=True, slots=True)
class Born:
    """What became of an act. `needs_snils`: the person is alive, has none and it can be asked for."""

    record_id: int | None
    person_id: int | None
    applied: bool
    needs_snils: bool = False
    note: str = ""


def register_birth(db: Session, act: BirthAct, source: UUID) -> Born:
    """Write one version of a birth act. `source`: journal id of the message."""
    child = act.person
    known = _look_up(db, act)
    if known.version is not None and (act.version_number, act.version_date) <= (known.version, known.version_date):
        return Born(known.record_id, known.record_person_id, applied=False, note=NOT_NEWER)

    person_id, made, note = known.record_person_id, bool(known.made_person), ""
    if not act.alive:
        note = STILLBORN
    elif person_id is None and not act.is_annulled:
        person_id, made, note = _place(db, known, child, source)
    elif person_id is not None and made:
        status = "annulled" if act.is_annulled else "alive"
        db.connection().execute(
            _CHANGE_PERSON, {**person_columns(child), "id": person_id, "status": status, "source": source}
        )

    record_id = _write_record(db, act, person_id, made, note, source)
    is_first = known.record_person_id is None and person_id is not None
    is_dead = is_first and made and match_waiting(db, person_id, child, source)
    has_none = made or bool(known.without_snils)
    needs_snils = is_first and has_none and not is_dead and _may_be_asked_for(child)
    return Born(record_id, person_id, applied=True, needs_snils=needs_snils, note=note)


def _look_up(db: Session, act: BirthAct) -> Any:
    birth = act.person.birth
    values = {
        "office": act.office_code,
        "number": act.act_number,
        "date": act.act_date,
        "key": act.person.search_key,
        "birth": birth.first if birth and birth.precision == "day" else None,
    }
    return db.connection().execute(_LOOK_UP, values).one()


def _place(db: Session, known: Any, child: Identity, source: UUID) -> tuple[int | None, bool, str]:
    """(person id, did we make them, note)."""
    if child.birth is None or not child.surname:
        return None, False, NAMELESS
    if known.candidates > 1:
        return None, False, SEVERAL
    if known.candidates == 1:
        return known.candidate, False, ""
    made = db.connection().execute(_NEW_PERSON, {**person_columns(child), "source": source})
    return made.scalar_one(), True, ""


def _write_record(db: Session, act: BirthAct, person_id: int | None, made: bool, note: str, source: UUID) -> int:
    values = {
        **act_columns(act, act.person, act.certificate),
        "person_id": person_id,
        "note": note,
        "source": source,
        "alive": act.alive,
        "made_person": made,
        "mother": act.mother.full if act.mother else "",
        "father": act.father.full if act.father else "",
    }
    record_id: int | None = db.connection().execute(_UPSERT, values).scalar_one_or_none()
    if record_id is None:
        raise Retryable("Ту же запись акта о рождении одновременно изменило другое сообщение; шина повторит")
    return record_id


def _may_be_asked_for(child: Identity) -> bool:
    """СФР wants name, sex and the whole birth date."""
    is_exact = child.birth is not None and child.birth.precision == "day"
    return is_exact and child.known_sex is not None and bool(child.given)


_LOOK_UP = text("""
SELECT r.id AS record_id, r.version, r.version_date, r.person_id AS record_person_id, r.made_person,
       found.candidates, found.candidate, found.without_snils
FROM (SELECT count(*) AS candidates, min(p.id) AS candidate, bool_and(p.snils IS NULL AND p.status = 'alive')
             AS without_snils
      FROM erz.person p WHERE p.search_key = :key AND p.birth_date = CAST(:birth AS date)
        AND p.birth_precision = 'day' AND p.status <> 'annulled') AS found
LEFT JOIN erz.birth_record r ON r.office_code = :office AND r.act_number = :number AND r.act_date = :date
""")

_NEW_PERSON = text("""
INSERT INTO erz.person (surname, given, patronymic, search_key, birth_date, birth_precision, birth_place, sex,
                        source_message_id)
VALUES (:surname, :given, :patronymic, :search_key, :birth_date, :birth_precision, :birth_place, :sex, :source)
RETURNING id
""")

_CHANGE_PERSON = text("""
UPDATE erz.person SET surname = :surname, given = :given, patronymic = :patronymic, search_key = :search_key,
    birth_date = :birth_date, birth_precision = :birth_precision, birth_place = :birth_place, sex = :sex,
    status = CASE WHEN :status = 'alive' AND status = 'dead' THEN status ELSE :status END,
    source_message_id = :source, changed_at = now()
WHERE id = :id
""")

_UPSERT = text("""
INSERT INTO erz.birth_record AS r (
    person_id, office_code, office_name, act_number, act_date, version, version_date, status_code, annulled,
    surname, given, patronymic, search_key, birth_date, birth_precision, birth_place, sex, certificate,
    certificate_date, note, source_message_id, alive, made_person, mother, father)
VALUES (:person_id, :office_code, :office_name, :act_number, :act_date, :version, :version_date, :status_code,
    :annulled, :surname, :given, :patronymic, :search_key, :birth_date, :birth_precision, :birth_place, :sex,
    :certificate, :certificate_date, :note, :source, :alive, :made_person, :mother, :father)
ON CONFLICT (office_code, act_number, act_date) DO UPDATE SET
    person_id = EXCLUDED.person_id, office_name = EXCLUDED.office_name, version = EXCLUDED.version,
    version_date = EXCLUDED.version_date, status_code = EXCLUDED.status_code, annulled = EXCLUDED.annulled,
    surname = EXCLUDED.surname, given = EXCLUDED.given, patronymic = EXCLUDED.patronymic,
    search_key = EXCLUDED.search_key, birth_date = EXCLUDED.birth_date, birth_precision = EXCLUDED.birth_precision,
    birth_place = EXCLUDED.birth_place, sex = EXCLUDED.sex, certificate = EXCLUDED.certificate,
    certificate_date = EXCLUDED.certificate_date, note = EXCLUDED.note, received_at = now(),
    source_message_id = EXCLUDED.source_message_id, alive = EXCLUDED.alive, made_person = EXCLUDED.made_person,
    mother = EXCLUDED.mother, father = EXCLUDED.father
WHERE (EXCLUDED.version, EXCLUDED.version_date) > (r.version, r.version_date)
RETURNING r.id
""")
