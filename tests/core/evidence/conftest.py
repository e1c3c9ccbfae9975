"""A message with everything: a signed envelope, a signed attachment, outputs, what left, deeds, cause and effect."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core import audit, evidence
from core.access.person import Person
from core.bus import Bus
from core.connector import Prepared
from core.database import driver
from core.journal import Event
from core.message import Attachment, Message
from core.route import Format, Route
from core.seals.sealing import seal_all
from core.signatures import cms, xmldsig
from core.signatures.demo_keys import DemoKeys, make_demo_keys

QUEUE = "zags.death"
ROOT = "{urn://x-artefacts-zags-fatalinf/root/112-52/4.0.1}FATALINFRequest"
PERSON = "Вымышленников Пётр"
FILE = b"scan of a paper " * 500
FULL = Person("ivanova", "Иванова", frozenset({"evidence.make", "personal.read"}))
BLIND = Person("petrov", "Петров", frozenset({"evidence.make"}))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DemoKeys:
    return make_demo_keys(tmp_path_factory.mktemp("keys"), "пароль demo")


@dataclass
class Case:
    """The bus and its message."""

    bus: Bus
    id: UUID
    keys: DemoKeys
    tamper: Callable[..., Any]

    def package(self, person: Person = FULL, **how: Any) -> bytes:
        out = io.BytesIO()
        evidence.pack(self.bus, self.id, person, out, **how)
        return out.getvalue()


@pytest.fixture
def case(bus_of: Any, database_url: str, keys: DemoKeys) -> Iterator[Case]:
    form = Format("4.0.1", root=ROOT, schema="zags/death/v1/fatalzp.xsd")
    bus: Bus = bus_of([Route(QUEUE, title="Смерть", formats=[form])])
    data = f'<d:Data xmlns:d="urn:data" Id="D1"><d:ФИО>{PERSON}</d:ФИО></d:Data>'.encode()
    envelope = b"<e:Envelope xmlns:e='urn:e'>" + data + b"</e:Envelope>"
    signature = xmldsig.sign(envelope, "D1", keys.identity("zags"))
    envelope = envelope.replace(b"</e:Envelope>", signature + b"</e:Envelope>")
    detached = base64.b64encode(cms.sign_detached(FILE, keys.identity("zags"))).decode()
    message = Message(
        kind=QUEUE,
        version="4.0.1",
        queue=QUEUE,
        body=data,
        received=envelope,
        source="smev",
        external_id="e1",
        headers={"smev.sender_signature": "valid", "smev.sender_signer_subject": "CN=Кто-то", "fio": PERSON},
        attachments=(
            Attachment("Скан Вымышленников.pdf", headers={"SignaturePKCS7": detached}, open=lambda: BytesIO(FILE)),
            Attachment("только заголовок.txt"),
        ),
    )
    before = Message(kind=QUEUE, queue=QUEUE, body=b"<cause/>", source="smev", external_id="e0")
    message = message.but(cause=before.id)
    effect = Message(kind=QUEUE, queue=QUEUE, body=b"<effect/>", cause=message.id)
    for one in (before, message, effect):
        bus.engine.put([one])
    with bus.database.transaction() as connection:
        db = driver(connection)
        bus.outgoing.add(db, "smev", message, Prepared("out-1", envelope, {"to": "там"}))
        events = [
            Event(
                message.id, "handled", "создана запись 17", f"подробно: {PERSON}", 1, duration_ms=2.5, output=data * 50
            ),
            Event(message.id, "prepared", "под id out-1", f"sha256:{hashlib.sha256(envelope).hexdigest()}"),
            Event(message.id, "sent", "принято", output=b"<receipt/>"),
            Event(message.id, "viewed", "тело", actor="petrov"),
        ]
        bus.journal.record(db, events)
        audit.record(db, "petrov", "message.viewed", "message", str(message.id), "тело", {"part": "body"})
    seal_all(bus.database)
    with psycopg.connect(database_url, autocommit=True) as tamperer:
        tamperer.execute("SET session_replication_role = replica")
        yield Case(bus, message.id, keys, tamperer.execute)


@dataclass
class Zip:
    """A package taken apart and put together again by somebody who wants to deceive."""

    files: dict[str, bytes]

    @classmethod
    def of(cls, octets: bytes) -> Zip:
        with zipfile.ZipFile(io.BytesIO(octets)) as package:
            return cls({name: package.read(name) for name in package.namelist()})

    def json(self, name: str) -> Any:
        return json.loads(self.files[name])

    def put(self, name: str, value: Any) -> Zip:
        """Change a file, and the manifest so that it agrees."""
        self.files[name] = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        return self

    def agreed(self) -> Zip:
        """Make the manifest's list of files anew."""
        manifest = self.json("manifest.json")
        manifest["files"] = [
            {"name": name, "size": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
            for name, octets in self.files.items()
            if name != "manifest.json"
        ]
        return self.put("manifest.json", manifest)

    def bytes(self) -> io.BytesIO:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
            for name, octets in self.files.items():
                package.writestr(name, octets)
        out.seek(0)
        return out


@pytest.fixture
def zip_of() -> Callable[[bytes], Zip]:
    return Zip.of


@pytest.fixture
def people() -> tuple[Person, Person]:
    """One who may see everything, one who may only make packages."""
    return FULL, BLIND
