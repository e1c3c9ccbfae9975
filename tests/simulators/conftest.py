"""One PostgreSQL, one set of ГОСТ keys, one simulator behind real HTTP, and a caller with envelopes of its own."""

from __future__ import annotations

import base64
import http.client
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from lxml import etree

from core import postgres
from core.signatures import xmldsig
from core.signatures.demo_keys import DemoKeys, make_demo_keys
from core.signatures.keys import Identity
from simulators.smev3.control import SimulatorControl
from simulators.smev3.server import running
from simulators.smev3.settings import Settings

ROOT = "urn://x-artefacts-smev-gov-ru/services/message-exchange"
SNILS = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
COMMONS = "urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DemoKeys:
    return make_demo_keys(tmp_path_factory.mktemp("keys"), "тест")


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Not under pytest's own folder: every pytest that starts takes other users' rights to it away, and the embedded
    server runs as another user."""
    with tempfile.TemporaryDirectory(prefix="omsbus-simulator-") as folder, postgres.embedded(Path(folder)) as url:
        yield url


@pytest.fixture(scope="session")
def settings(keys: DemoKeys, database_url: str) -> Settings:
    """Fast: no delay of validation, no polling limit, reservations of a minute."""
    return Settings.load(
        database_url=database_url, keys_dir=keys.directory, keys_password=keys.password,
        behaviour={"validation_delay_s": 0.0, "redelivery_s": 60.0},
    )  # fmt: skip


@pytest.fixture(scope="session")
def base_url(settings: Settings) -> Iterator[str]:
    with running(settings) as url:
        yield url


@pytest.fixture
def control(base_url: str) -> SimulatorControl:
    made = SimulatorControl(base_url)
    made.reset()
    return made


@pytest.fixture
def fresh_database(database_url: str) -> Iterator[str]:
    """A database of its own: the workers of two simulators must not share one."""
    name = f"sim_{uuid.uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(f"create database {name} strategy file_copy")
    yield database_url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)")


@pytest.fixture
def start(keys: DemoKeys, fresh_database: str) -> Iterator[Callable[..., str]]:
    """Start a further simulator with other behaviour in a fresh database; returns its URL."""
    with ExitStack() as stack:

        def begin(lists: dict[str, Any] | None = None, **behaviour: Any) -> str:
            values = {
                "database_url": fresh_database, "keys_dir": keys.directory, "keys_password": keys.password,
                "behaviour": {"validation_delay_s": 0.0, "redelivery_s": 60.0} | behaviour,
            }  # fmt: skip
            chosen = Settings.load(**(values | (lists or {})))
            return stack.enter_context(running(chosen))

        yield begin


@dataclass
class Answer:
    """An HTTP answer read by hand: status, headers, root part, other parts by Content-ID."""

    status: int
    content_type: str
    raw: bytes
    root: bytes
    parts: dict[str, bytes] = field(default_factory=dict)

    @property
    def xml(self) -> etree._Element:
        return etree.fromstring(self.root)

    def find(self, local: str) -> etree._Element | None:
        return self.xml.find(f".//{{*}}{local}")

    def text(self, local: str) -> str:
        found = self.find(local)
        assert found is not None, f"{local} not in {self.root.decode()}"
        return found.text or ""

    @property
    def fault(self) -> str:
        """Local name of the fault in detail, '' when there is none."""
        found = self.xml.find(f".//{{{SOAP}}}Fault/detail/*")
        return "" if found is None else etree.QName(found).localname

    @property
    def is_empty(self) -> bool:
        body = self.xml.find(f"{{{SOAP}}}Body")
        return body is not None and len(body) == 1 and len(body[0]) == 0


class Caller:
    """A participant's system written for the tests: hand-made envelopes, signed with its key."""

    def __init__(self, url: str, identity: Identity | None, version: str = "1.2") -> None:
        self.url = url
        self.identity = identity
        self.version = version

    @property
    def types(self) -> str:
        return f"{ROOT}/types/{self.version}"

    @property
    def basic(self) -> str:
        return f"{ROOT}/types/basic/{self.version}"

    def new_id(self) -> str:
        return str(uuid.uuid1())

    def now(self) -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    def post(self, body: bytes, operation: str, content_type: str = "text/xml; charset=UTF-8") -> Answer:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            connection.request(
                "POST", f"/smev/v{self.version}/ws", body,
                {"Content-Type": content_type, "SOAPAction": f'"urn:{operation}"'},
            )  # fmt: skip
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        return read_answer(response.status, response.headers["content-type"] or "", raw)

    def envelope(self, operation: str, inner: str, element_id: str = "SIGNED_BY_CALLER", after: str = "") -> bytes:
        """The whole request; the caller's signature over `element_id` spliced in at its place."""
        place = "<t:CallerInformationSystemSignature>@</t:CallerInformationSystemSignature>" if self.identity else ""
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="{SOAP}"><s:Header/><s:Body>'
            f'<t:{operation}Request xmlns:t="{self.types}" xmlns:b="{self.basic}">{inner}{place}{after}'
            f"</t:{operation}Request></s:Body></s:Envelope>"
        ).encode()
        if self.identity is None:
            return text
        return text.replace(b">@<", b">" + xmldsig.sign(text, element_id, self.identity) + b"<", 1)

    def call(self, operation: str, inner: str, **more: str) -> Answer:
        return self.post(self.envelope(operation, inner, **more), operation)

    def request_data(self, payload: str, message_id: str = "", before: str = "", after: str = "") -> str:
        return (
            f'<t:SenderProvidedRequestData Id="SIGNED_BY_CALLER"><t:MessageID>{message_id or self.new_id()}'
            f"</t:MessageID>{before}<b:MessagePrimaryContent>{payload}</b:MessagePrimaryContent>{after}"
            "</t:SenderProvidedRequestData>"
        )

    def send_request(self, payload: str, message_id: str = "", **more: str) -> Answer:
        return self.call("SendRequest", self.request_data(payload, message_id, **more))

    def response_data(self, to: str, content: str, message_id: str = "") -> str:
        return (
            f'<t:SenderProvidedResponseData Id="SIGNED_BY_CALLER"><t:MessageID>{message_id or self.new_id()}'
            f"</t:MessageID><t:To>{to}</t:To>{content}</t:SenderProvidedResponseData>"
        )

    def send_response(self, to: str, payload: str, message_id: str = "") -> Answer:
        content = f"<b:MessagePrimaryContent>{payload}</b:MessagePrimaryContent>"
        return self.call("SendResponse", self.response_data(to, content, message_id))

    def selector(self, namespace: str = "", root: str = "", node: str = "") -> str:
        named = f"<b:NamespaceURI>{namespace}</b:NamespaceURI><b:RootElementLocalName>{root}</b:RootElementLocalName>"
        return (
            f'<b:MessageTypeSelector Id="SIGNED_BY_CALLER">{named if namespace else ""}<b:Timestamp>{self.now()}'
            f"</b:Timestamp>{f'<b:NodeID>{node}</b:NodeID>' if node else ''}</b:MessageTypeSelector>"
        )

    def receive(self, operation: str = "GetRequest", **selector: str) -> Answer:
        """Poll until something comes: validation is asynchronous."""
        deadline = time.monotonic() + 10
        while (answer := self.call(operation, self.selector(**selector))).is_empty:
            assert time.monotonic() < deadline, f"nothing came by {operation}"
            time.sleep(0.01)
        return answer

    def get_request(self, namespace: str = "", root: str = "", node: str = "") -> Answer:
        return self.call("GetRequest", self.selector(namespace, root, node))

    def get_response(self, namespace: str = "", root: str = "", node: str = "") -> Answer:
        return self.call("GetResponse", self.selector(namespace, root, node))

    def get_status(self) -> Answer:
        return self.call("GetStatus", f'<b:Timestamp Id="SIGNED_BY_CALLER">{self.now()}</b:Timestamp>')

    def ack(self, message_id: str, accepted: str = "true") -> Answer:
        return self.call(
            "Ack", f'<b:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="{accepted}">{message_id}</b:AckTargetMessage>'
        )


def read_answer(status: int, content_type: str, raw: bytes) -> Answer:
    """Split a multipart answer by hand, so that the test does not lean on the code under test."""
    if not content_type.startswith("multipart/related"):
        return Answer(status, content_type, raw, raw)
    boundary = content_type.split('boundary="', 1)[1].split('"', 1)[0].encode()
    parts: dict[str, bytes] = {}
    first = b""
    for chunk in raw.split(b"--" + boundary)[1:-1]:
        head, _, body = chunk.partition(b"\r\n\r\n")
        name = head.split(b"Content-ID: <", 1)[1].split(b">", 1)[0].decode()
        parts[name] = body.removesuffix(b"\r\n")
        first = first or parts[name]
    return Answer(status, content_type, raw, first, parts)


@pytest.fixture
def fund(base_url: str, keys: DemoKeys, control: SimulatorControl) -> Caller:
    """The fund on version 1.2, the simulator reset."""
    return Caller(base_url, keys.identity("fund"))


@pytest.fixture
def sfr(base_url: str, keys: DemoKeys, control: SimulatorControl) -> Caller:
    """СФР played by the test: the scripted one is switched off."""
    control.down("SFR001")
    return Caller(base_url, keys.identity("sfr"))


@pytest.fixture
def make_caller(base_url: str, keys: DemoKeys) -> Callable[..., Caller]:
    def make(name: str | None = "fund", version: str = "1.2", url: str = base_url) -> Caller:
        return Caller(url, keys.identity(name) if name else None, version)

    return make


def _question(surname: str = "Берёзов", extra: str = "") -> str:
    return (
        f'<s:SnilsByAdditionalDataRequest xmlns:s="{SNILS}" xmlns:c="{COMMONS}"><c:FamilyName>{surname}</c:FamilyName>'
        f"<c:FirstName>Тихон</c:FirstName>{extra}<s:BirthDate>1970-05-17</s:BirthDate><s:Gender>Male</s:Gender>"
        "</s:SnilsByAdditionalDataRequest>"
    )


@pytest.fixture(scope="session")
def question() -> Callable[..., str]:
    """A СНИЛС question; the surname chooses the rule of the scripted provider."""
    return _question


@pytest.fixture(scope="session")
def snils_answer() -> str:
    return (
        f'<s:SnilsByAdditionalDataResponse xmlns:s="{SNILS}" xmlns:c="{COMMONS}"><c:FamilyName>Берёзов</c:FamilyName>'
        "<c:FirstName>Тихон</c:FirstName><s:Snils>99000000000</s:Snils><s:BirthDate>1970-05-17</s:BirthDate>"
        "<s:Gender>Male</s:Gender></s:SnilsByAdditionalDataResponse>"
    )


@pytest.fixture(scope="session")
def shared_schemas() -> Path:
    """The outside oracle: published schemas, when they lie beside the project."""
    found = Path(__file__).resolve().parents[3] / "shared" / "smev3" / "schemas"
    if not found.is_dir():
        pytest.skip("../shared/smev3/schemas нет рядом с проектом")
    return found


@pytest.fixture(scope="session")
def as_base64() -> Callable[[bytes], str]:
    return lambda octets: base64.b64encode(octets).decode()
