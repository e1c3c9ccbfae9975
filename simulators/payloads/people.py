"""Invented persons. Names are combined at random from common ones; numbers are random with right check digits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

TODAY: Final = date(2026, 1, 15)
"""The day on which the invented world stands, so that payloads do not change with the calendar."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SURNAMES: Final = _words(
    "Абросимов Березин Ветлугин Громов Дегтярёв Ершов Жаворонков Звонарёв Истомин Калашников Лобанов Мещеряков "
    "Нефёдов Осокин Плотников Рябинин Соболев Тихонравов Усольцев Филатов Холмогоров Царёв Чернышёв Шелестов "
    "Щеглов Юдин Ярцев Верховцев Полозов Студенцов Троекуров Заречнев"
)
_MALE: Final = _words(
    "Александр Алексей Андрей Антон Артём Борис Вадим Виктор Глеб Григорий Денис Дмитрий Евгений Егор Иван Игорь "
    "Кирилл Константин Леонид Максим Никита Олег Павел Роман Семён Сергей Степан Тимофей Фёдор Юрий"
)
_FEMALE: Final = _words(
    "Александра Алёна Алиса Анна Валентина Варвара Вера Галина Дарья Екатерина Елена Зинаида Ирина Ксения Лариса "
    "Любовь Маргарита Мария Надежда Наталья Нина Ольга Полина Светлана София Таисия Ульяна Юлия"
)
_FATHERS: Final = _words(
    "Александров Алексеев Андреев Антонов Борисов Викторов Денисов Дмитриев Иванов Игорев Константинов Максимов "
    "Олегов Павлов Романов Семёнов Сергеев Степанов Фёдоров Юрьев"
)


@dataclass(frozen=True, slots=True)
class Invented:
    """A person who does not exist. sex: 1 male, 2 female; passport: series and number; snils, enp: digits."""

    surname: str
    given: str
    patronymic: str
    sex: int
    birth: date
    snils: str
    enp: str
    passport: str

    def but(self, **changes: Any) -> Invented:
        """The same person with something changed."""
        return replace(self, **changes)


def person(rng: random.Random, *, youngest: int = 18, oldest: int = 90, today: date = TODAY) -> Invented:
    """One person of that age, in whole years."""
    sex = rng.choice((1, 2))
    surname = rng.choice(_SURNAMES)
    if rng.random() < 0.1:
        surname += "-" + rng.choice([one for one in _SURNAMES if one != surname])
    if sex == 2:
        surname = "-".join(part + "а" for part in surname.split("-"))
    return Invented(
        surname=surname,
        given=rng.choice(_MALE if sex == 1 else _FEMALE),
        patronymic=rng.choice(_FATHERS) + ("ич" if sex == 1 else "на"),
        sex=sex,
        birth=today - timedelta(days=rng.randint(int(youngest * 365.25), int(oldest * 365.25) + 364)),
        snils=snils(rng),
        enp=digits(rng, 16),
        passport=f"{digits(rng, 4)} {digits(rng, 6)}",
    )


def people(seed: int, count: int, *, youngest: int = 18, oldest: int = 90) -> list[Invented]:
    """`count` persons, no two of them with the same name and birth date."""
    rng = random.Random(f"people-{seed}")
    return [one for _, one in zip(range(count), _different(rng, youngest, oldest), strict=False)]


def _different(rng: random.Random, youngest: int, oldest: int) -> Iterator[Invented]:
    seen = set()
    while True:
        one = person(rng, youngest=youngest, oldest=oldest)
        if (name := (one.surname, one.given, one.patronymic, one.birth)) not in seen:
            seen.add(name)
            yield one


def snils(rng: random.Random) -> str:
    """Eleven digits with the right check number."""
    number = f"{rng.randint(20_000_000, 199_999_999):09d}"
    rest = sum(int(digit) * (9 - place) for place, digit in enumerate(number)) % 101
    return f"{number}{rest % 100:02d}"


def digits(rng: random.Random, count: int) -> str:
    """A number of so many digits, the first of them no zero."""
    return str(rng.randint(10 ** (count - 1), 10**count - 1))


def uuid(rng: random.Random) -> str:
    """A lower-case UUID that depends on the seed only."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
