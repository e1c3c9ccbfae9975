"""A far side of our own for the connector's tests: templates of signed answers and a scripted HTTP server.

It shares nothing with the simulator: where the simulator and the connector could be wrong together, these
answers are written by hand after FACTS.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from connectors.smev3.connector import Settings, Smev, connect
from core.signatures import xmldsig
from core.signatures.demo_keys import DemoKeys, make_demo_keys

PASSWORD = "пароль-только-для-проверок"
TYPES = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/"
DEATH = (
    '<d:Death xmlns:d="urn://demo/death/1.0" d:id="7"><d:Name>Лесная Ёлка &amp; &lt;сын&gt;</d:Name><d:Void/></d:Death>'
)
REQUEST_ID = "0d2a4a3e-6f0f-11ee-8c99-0242ac120002"
ORIGINAL_ID = "5f0b7c1c-6f0f-11ee-8c99-0242ac120002"


@dataclass
class Call:
    """One request as the far side saw it."""

    path: str
    operation: str
    body: bytes


@dataclass
class Scripted:
    """One prepared answer. `cut`: promise this many bytes more than are sent, then hang up."""

    body: bytes
    status: int = 200
    content_type: str = "text/xml; charset=UTF-8"
    cut: int = 0
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class FarSide:
    """An HTTP server that answers by script: the next prepared answer, else the usual one of the operation."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.calls: list[Call] = []
        self.script: dict[str, list[Scripted]] = {}
        self.stopping = threading.Event()
        far = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["SOAPAction"].strip('"').removeprefix("urn:")
                far.calls.append(Call(self.path, operation, body))
                waiting = far.script.get(operation, [])
                answer = waiting.pop(0) if waiting else far.usual(operation, body)
                far.stopping.wait(answer.delay_s)
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body) + answer.cut))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = bool(answer.cut)

            def do_GET(self) -> None:
                far.calls.append(Call(self.path, "GET", b""))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the client hung up: that is what some tests are about

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def prepare(self, operation: str, *answers: bytes | Scripted) -> None:
        """Queue answers of one operation."""
        made = [item if isinstance(item, Scripted) else Scripted(item) for item in answers]
        self.script.setdefault(operation, []).extend(made)

    def usual(self, operation: str, body: bytes) -> Scripted:
        found = re.search(rb"message-exchange/types/(1\.\d)", body)
        version = found[1].decode() if found else "1.2"
        if operation in ("SendRequest", "SendResponse"):
            return Scripted(self.maker.accepted(operation, version, body))
        return Scripted(self.maker.soap(f'<r:{operation}Response xmlns:r="{TYPES}{version}"/>'))

    def of(self, operation: str) -> list[Call]:
        return [call for call in self.calls if call.operation == operation]

    def close(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@dataclass
class Maker:
    """Writes answers as СМЭВ does."""

    keys: DemoKeys

    def soap(self, content: str, *, header: str = "<S:Header/>") -> bytes:
        return (
            f'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/">{header}<S:Body>{content}</S:Body></S:Envelope>'
        ).encode()

    def sign(self, envelope: bytes, element_id: str, signer: str = "smev", gap: bytes = b"@SMEV@") -> bytes:
        """Put the signature over `element_id` where the gap is."""
        without = envelope.replace(gap, b"")
        return envelope.replace(gap, xmldsig.sign(without, element_id, self.keys.identity(signer)))

    def accepted(self, operation: str, version: str, sent: bytes, signer: str = "smev") -> bytes:
        found = re.search(rb"MessageID>([0-9a-f-]{36})<", sent)
        message_id = found[1].decode() if found else "?"
        envelope = self.soap(
            f'<x:{operation}Response xmlns:x="{TYPES}{version}"><x:MessageMetadata Id="SIGNED_BY_SMEV">'
            f"<x:MessageId>{message_id}</x:MessageId><x:MessageType>REQUEST</x:MessageType>"
            "<x:Sender><x:Mnemonic>TFOMS_3T</x:Mnemonic></x:Sender>"
            "<x:SendingTimestamp>2026-01-15T10:00:00.000+03:00</x:SendingTimestamp>"
            "<x:Recipient><x:Mnemonic>SFR_3T</x:Mnemonic></x:Recipient><x:Status>requestIsQueued</x:Status>"
            f"</x:MessageMetadata><x:SMEVSignature>@SMEV@</x:SMEVSignature></x:{operation}Response>"
        )
        return self.sign(envelope, "SIGNED_BY_SMEV", signer)

    def metadata(self, message_id: str, kind: str = "REQUEST", delivered: str = "2026-01-15T10:05:00.000+03:00") -> str:
        return (
            f'<t:MessageMetadata Id="META"><t:MessageId>{message_id}</t:MessageId><t:MessageType>{kind}</t:MessageType>'
            "<t:Sender><t:Mnemonic>ZAGS_3T</t:Mnemonic></t:Sender>"
            "<t:SendingTimestamp>2026-01-15T10:00:00.000+03:00</t:SendingTimestamp>"
            "<t:Recipient><t:Mnemonic>TFOMS_3T</t:Mnemonic></t:Recipient>"
            f"<t:DeliveryTimestamp>{delivered}</t:DeliveryTimestamp><t:Status>messageIsDelivered</t:Status>"
            "</t:MessageMetadata>"
        )

    def request(
        self,
        payload: str = DEATH,
        *,
        version: str = "1.3",
        message_id: str = REQUEST_ID,
        more: str = "",
        lists: str = "",
        after: str = "",
        reply_to: str = "eyJzaWQiOjF9",
        sender: str | None = "zags",
        signer: str = "smev",
        delivered: str = "2026-01-15T10:05:00.000+03:00",
    ) -> bytes:
        """GetRequestResponse with a Request. more: between MessageID and the content; lists: after the content."""
        data = (
            f'<t:SenderProvidedRequestData Id="SENDER"><t:MessageID>{message_id}</t:MessageID>'
            f"<t:ReferenceMessageID>{message_id}</t:ReferenceMessageID>{more}"
            f"<b:MessagePrimaryContent>{payload}</b:MessagePrimaryContent>{lists}</t:SenderProvidedRequestData>"
        )
        envelope = self.soap(
            f'<t:GetRequestResponse xmlns:t="{TYPES}{version}" xmlns:b="{TYPES}basic/{version}"><t:RequestMessage>'
            f'<t:Request Id="SIGNED_BY_SMEV">{data}{self.metadata(message_id, delivered=delivered)}{after}'
            + (f"<t:ReplyTo>{reply_to}</t:ReplyTo>" if reply_to else "")
            + ("<t:SenderInformationSystemSignature>@SENDER@</t:SenderInformationSystemSignature>" if sender else "")
            + "</t:Request><t:SMEVSignature>@SMEV@</t:SMEVSignature></t:RequestMessage></t:GetRequestResponse>"
        )
        if sender:
            without = envelope.replace(b"@SENDER@", b"").replace(b"@SMEV@", b"")
            signature = xmldsig.sign(without, "SENDER", self.keys.identity(sender))
            envelope = envelope.replace(b"@SENDER@", signature)
        return self.sign(envelope, "SIGNED_BY_SMEV", signer)

    def response(
        self,
        content: str,
        *,
        version: str = "1.2",
        message_id: str = REQUEST_ID,
        original: str = ORIGINAL_ID,
        signer: str = "smev",
        data_id: str = "SENDER",
    ) -> bytes:
        """GetResponseResponse; content: what stands after To, prefixes t and b."""
        envelope = self.soap(
            f'<t:GetResponseResponse xmlns:t="{TYPES}{version}" xmlns:b="{TYPES}basic/{version}"'
            f' xmlns:f="{TYPES}faults/{version}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            '<t:ResponseMessage><t:Response Id="SIGNED_BY_SMEV">'
            + (f"<t:OriginalMessageId>{original}</t:OriginalMessageId>" if original else "")
            + f'<t:SenderProvidedResponseData Id="{data_id}"><t:MessageID>{message_id}</t:MessageID><t:To>eyJ9</t:To>'
            f"{content}</t:SenderProvidedResponseData>{self.metadata(message_id, 'RESPONSE')}"
            "</t:Response><t:SMEVSignature>@SMEV@</t:SMEVSignature></t:ResponseMessage></t:GetResponseResponse>"
        )
        return self.sign(envelope, "SIGNED_BY_SMEV", signer)

    def status_of_response(self, inside: str, *, version: str = "1.3") -> bytes:
        """GetStatusResponse; inside: children of AsyncProcessingStatus."""
        envelope = self.soap(
            f'<t:GetStatusResponse xmlns:t="{TYPES}{version}" xmlns:b="{TYPES}basic/{version}"'
            f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            '<t:SmevAsyncProcessingMessage><t:AsyncProcessingStatusData Id="STATUS_BY_SMEV">'
            f"<t:AsyncProcessingStatus>{inside}</t:AsyncProcessingStatus></t:AsyncProcessingStatusData>"
            "<t:SMEVSignature>@SMEV@</t:SMEVSignature></t:SmevAsyncProcessingMessage></t:GetStatusResponse>"
        )
        return self.sign(envelope, "STATUS_BY_SMEV")

    def fault(self, name: str, children: str = "", *, description: str = "", version: str = "1.2") -> bytes:
        """soap:Fault in the shape of FACTS §10.3."""
        detail = (
            f'<detail><n:{name} xmlns:n="{TYPES}faults/{version}" xmlns:b="{TYPES}basic/{version}">'
            f"<b:Code>tsmev3:TEST : TR:SYNC:1</b:Code><b:Description>{description or 'SMEV-999:Проба'}</b:Description>"
            f"{children}</n:{name}></detail>"
        )
        said = "<faultcode>S:Server</faultcode><faultstring>Проба</faultstring>"
        return self.soap(f"<S:Fault>{said}{detail if name else ''}</S:Fault>", header="")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DemoKeys:
    return make_demo_keys(tmp_path_factory.mktemp("keys"), PASSWORD)


@pytest.fixture(scope="session")
def make(keys: DemoKeys) -> Maker:
    return Maker(keys)


@pytest.fixture
def far(make: Maker) -> Iterator[FarSide]:
    side = FarSide(make)
    yield side
    side.close()


@pytest.fixture
def settings_of(keys: DemoKeys, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    monkeypatch.setenv("SMEV_TEST_PASSWORD", PASSWORD)

    def build(url: str = "http://127.0.0.1:9", **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "type": "smev3",
            "endpoints": {v: f"{url}/smev/v{v}/ws" for v in ("1.1", "1.2", "1.3")},
            "key_file": keys.key("fund"),
            "certificate_file": keys.certificate("fund"),
            "password_env": "SMEV_TEST_PASSWORD",
            "trust_dir": keys.trust,
            "operator_subject": ["ОГРН=1020000000002"],
            "poll_floor_s": 0.0,
            "poll_interval_s": 0.01,
            "connect_timeout_s": 2.0,
            "answer_timeout_s": 5.0,
            "polls": [
                {"name": "requests", "operation": "requests"},
                {"name": "responses", "operation": "responses", "version": "1.2"},
                {"name": "status", "operation": "status"},
                {"name": "depth", "operation": "statistics"},
            ],
        }
        return Settings.model_validate(values | changes)

    return build


@pytest.fixture
def smev(far: FarSide, settings_of: Callable[..., Settings]) -> Iterator[Smev]:
    connector = connect("smev", settings_of(far.url))
    yield connector
    connector.close()


@pytest.fixture
def smev_with(far: FarSide, settings_of: Callable[..., Settings]) -> Iterator[Callable[..., Smev]]:
    opened: list[Smev] = []

    def build(**changes: Any) -> Smev:
        opened.append(connect("smev", settings_of(far.url, **changes)))
        return opened[-1]

    yield build
    for connector in opened:
        connector.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """../shared/smev3 of the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "smev3"
    if not folder.is_dir():
        pytest.skip("нет ../shared/smev3")
    return folder


@pytest.fixture(scope="session")
def simulator(keys: DemoKeys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The simulator over HTTP: no delays, unacknowledged messages come again after 0.3 s."""
    from core import postgres
    from simulators.smev3.server import running
    from simulators.smev3.settings import Settings as SimulatorSettings

    with postgres.embedded(tmp_path_factory.mktemp("pg")) as database_url:
        settings = SimulatorSettings.load(
            database_url=database_url,
            keys_dir=keys.directory,
            keys_password=keys.password,
            behaviour={"validation_delay_s": 0.0, "redelivery_s": 0.3},
        )
        with running(settings) as url:
            yield url


@pytest.fixture
def control(simulator: str) -> Any:
    """The simulator's controls, with everything forgotten that other tests did."""
    from simulators.smev3.control import SimulatorControl

    made = SimulatorControl(simulator)
    for _ in range(10):
        try:
            made.reset()
        except ValueError:  # its own background work held a lock at that moment
            continue
        return made
    raise AssertionError("имитатор не сбросился")
