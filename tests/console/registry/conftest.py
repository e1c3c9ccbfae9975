"""What tests of the registries share: a console over a database with one person whose every value is known."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from uuid import UUID

import pytest

from core.bus import Bus
from core.database import driver
from core.settings import Settings

MESSAGE: Final = UUID("0190a1b2-0000-7000-8000-00000000abcd")
SECRETS: Final = {
    "surname": "Ёлкина-Тайная",
    "given": "Секретина",
    "patronymic": "Скрытовна",
    "birth": "1951-12-29",
    "birth_place": "село Потаённое",
    "snils": "11223344595",
    "enp": "7712345678901234",
    "number": "987654",
    "issuer": "Отделом Невидимым",
    "certificate": "I-ЯЯ 555777",
    "mother": "Материна Тайна",
    "service": "Приём врача-психиатра",
    "clinic": "Клиника Тихая",
    "note": "В ответе назван Иной Человек",
}
"""Invented; none of these may reach whoever lacks personal.read."""
SHOWN: Final = [*(v for k, v in SECRETS.items() if k != "birth"), "29.12.1951", "1951-12-29", "ЕЛКИНА"]


@dataclass(frozen=True)
class Planted:
    """Ids of the planted rows."""

    person: int
    document: int
    policy: int
    birth: int
    death: int
    service: int
    question: int

    def paths(self) -> dict[str, tuple[str, object]]:
        """Screen → (its path, id of its row)."""
        return {
            "erz.persons": ("/registry/erz/persons", self.person),
            "erz.documents": ("/registry/erz/documents", self.document),
            "erz.policies": ("/registry/erz/policies", self.policy),
            "erz.births": ("/registry/erz/births", self.birth),
            "erz.deaths": ("/registry/erz/deaths", self.death),
            "pump.services": ("/registry/pump/services", self.service),
            "sfr.snils": ("/registry/sfr/snils", self.question),
            "fns.organizations": ("/registry/fns/organizations", "1027700132195"),
        }


_ACT = """(person_id, office_code, act_number, act_date, version, version_date, status_code, annulled, surname, given,
    patronymic, search_key, birth_date, certificate, source_message_id, {more}) VALUES (%(person)s, 'R7700001', '17',
    '2026-01-13', 1, '2026-01-13', '03', false, %(surname)s, %(given)s, %(patronymic)s,
    'ЕЛКИНА-ТАЙНАЯ|СЕКРЕТИНА|СКРЫТОВНА', %(birth)s, %(certificate)s, %(message)s, {values}) RETURNING id"""


def plant(bus: Bus) -> Planted:
    """Put one row into each table that has a screen."""
    values: dict[str, Any] = SECRETS | {"message": MESSAGE}
    with bus.database.transaction() as connection:
        db = driver(connection)

        def put(sql: str) -> int:
            row = db.execute(sql.encode(), values).fetchone()
            assert row
            return int(row[0])

        values["person"] = put(
            "INSERT INTO erz.person (surname, given, patronymic, search_key, birth_date, birth_place, sex, snils, enp, "
            "source_message_id) VALUES (%(surname)s, %(given)s, %(patronymic)s, 'ЕЛКИНА-ТАЙНАЯ|СЕКРЕТИНА|СКРЫТОВНА', "
            "%(birth)s, %(birth_place)s, 2, %(snils)s, %(enp)s, %(message)s) RETURNING id"
        )
        db.execute(
            "INSERT INTO fns.organization (ogrn, ogrn_date, inn, name, extract_date) "
            "VALUES ('1027700132195', '2002-08-16', '7707083893', 'АКЦИОНЕРНОЕ ОБЩЕСТВО «РОМАШКА»', '2026-01-15')"
        )
        return Planted(
            person=values["person"],
            document=put(
                "INSERT INTO erz.document (person_id, kind_code, series, number, number_key, issuer) "
                "VALUES (%(person)s, '21', '45 08', %(number)s, '4508987654', %(issuer)s) RETURNING id"
            ),
            policy=put(
                "INSERT INTO erz.policy (person_id, enp, starts) "
                "VALUES (%(person)s, %(enp)s, '2020-01-01') RETURNING id"
            ),
            birth=put("INSERT INTO erz.birth_record " + _ACT.format(more="alive, mother", values="true, %(mother)s")),
            death=put("INSERT INTO erz.death_record " + _ACT.format(more="death_date", values="%(birth)s")),
            service=put(
                "INSERT INTO pump.rendered_service (person_id, started, care_regimen, care_type, name, cost, "
                "clinic_name, region_name) VALUES (%(person)s, %(birth)s, 'Амбулаторно', 'Первичная', %(service)s, "
                "1234.5, %(clinic)s, 'Москва') RETURNING id"
            ),
            question=put(
                "INSERT INTO sfr.snils_request (person_id, message_id, snils, note) "
                "VALUES (%(person)s, %(message)s, %(snils)s, %(note)s) RETURNING id"
            ),
        )


@dataclass
class Registry:
    """A console with planted rows, shared by the tests of a module.

    `secrets` is what was planted, `shown` how it would stand on a page.
    """

    secrets: ClassVar = SECRETS
    shown: ClassVar = SHOWN
    message: ClassVar = MESSAGE

    desk: Any
    bus: Bus
    rows: Planted
    seen: int = 0
    people: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def audit(self) -> list[dict[str, Any]]:
        """Rows of the audit about registries since this was asked last, the oldest first."""
        with self.bus.database.transaction() as connection:
            found = driver(connection).execute(
                "SELECT actor, action, object_kind, object_id, note, detail, seq FROM bus.audit "
                "WHERE action LIKE 'registry.%%' AND seq > %s ORDER BY seq",
                (self.seen,),
            )
            names = ("actor", "action", "object_kind", "object_id", "note", "detail", "seq")
            rows = [dict(zip(names, row, strict=True)) for row in found]
        self.seen = rows[-1]["seq"] if rows else self.seen
        return [{name: row[name] for name in names[:-1]} for row in rows]

    def person(self, *roles: str) -> Any:
        """Somebody with these roles, the same one again."""
        if roles not in self.people:
            self.people[roles] = self.desk.person(*roles)
        return self.people[roles]

    def reader(self, *more: str) -> Any:
        """Somebody who reads every subsystem, personal data hidden."""
        return self.person("erz.reader", "fns.reader", "pump.reader", "sfr.reader", *more)


@pytest.fixture(scope="module")
def shared_registry(
    new_database: Callable[[], str], desk_type: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    settings = Settings(database_url=new_database(), data_dir=tmp_path_factory.mktemp("data"), rolling=True)
    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(Bus.open(settings, [], []))
        yield Registry(desk_type(bus, stack.enter_context), bus, plant(bus))


@pytest.fixture
def registry(shared_registry: Registry) -> Registry:
    """What happened before is not asked again."""
    shared_registry.audit()
    return shared_registry
