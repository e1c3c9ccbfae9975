"""What happens in the demo: who sends what, and what goes wrong on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from core.database import Database
from routes.erz.models import Person, Policy
from routes.erz.values import search_key
from routes.pump.models import RenderedService
from simulators.demo.world import Surroundings
from simulators.payloads import ffoms, fns, people, zags
from simulators.payloads.people import Invented

FUND, ZAGS, FNS, SFR, EPGU = "TFOMS01", "ZAGS01", "FNS001", "SFR001", "EPGU01"
SPECIAL_SURNAMES = ("Нетданных", "Непрошедшев", "Ожидаев", "Молчунов", "Медленнов")
"""What СФР answers to a СНИЛС question goes by these surnames (simulators/smev3/defaults.toml)."""

Step = tuple[str, Callable[[], Any]]


@dataclass
class Sent:
    """What the far sides have sent, for the reconciliation: how many documents of each kind must take effect."""

    deaths: int = 0
    births: int = 0
    organizations: dict[str, set[str]] = field(default_factory=dict)
    """MessageID → ОГРН."""
    with_services: int = 0
    without_services: int = 0
    bad_records: int = 0
    silent: int = 0
    """Questions about people of whom СФР says nothing."""
    faults: list[str] = field(default_factory=list)


class Scenario:
    """Deterministic for a seed: the same messages in the same order."""

    def __init__(self, world: Surroundings, *, seed: int, scale: float = 1.0) -> None:
        self._world = world
        self._smev = world.smev
        self._random = random.Random(seed)
        self._seed = seed
        self._scale = scale
        self.sent = Sent()
        self._insured = people.people(seed, self._many(120), youngest=30, oldest=90)

    def _many(self, number: int) -> int:
        return max(2, round(number * self._scale))

    def fill_registry(self, database: Database) -> None:
        """Invented insured people with policies; every third was treated last year."""
        with database.transaction() as connection, Session(connection) as session:
            for place, one in enumerate(self._insured):
                person = Person(
                    surname=one.surname,
                    given=one.given,
                    patronymic=one.patronymic,
                    search_key=search_key(one.surname, one.given, one.patronymic),
                    birth_date=one.birth,
                    birth_precision="day",
                    sex=one.sex,
                    snils=one.snils,
                    enp=one.enp,
                )
                session.add(person)
                session.flush()
                session.add(Policy(person_id=person.id, enp=one.enp, starts=date(2020, 1, 1)))
                if place % 3 == 0:
                    for service in ffoms.services(self._seed + place):
                        session.add(RenderedService(person_id=person.id, **_fields(service)))
            session.flush()

    def note_fault(self, name: str) -> None:
        """Something else that was broken on the way, for the account."""
        self.sent.faults.append(name)

    def first_wave(self) -> Iterator[Step]:
        """Everything is well, but for a silent СФР, repeated deliveries and torn connections."""
        yield "СФР не отвечает (поставщик выключен)", lambda: self._fault("СФР выключен", self._smev.down, SFR)
        arm = self._smev.arm
        yield (
            "10 сообщений СМЭВ доставит повторно",
            lambda: self._fault("повторная доставка ×10", lambda: arm("duplicate", operation="GetRequest", count=10)),
        )
        yield (
            "3 ответа шины: соединение рвётся после приёма",
            lambda: self._fault("обрыв после приёма ×3", lambda: arm("drop_after", operation="SendResponse", count=3)),
        )
        yield (
            "2 запроса шины: вместо ответа страница 504",
            lambda: self._fault(
                "HTTP 504 ×2", lambda: arm("html_504", operation="SendRequest", count=2, params={"accepted": True})
            ),
        )
        yield from self._mixed(0, 0.6)

    def second_wave(self) -> Iterator[Step]:
        """After the kill -9: a forged signature, a broken record, and СФР is back."""
        arm = self._smev.arm
        yield (
            "1 сообщение с неверной подписью СМЭВ",
            lambda: self._fault(
                "неверная подпись СМЭВ",
                # of one kind, so that the account knows what must be missing
                lambda: arm("wrong_smev_signature", operation="GetRequest", kind="fns.egrul", count=1),
            ),
        )
        yield "1 запись о смерти нарушает схему", self._broken_record
        yield "СФР снова отвечает", lambda: self._smev.up(SFR)
        yield from self._mixed(0.6, 1.0)

    def _mixed(self, start: float, end: float) -> Iterator[Step]:
        """A part of the working day: messages of all kinds, interleaved."""
        steps: list[Step] = []
        for make, number in (
            (self._birth, self._many(30)),
            (self._death, self._many(50)),
            (self._egrul, self._many(30)),
            (self._citizen, self._many(60)),
        ):
            steps += [self._step(make, place) for place in range(round(number * start), round(number * end))]
        self._random.shuffle(steps)
        yield from steps

    def _step(self, make: Callable[[int], None], place: int) -> Step:
        return "", lambda: make(place)

    def _birth(self, place: int) -> None:
        born: list[Invented] = []
        if place % 6 == 0:
            # СФР knows these surnames: no data, a refusal of СМЭВ, a status first, silence, slowness.
            surname = SPECIAL_SURNAMES[(place // 6) % len(SPECIAL_SURNAMES)]
            born = [people.people(self._seed + place, 1, youngest=0, oldest=0)[0].but(surname=surname)]
            self.sent.silent += surname == "Молчунов"
        payload = zags.birth_notice(self._seed * 1000 + place, records=2, born=born)
        self._smev.send(ZAGS, payload, version="1.3", tag="birth")
        self.sent.births += 2

    def _death(self, place: int) -> None:
        records = 1 + place % 3
        known = [self._insured[place % len(self._insured)]]
        payload = zags.death_notice(self._seed * 1000 + place, records=records, dead=known)
        self._smev.send(ZAGS, payload, version="1.3", tag="death")
        self.sent.deaths += records

    def _broken_record(self) -> None:
        payload = zags.break_record(zags.death_notice(self._seed * 1000 + 999, records=3), place=1)
        self._fault("запись не по схеме", lambda: self._smev.send(ZAGS, payload, version="1.3", tag="broken"))
        self.sent.deaths += 2
        self.sent.bad_records += 1

    def _egrul(self, place: int) -> None:
        rng = random.Random(self._seed * 1000 + place)
        numbers = [fns.ogrn(rng) for _ in range(3)]
        payload = fns.news(self._seed * 1000 + place, organizations=3, ogrns=numbers)
        message_id = self._smev.send(FNS, payload, version="1.2", tag="egrul")
        self.sent.organizations[message_id] = set(numbers)

    def _citizen(self, place: int) -> None:
        # The dead come from the beginning of the list, the askers from its end.
        position = len(self._insured) - 1 - place % len(self._insured)
        asker = self._insured[position]
        if place % 5 == 4:
            asker = asker.but(enp=people.digits(self._random, 16))
            self.sent.without_services += 1
        elif position % 3 == 0:
            self.sent.with_services += 1
        else:
            self.sent.without_services += 1
        self._smev.send(EPGU, ffoms.query(asker), version="1.2", tag="services")

    def _fault(self, name: str, work: Callable[..., Any], *arguments: Any) -> None:
        self.sent.faults.append(name)
        work(*arguments)


def _fields(service: ffoms.InventedService) -> dict[str, Any]:
    return {name: getattr(service, name) for name in service.__dataclass_fields__}
