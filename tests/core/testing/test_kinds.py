"""The contract suite of kinds finds what it promises: a small sound kind passes, each planted defect is caught."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from core.database import Database
from core.errors import Permanent
from core.keys import document_key
from core.message import Message, Outcome
from core.route import Context, Format, Route
from core.testing import kind_handlers, kinds

NAMESPACE = "urn:test:pet"
SCHEMA = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="{NAMESPACE}" targetNamespace="{NAMESPACE}"
    elementFormDefault="qualified">
  <!-- IMPORT -->
  <xs:element name="Pet"><xs:complexType><xs:sequence>
    <xs:element name="Name" type="xs:string"/><xs:element name="Born" type="xs:date"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
TRANSFORM = f"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:p="{NAMESPACE}"
    exclude-result-prefixes="p"><xsl:template match="/p:Pet"><pet>
  <name><xsl:value-of select="p:Name"/></name><born><xsl:value-of select="p:Born"/></born>
</pet></xsl:template></xsl:stylesheet>"""
VALID = [f"<Pet xmlns='{NAMESPACE}'><Name>{name}</Name><Born>2020-05-17</Born></Pet>" for name in ("Барсик", "Мурка")]
VALID.append(f"<Pet xmlns='{NAMESPACE}'><Name>Бобик</Name><Born>2021-01-02</Born></Pet>")
INVALID = [
    f"<Pet xmlns='{NAMESPACE}'><Name>Барсик</Name><Born>вчера</Born></Pet>",
    f"<Pet xmlns='{NAMESPACE}'><Name>Барсик</Name></Pet>",
    f"<Pet xmlns='{NAMESPACE}'><Born>2020-05-17</Born><Name>Барсик</Name></Pet>",
    f"<Dog xmlns='{NAMESPACE}'/>",
]
PETS_ROOT = f"{{{NAMESPACE}}}Pet"


class Pet(BaseModel):
    name: str
    born: str


class Kennel:
    """Writes a small kind into a folder; a test spoils one thing before it asks for the route."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.transform = "pet.xsl"
        self.root = PETS_ROOT
        self.key: Callable[[Message], str] | None = document_key("//*[local-name() = 'Name']")
        (folder / "pet.xsd").write_text(SCHEMA, encoding="utf-8")
        (folder / "pet.xsl").write_text(TRANSFORM, encoding="utf-8")
        for sort, bodies in (("valid", VALID), ("invalid", INVALID)):
            (folder / "samples" / sort).mkdir(parents=True)
            for place, body in enumerate(bodies):
                self.sample(sort, place, body)

    def sample(self, sort: str, place: int, body: str) -> None:
        (self.folder / "samples" / sort / f"{place}.xml").write_text(body, encoding="utf-8")

    def schema(self, old: str, new: str) -> None:
        (self.folder / "pet.xsd").write_text(SCHEMA.replace(old, new), encoding="utf-8")

    def python(self, code: str) -> None:
        self.transform = "pet.py"
        (self.folder / "pet.py").write_text(code, encoding="utf-8")

    def route(self, handler: Callable[..., Any] | None = None) -> Route:
        form = Format("1", self.root, str(self.folder / "pet.xsd"), str(self.folder / self.transform))
        route = Route("pets", title="Питомцы", formats=[form], body=Pet, key=self.key)
        route.handler(handler or (lambda body, ctx: None))
        return route


@pytest.fixture
def kennel(tmp_path: Path) -> Kennel:
    return Kennel(tmp_path)


def rules(route: Route) -> set[str]:
    return {finding.rule for finding in kinds.check(route)}


def test_a_sound_kind_has_no_findings(kennel: Kennel) -> None:
    assert [str(one) for one in kinds.check(kennel.route())] == []


def _broken_schema(kennel: Kennel) -> None:
    kennel.schema('type="xs:date"', 'type="p:Missing"')


def _schema_from_the_network(kennel: Kennel) -> None:
    kennel.schema("<!-- IMPORT -->", '<xs:import namespace="urn:x" schemaLocation="http://127.0.0.1:9/x.xsd"/>')


def _schema_from_elsewhere(kennel: Kennel) -> None:
    (kennel.folder.parent / "elsewhere.xsd").write_text(SCHEMA.replace(NAMESPACE, "urn:x"), encoding="utf-8")
    kennel.schema("<!-- IMPORT -->", '<xs:import namespace="urn:x" schemaLocation="../elsewhere.xsd"/>')


def _root_of_another_version(kennel: Kennel) -> None:
    kennel.root = "{urn:test:pet:2}Pet"


def _too_few_samples(kennel: Kennel) -> None:
    (kennel.folder / "samples" / "invalid" / "3.xml").unlink()


def _valid_sample_that_is_not(kennel: Kennel) -> None:
    kennel.sample("valid", 0, INVALID[0])


def _transform_that_forgets_a_field(kennel: Kennel) -> None:
    forgetful = TRANSFORM.replace('<born><xsl:value-of select="p:Born"/></born>', "")
    (kennel.folder / "pet.xsl").write_text(forgetful, encoding="utf-8")


def _schema_that_lets_everything_through(kennel: Kennel) -> None:
    kennel.schema('type="xs:date"', 'type="xs:string"')


def _refusal_that_quotes_the_document(kennel: Kennel) -> None:
    kennel.schema('type="xs:date"', 'type="xs:string"')
    kennel.python(
        "from core.errors import SchemaViolation\n"
        "def transform(document):\n"
        "    name, born = (child.text for child in document)\n"
        "    if len(born) != 10:\n"
        "        raise SchemaViolation(f'Элемент Born: дата питомца {name} неверна')\n"
        "    return {'name': name, 'born': born}\n"
    )


def _refusal_in_english(kennel: Kennel) -> None:
    kennel.schema('type="xs:date"', 'type="xs:string"')
    kennel.python(
        "from core.errors import SchemaViolation\n"
        "def transform(document):\n"
        "    if len(document[1].text) != 10:\n"
        "        raise SchemaViolation('bad element Born')\n"
        "    return {'name': document[0].text, 'born': document[1].text}\n"
    )


def _refusal_that_crashes(kennel: Kennel) -> None:
    kennel.schema('type="xs:date"', 'type="xs:string"')
    kennel.python(
        "import datetime\n"
        "def transform(document):\n"
        "    datetime.date.fromisoformat(document[1].text)\n"
        "    return {'name': document[0].text, 'born': document[1].text}\n"
    )


def _transform_that_counts(kennel: Kennel) -> None:
    kennel.python(
        "import itertools\n"
        "numbers = itertools.count()\n"
        "def transform(document):\n"
        "    return {'name': document[0].text, 'born': str(next(numbers))}\n"
    )


def _key_that_names_the_pet(kennel: Kennel) -> None:
    def leaky(message: Message) -> str:
        found = message.body.decode().partition("<Name>")[2]
        return found.partition("<")[0]

    kennel.key = leaky


def _key_that_changes(kennel: Kennel) -> None:
    numbers = itertools.count()
    kennel.key = lambda message: str(next(numbers))


def _key_that_crashes_on_garbage(kennel: Kennel) -> None:
    kennel.key = lambda message: str(len(message.body.split(b"<Name>")[1]))


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (_broken_schema, "schema-compiles"),
        (_schema_from_the_network, "schema-compiles"),
        (_schema_from_elsewhere, "schema-compiles"),
        (_root_of_another_version, "root-is-declared"),
        (_too_few_samples, "samples-are-there"),
        (_valid_sample_that_is_not, "valid-samples-pass"),
        (_transform_that_forgets_a_field, "valid-samples-pass"),
        (_schema_that_lets_everything_through, "invalid-samples-are-refused"),
        (_refusal_that_quotes_the_document, "invalid-samples-are-refused"),
        (_refusal_in_english, "invalid-samples-are-refused"),
        (_refusal_that_crashes, "invalid-samples-are-refused"),
        (_transform_that_counts, "transform-is-deterministic"),
        (_key_that_names_the_pet, "key-tells-nothing"),
        (_key_that_changes, "key-tells-nothing"),
        (_key_that_crashes_on_garbage, "key-tells-nothing"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_defect_of_the_files_is_caught(kennel: Kennel, plant: Callable[[Kennel], None], rule: str) -> None:
    plant(kennel)
    assert rule in rules(kennel.route())


def test_a_kind_without_a_handler_is_caught(kennel: Kennel) -> None:
    route = kennel.route()
    route.handlers.clear()
    assert rules(route) == {"outcomes-are-whole"}


def test_a_taker_of_replies_that_forgot_the_timeout_is_caught(kennel: Kennel) -> None:
    route = kennel.route()
    route.on(Outcome.REJECTION, Outcome.STATUS, Outcome.FAILURE)(lambda reply, ctx: None)
    [finding] = kinds.check(route)
    assert finding.rule == "outcomes-are-whole"
    assert "timeout" in finding.text


# ── effects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def zoo(new_database: Callable[[], str]) -> Iterator[Database]:
    database = Database(new_database(), pool_size=2)
    with database.transaction() as connection:
        connection.execute(text("CREATE SCHEMA zoo"))
        connection.execute(text("CREATE TABLE zoo.pet (name text PRIMARY KEY, visits int NOT NULL DEFAULT 1)"))
    yield database
    database.close()


def sound(body: Pet, ctx: Context) -> Iterator[Message]:
    """One row a pet, whatever happens; an answer that goes to a sink."""
    ctx.db.execute(text("INSERT INTO zoo.pet (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": body.name})
    ctx.note("питомец записан")
    yield Message(kind="pets.answer", body=b"<ok/>", queue="smev")


def counts_visits(body: Pet, ctx: Context) -> None:
    ctx.db.execute(
        text("INSERT INTO zoo.pet (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET visits = zoo.pet.visits + 1"),
        {"name": body.name},
    )


def fails_on_repeat(body: Pet, ctx: Context) -> None:
    ctx.db.execute(text("INSERT INTO zoo.pet (name) VALUES (:name)"), {"name": body.name})


def commits(body: Pet, ctx: Context) -> None:
    ctx.db.execute(text("INSERT INTO zoo.pet (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": body.name})
    ctx.db.commit()


def rolls_back(body: Pet, ctx: Context) -> None:
    ctx.db.execute(text("SELECT 1 FROM zoo.pet"))
    ctx.db.rollback()


def calls_somebody(body: Pet, ctx: Context) -> None:
    with socket.socket() as far:
        far.settimeout(0.2)
        far.connect_ex(("127.0.0.1", 9))


def writes_a_file(body: Pet, ctx: Context) -> None:
    Path("/dev/null").write_text(body.name, encoding="utf-8")


def sends_nowhere(body: Pet, ctx: Context) -> Iterable[Message]:
    return [Message(kind="birds", body=b"<a/>")]


def asks_and_cannot_hear(body: Pet, ctx: Context) -> Iterable[Message]:
    return [Message(kind="vet", body=b"<a/>", queue="smev", replies_to="nobody", reply_within_s=60)]


def asks_and_forgets_the_timeout(body: Pet, ctx: Context) -> Iterable[Message]:
    return [Message(kind="vet", body=b"<a/>", queue="smev", reply_within_s=60)]


def asks_twice(body: Pet, ctx: Context) -> Iterable[Message]:
    return [Message(kind="vet", body=b"<a/>", queue="smev", reply_within_s=60)]


def tells_the_journal(body: Pet, ctx: Context) -> None:
    ctx.note(f"записан {body.name}")


def refuses_everybody(body: Pet, ctx: Context) -> None:
    raise Permanent("Питомцев не принимаем: обратитесь завтра")


@pytest.mark.parametrize(
    ("handler", "rule"),
    [
        (counts_visits, "repeat-changes-nothing"),
        (fails_on_repeat, "handler-takes-the-samples"),
        (commits, "transaction-is-left-alone"),
        (rolls_back, "transaction-is-left-alone"),
        (calls_somebody, "nothing-outside-the-database"),
        (writes_a_file, "nothing-outside-the-database"),
        (sends_nowhere, "emitted-find-their-way"),
        (asks_and_cannot_hear, "replies-are-taken"),
        (asks_and_forgets_the_timeout, "replies-are-taken"),
        (asks_twice, "repeat-changes-nothing"),
        (tells_the_journal, "notes-tell-nothing"),
        (refuses_everybody, "handler-takes-the-samples"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_defect_of_the_handler_is_caught(
    kennel: Kennel, zoo: Database, handler: Callable[..., Any], rule: str
) -> None:
    found = {finding.rule for finding in kind_handlers.check(kennel.route(handler), zoo)}
    assert rule in found


def test_a_sound_handler_has_no_findings(kennel: Kennel, zoo: Database) -> None:
    assert [str(one) for one in kind_handlers.check(kennel.route(sound), zoo)] == []


def test_a_scene_stands_in_for_the_samples(kennel: Kennel, zoo: Database) -> None:
    route = Route("pets.count", title="Счёт", body=Pet)
    route.handler(counts_visits)

    def scene(db: Any) -> Iterable[Message]:
        return [Message(kind="pets.count", body='{"name": "Рыжик", "born": "2022"}'.encode())]

    assert {one.rule for one in kind_handlers.check(route, zoo, scene=scene)} == {"repeat-changes-nothing"}
