"""Puts invented people into the registry: for the demo, tests and training. Never on a fund's own data."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from routes.erz.values import document_key, search_key


class Insured(Protocol):
    """What a person must have (`simulators.payloads.people.Invented` has it). passport: series and number."""

    @property
    def surname(self) -> str: ...
    @property
    def given(self) -> str: ...
    @property
    def patronymic(self) -> str: ...
    @property
    def sex(self) -> int: ...
    @property
    def birth(self) -> date: ...
    @property
    def snils(self) -> str: ...
    @property
    def enp(self) -> str: ...
    @property
    def passport(self) -> str: ...


def seed(db: Session, insured: Iterable[Insured]) -> list[int]:
    """Write persons with passport and policy; their ids, in order. Who is there already (by ЕНП) stays as they are."""
    return [_seed(db, one) for one in insured]


def _seed(db: Session, one: Insured) -> int:
    values = {
        "surname": one.surname,
        "given": one.given,
        "patronymic": one.patronymic,
        "search_key": search_key(one.surname, one.given, one.patronymic),
        "birth_date": one.birth,
        "sex": one.sex,
        "snils": one.snils,
        "enp": one.enp,
        "passport": one.passport,
        "passport_key": document_key(one.passport),
    }
    person_id: int = db.connection().execute(_SEED, values).scalar_one()
    return person_id


_SEED = text("""
WITH person AS (
    INSERT INTO erz.person (surname, given, patronymic, search_key, birth_date, sex, snils, enp)
    VALUES (:surname, :given, :patronymic, :search_key, :birth_date, :sex, :snils, :enp)
    ON CONFLICT (enp) WHERE enp IS NOT NULL DO NOTHING RETURNING id
), document AS (
    INSERT INTO erz.document (person_id, kind_code, series, number, number_key)
    SELECT id, '21', split_part(:passport, ' ', 1), split_part(:passport, ' ', 2), :passport_key FROM person
), policy AS (
    INSERT INTO erz.policy (person_id, enp, starts) SELECT id, :enp, '2011-05-01' FROM person
)
SELECT id FROM person UNION ALL SELECT id FROM erz.person WHERE enp = :enp
""")
