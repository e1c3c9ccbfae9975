"""The words of the registry that documents are turned into: incomplete dates, persons, acts.

They are pydantic models, so a kind's body may use them directly. Fields with personal data are marked: the journal,
lists and export mask them at one place (DESIGN §6).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

Precision = Literal["day", "month", "year"]
Personal = Annotated[str, Field(json_schema_extra={"personal": True})]
"""A text that says something about a person."""

SNILS_WITHOUT_CHECK_MOST: Final = 1_001_998
"""Numbers up to 001-001-998 were given out before check digits existed."""

_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A date of which the day, or the month too, may be unknown (ЕГР ЗАГС, ДатаДокТип; FACTS §12.2)."""

    first: date
    """The day itself, or the first day of the known month or year."""
    precision: Precision

    @classmethod
    def parse(cls, text: str) -> PartialDate:
        """From `1950`, `1950-05` or `1950-05-17`. Raises ValueError."""
        match = _PARTIAL.fullmatch(text)
        if match is None:
            raise ValueError("дата должна быть вида ГГГГ, ГГГГ-ММ или ГГГГ-ММ-ДД")
        year, month, day = match.groups()
        precision: Precision = "day" if day else "month" if month else "year"
        return cls(date(int(year), int(month or 1), int(day or 1)), precision)

    @property
    def last(self) -> date:
        """The day itself, or the last day of the known month or year."""
        if self.precision == "day":
            return self.first
        if self.precision == "year":
            return date(self.first.year, 12, 31)
        return self.first.replace(day=calendar.monthrange(self.first.year, self.first.month)[1])

    def __str__(self) -> str:
        return self.first.isoformat()[: {"day": 10, "month": 7, "year": 4}[self.precision]]


def _partial(value: Any) -> PartialDate:
    return value if isinstance(value, PartialDate) else PartialDate.parse(str(value))


AnyDate = Annotated[PartialDate, PlainValidator(_partial), WithJsonSchema({"type": "string", "format": "date"})]
"""A model's field that holds a PartialDate."""
PersonalDate = Annotated[AnyDate, Field(json_schema_extra={"personal": True})]


class Value(BaseModel):
    """Immutable; unknown fields are errors, so a transform cannot drift away from its model unnoticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Name(Value):
    """The three parts of a name; a part that a document says does not exist is empty."""

    surname: Personal = ""
    given: Personal = ""
    patronymic: Personal = ""

    @property
    def search_key(self) -> str:
        return search_key(self.surname, self.given, self.patronymic)

    @property
    def full(self) -> str:
        return " ".join(part for part in (self.surname, self.given, self.patronymic) if part)


class Identity(Name):
    """A person as a document names them. `document` is series and number as written; sex: 1 male, 2 female."""

    sex: Annotated[int | None, Field(ge=1, le=3)] = None
    birth: PersonalDate | None = None
    birth_place: Personal = ""
    document: Personal = ""

    @property
    def document_key(self) -> str:
        return document_key(self.document)

    @property
    def known_sex(self) -> int | None:
        """1 or 2; the code 3 of ЕГР ЗАГС says that it was not determined."""
        return self.sex if self.sex in (1, 2) else None


class Certificate(Value):
    """A certificate of a civil act."""

    series: Personal
    number: Personal
    issued: date

    def __str__(self) -> str:
        return f"{self.series} {self.number}"


class Act(Value):
    """One version of a civil act record (ЕГР ЗАГС 4.0.1): the office, the number, what became of it."""

    office_code: str
    office_name: str
    act_number: str
    act_date: date
    version: str
    version_date: date
    status_code: str
    restored: date | None = None
    annulled: date | None = None

    @property
    def version_number(self) -> int:
        """НомерВерс as a number; 0 when it is none (then ДатаВерс alone orders the versions)."""
        return int(self.version) if self.version.isascii() and self.version.isdigit() else 0

    @property
    def is_annulled(self) -> bool:
        """Annulled, and not restored on a later day."""
        return self.annulled is not None and (self.restored is None or self.restored < self.annulled)


class DeathAct(Act):
    """One version of a death act. `died` None: the date is not known; `unidentified`: an unknown body."""

    person: Identity
    died: PersonalDate | None = None
    unidentified: bool = False
    certificate: Certificate | None = None


class BirthAct(Act):
    """One version of a birth act."""

    person: Identity
    alive: bool
    mother: Identity | None = None
    father: Identity | None = None
    certificate: Certificate | None = None


def search_key(surname: str, given: str, patronymic: str) -> str:
    """What equal names have in common: letter case, ё/е, spaces and spaces round hyphens make no difference."""
    return "|".join(
        re.sub(r"\s*-\s*", "-", " ".join(part.split())).upper().replace("Ё", "Е")
        for part in (surname, given, patronymic)
    )


def document_key(document: str) -> str:
    """Series and number without anything but letters and digits: `45 08 № 123456` → `4508123456`."""
    return "".join(c for c in document.upper() if c.isalnum())


def snils_is_valid(snils: str) -> bool:
    """Eleven digits with a right check number (ПФР, постановление 194п 2003, приложение 1)."""
    if len(snils) != 11 or not (snils.isascii() and snils.isdigit()):
        return False
    if int(snils[:9]) <= SNILS_WITHOUT_CHECK_MOST:
        return True
    rest = sum(int(digit) * (9 - place) for place, digit in enumerate(snils[:9])) % 101
    return rest % 100 == int(snils[9:])
