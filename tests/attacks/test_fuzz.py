"""Mutated octets into every parser that reads what strangers send: whatever comes in, only errors of ours come out.

The mutants are seeded: input `number` of `target` is the same on every machine. A failure names both; it is run again
with `OMSBUS_TEST_FUZZ=<number> pytest tests/attacks/test_fuzz.py -k "<target> and few"`.
HTTP bodies and headers in more detail: tests/connectors/http/test_fuzz.py.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard
from cryptography.utils import CryptographyDeprecationWarning
from lxml import etree

from connectors.files import ftp_listing
from connectors.http import soap
from connectors.http.connector import Settings as HttpSettings
from connectors.http.source import HttpIntake
from connectors.smev3 import answers, contents, mime
from connectors.smev3.deliveries import read_delivery
from connectors.smev3.envelopes import TYPES
from core import discovery, stages, xml
from core.engine import Accepted
from core.errors import BusError, IdReused, Unavailable
from core.message import Message, Outcome
from core.payloads import unpacked
from core.replies import Reply
from core.settings import HOUSE, load
from core.signatures import cms, xmldsig
from core.signatures.certificates import TrustStore, certificates_in
from core.signatures.smev_transform import transform
from core.testing.mutants import Target, bombard, mutant

pytestmark = [pytest.mark.feature("BUS-14"), pytest.mark.feature("SMEV-04")]

FEW: Final = 2_000
MANY: Final = 100_000

# ── targets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


STATUS = (
    "<b:OriginalMessageId>5f0b7c1c-6f0f-11ee-8c99-0242ac120002</b:OriginalMessageId><b:StatusCategory>"
    "requestIsRejectedBySmev</b:StatusCategory><b:StatusDetails>x</b:StatusDetails>"
    '<b:SmevFault xsi:type="f:InvalidContent">'
    "<b:Code>c</b:Code><b:Description>SMEV-1:d</b:Description><f:ValidationError>e</f:ValidationError></b:SmevFault>"
)
HEADERS = (
    "<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a</b:contentId><b:MimeType>x/y</b:MimeType>"
    "</b:AttachmentHeader></b:AttachmentHeaderList>"
)


SETTINGS = """
workers = 2
sweep_s = 0.5
[routes."a.b"]
attempts = 3
[schedules.n]
cron = "0 3 * * *"
queue = "q"
[retention]
body_days = 5
[retention.queues.a]
record_days = "never"
[connectors.x]
type = "http"
"""


def envelopes(make: Any) -> list[bytes]:
    """Genuine answers of СМЭВ."""
    rejected = (
        "<t:RequestRejected><b:RejectionReasonCode>NO_DATA</b:RejectionReasonCode>"
        "<b:RejectionReasonDescription>нет</b:RejectionReasonDescription></t:RequestRejected>"
    )
    status = (
        "<t:RequestStatus><t:StatusCode>1</t:StatusCode><t:StatusParameter><t:Key>a</t:Key><t:Value>b</t:Value>"
        "</t:StatusParameter><t:StatusDescription>d</t:StatusDescription></t:RequestStatus>"
    )
    content = '<b:MessagePrimaryContent><d:A xmlns:d="urn:d">1</d:A></b:MessagePrimaryContent>'
    statistics = f'<t:GetIncomingQueueStatisticsResponse xmlns:t="{TYPES}1.1"><t:QueueStatistics queueName="q" '
    return [
        make.request(lists=HEADERS),
        make.request(sender=None, version="1.2"),
        *(
            make.response(one)
            for one in (rejected, status, content, f"<t:AsyncProcessingStatus>{STATUS}</t:AsyncProcessingStatus>")
        ),
        make.status_of_response(STATUS.replace(' xsi:type="f:InvalidContent"', "").replace("f:", "b:")),
        make.fault("QuoteLimitExceeded", "<b:RealTotalAttachmentSize>1</b:RealTotalAttachmentSize>"),
        make.soap(statistics + 'pendingMessageNumber="5"/></t:GetIncomingQueueStatisticsResponse>'),
    ]


def targets(make: Any, keys: Any, reading: Any, folder: Path) -> dict[str, Callable[[], Target]]:
    signed = envelopes(make)

    def of_deliveries() -> Target:
        store = {"part": b"PGEvPg==" * 10}
        return Target(signed, lambda data, _: read_delivery(data, reading, store), (BusError, answers.Refused))

    def of_contents() -> Target:
        """As if СМЭВ had signed the mutant."""
        octets = []
        for envelope in signed[:-2]:
            found = answers.find_signed(answers.open_envelope(envelope), *_holder(envelope))
            assert found
            octets.append(xmldsig.verify(found.root, found.signature(), expected=found.element).octets)

        def run(data: bytes, _: random.Random) -> None:
            contents.read(xml.parse(data), data, TYPES + ("1.3" if b"types/1.3" in data else "1.2"))

        return Target(octets, run)

    def of_answers() -> Target:
        def run(data: bytes, _: random.Random) -> None:
            answers.claimed_id(data)
            operation = answers.open_envelope(data)
            answers.read_fault(operation)
            answers.read_smev_fault(operation)
            answers.put_back(operation, {"part": b"1"})
            answers.read_statistics(operation)

        return Target(signed[-2:] + signed[:1], run, (BusError, answers.Refused))

    def of_mime() -> Target:
        root = b"Content-ID: <root>\r\nContent-Transfer-Encoding: base64\r\n\r\nPGEvPg=="
        parts = b"--b\r\n" + root + b"\r\n--b\r\nContent-ID: <x>\r\n"
        whole = parts + b"content-transfer-encoding: quoted-printable\r\n\r\n=3Ca=3E\r\n--b\r\n\r\nplain\r\n--b--\r\n"
        types = [
            b'multipart/related; boundary="b"; start="<root>"; type="application/xop+xml"',
            b"multipart/related; boundary*0=b; start*=utf-8''%3Croot%3E",
        ]

        def run(data: bytes, dice: random.Random) -> None:
            kind = mutant(types, dice.getrandbits(40))[0] if dice.random() < 0.3 else types[0]
            mime.split(data, kind.decode("latin-1"))

        return Target([whole, parts + b"\r\n<a/>\r\n--b--"], run, (mime.Broken,))

    def of_signatures() -> Target:
        return Target(signed[:7], lambda data, _: xmldsig.verify_all(data))

    def of_transform() -> Target:
        return Target(signed, lambda data, dice: transform(data, escaping=dice.choice(("woodstox", "c14n"))))

    def of_certificates() -> Target:
        seeds = [keys.certificate(name).read_bytes() for name in ("fund", "smev", "foreign")]
        seeds += [certificates_in(one)[0].der for one in seeds]
        store = TrustStore.from_directory(keys.trust)

        def run(data: bytes, _: random.Random) -> None:
            for one in certificates_in(data):
                assert one.subject is not None
                assert one.key_bits >= 0
                assert one.key_title
                store.check(one)

        # A warning in a process of the bus (a serial number that is not positive), an error in tests.
        return Target(seeds, run, (BusError, CryptographyDeprecationWarning))

    def of_cms() -> Target:
        made = [cms.sign_detached(b"data", keys.identity(name)) for name in ("fund", "zags")]
        return Target(made, lambda data, _: cms.verify_detached(b"data", data))

    def of_listings() -> Target:
        lines = b"\n".join(
            [
                b"type=file;size=5;modify=20260115100000; list.xml",
                b"Type=cdir;Modify=20260115100000.123;UNIX.mode=0755; .",
                b"-rw-r--r--   1 owner group 1024 Jan 15 10:00 \xd1\x8f.xml",
                b"lrwxrwxrwx 1 o g 5 Jan 15  2024 a -> /etc/passwd",
                b"01-15-26  10:00AM       <DIR>          folder",
                b"01-15-2026  10:00             5 a.xml",
                b"total 5",
            ]
        )

        def run(data: bytes, dice: random.Random) -> None:
            encoding = dice.choice(("utf-8", "cp1251", "cp866"))
            given = data.split(b"\n")
            found, _ = ftp_listing.of_list(given, encoding)
            found += [one for one in (ftp_listing.of_facts(line, encoding) for line in given) if one is not None]
            for one in found:
                assert one.problem or one.name.encode(encoding) == one.raw
                assert one.size_bytes >= 0
                assert one.problem or not set(one.name) & set("/\\\x00\r\n")

        return Target([lines, *lines.split(b"\n")], run, ())

    def of_replies() -> Target:
        reply = Reply(Outcome.REJECTION, ("NO_DATA", "X"), ("нет", "Ё"), {"a": "b"})
        return Target([reply.to_body()], lambda data, _: str(Reply.from_body(data)))

    def of_settings() -> Target:
        file = folder / "omsbus.toml"
        demo = (HOUSE / "config" / "embedded.toml").read_bytes()
        more = SETTINGS.encode()

        def run(data: bytes, _: random.Random) -> None:
            file.write_bytes(data)
            load(file)

        return Target([demo, more], run)

    def of_stages() -> Target:
        routes = [route for route in discovery.routes() if route.formats]
        samples = [one.read_bytes() for one in sorted((HOUSE / "schemas").rglob("samples/*/*.xml"))]
        by_root = {form.root: route for route in routes for form in route.formats}

        def run(data: bytes, dice: random.Random) -> None:
            try:
                root = str(xml.parse(data).tag)
            except BusError:
                root = ""
            stages.apply(by_root.get(root) or dice.choice(routes), Message("x", data))

        return Target([one for one in samples if len(one) < 20_000], run)

    def of_intake() -> Target:
        return _intake(folder)

    def of_bodies() -> Target:
        packed = zstandard.ZstdCompressor().compress(b"<a>" * 500)
        return Target([packed, packed + packed], lambda data, _: unpacked(data))

    return {
        "documents": lambda: Target(signed, lambda data, _: xml.parse(data)),
        "deliveries": of_deliveries,
        "contents": of_contents,
        "answers": of_answers,
        "mime": of_mime,
        "soap": lambda: Target(
            [soap.fault("1.1", 500, "x", "Сбой"), soap.fault("1.2", 400, "x", "Сбой"), signed[0]],
            lambda data, _: (soap.read_fault(root := xml.parse(data)), soap.content(root)),
            (BusError, soap.Broken),
        ),
        "intake": of_intake,
        "signatures": of_signatures,
        "transform": of_transform,
        "certificates": of_certificates,
        "cms": of_cms,
        "listings": of_listings,
        "replies": of_replies,
        "settings": of_settings,
        "stages": of_stages,
        "packed bodies": of_bodies,
    }


def _holder(envelope: bytes) -> tuple[str, tuple[str, ...]]:
    if b"GetRequestResponse" in envelope:
        return "RequestMessage", ("Request", "Cancel")
    if b"GetResponseResponse" in envelope:
        return "ResponseMessage", ("Response",)
    return "SmevAsyncProcessingMessage", ("AsyncProcessingStatusData",)


class _Journal:
    """An intake that takes everything, and sometimes does not."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.number = 0

    def take(self, delivery: Any) -> asyncio.Future[Accepted]:
        self.number += 1
        future: asyncio.Future[Accepted] = self.loop.create_future()
        message = delivery.message
        for attachment in message.attachments:
            with attachment.open() as content:
                assert content.read(1) or attachment.name
            assert attachment.name.isprintable()
        assert message.queue in ("open", "soap")
        if self.number % 97 == 0:
            future.set_exception(Unavailable("Диск полон: подождите", pause_s=1.0))
        else:
            problem = IdReused("Другое содержимое: дайте новый ключ") if self.number % 89 == 0 else None
            future.set_result(Accepted(message.id, False, problem))
        return future


def _intake(folder: Path) -> Target:
    """The whole application, called as the server calls it; headers and path are mutants too."""
    loop = asyncio.new_event_loop()
    token = folder / "token"
    token.write_text("t" * 20)
    settings = HttpSettings(
        type="http",
        open_queues=("open",),
        soap_queues=("soap",),
        senders={"partner": {"queues": ["soap"], "token_file": token}},  # type: ignore[dict-item]
        body_most_bytes=1024,
        spool_dir=folder,
    )
    application = HttpIntake("in", settings, _Journal(loop))  # type: ignore[arg-type]
    lines = (
        b"content-type: text/xml; charset=utf-8\nsoapaction: urn:x\nidempotency-key: a-1\nhost: bus",
        b'content-type: application/soap+xml\nauthorization: Bearer tttttttttttttttttttt\nidempotency-key: "\xd1\x8f"',
        b"content-type: application/octet-stream\ncontent-disposition: attachment; filename*=utf-8''%D1%8F.xml",
        b'content-encoding: identity\nexpect: 100-continue\nx-message-id: 5\ncontent-disposition: a; filename="b"',
    )
    seeds = [
        soap.fault("1.1", 500, "x", "Сбой"),
        soap.fault("1.2", 400, "x", "Сбой"),
        b"<a/>",
        b'{"a": 1}',
        b"x" * 2000,
    ]

    def run(data: bytes, dice: random.Random) -> None:
        header = mutant(lines, dice.getrandbits(40))[0] if dice.random() < 0.7 else dice.choice(lines)
        pairs = [line.partition(b":") for line in header[:4000].split(b"\n")]
        headers = [
            (name.strip().lower(), value.strip()) for name, _, value in pairs if name.strip() != b"content-length"
        ]
        path = "/in/" + dice.choice(("open", "soap", "open", "soap", data[:20].decode("latin-1"), "../x", ""))
        asked = dice.random() < 0.05
        scope = {
            "type": "http",
            "method": "GET" if asked else "POST",
            "path": path,
            "scheme": "http",
            "headers": headers,
        }
        scope |= {"query_string": b"wsdl" if asked else b"", "client": ("127.0.0.1", 5)}
        cut = dice.randrange(len(data) + 1)
        events = [
            {"type": "http.request", "body": data[:cut], "more_body": True},
            {"type": "http.request", "body": data[cut:], "more_body": False}
            if dice.random() < 0.95
            else {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return events.pop(0) if events else {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            sent.append(event)

        loop.run_until_complete(application(scope, receive, send))
        if not sent:
            return  # the client broke off
        start, rest = sent
        assert start["status"] in (200, 202, 400, 401, 403, 404, 405, 409, 413, 415, 500, 503)
        assert b"\n" not in b"".join(value for pair in start["headers"] for value in pair)
        body = rest["body"]
        assert "Ошибка в программе".encode() not in body
        kinds = dict(start["headers"])
        if b"xml" in kinds[b"content-type"]:
            etree.fromstring(body)

    return Target(seeds, run, (), loop.close)


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES: Final = (
    *("documents", "deliveries", "contents", "answers", "mime", "soap", "intake", "signatures"),
    *("transform", "certificates", "cms", "listings", "replies", "settings", "stages", "packed bodies"),
)


@pytest.fixture(scope="module")
def made(make, keys, reading, tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = targets(make, keys, reading, tmp_path_factory.mktemp("fuzz"))
    assert tuple(found) == NAMES
    return found


@pytest.fixture
def target(made, name: str) -> Iterator[Target]:
    one = made[name]()
    yield one
    one.close()


@pytest.mark.parametrize("name", NAMES)
def test_few_mutants_bring_out_errors_of_ours_only(name: str, target: Target) -> None:
    first = os.environ.get("OMSBUS_TEST_FUZZ")
    read, refused = bombard(name, target, [int(first)] if first else range(FEW))
    assert read + refused
    if not first:
        assert refused or not target.own
        assert read


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_mutants_bring_out_errors_of_ours_only(name: str, target: Target) -> None:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    read, refused = bombard(name, target, range(MANY))
    took = f"{time.process_time() - cpu_begun:.0f} s of CPU, {time.perf_counter() - begun:.0f} s by the clock"
    print(f"{name}: {MANY} inputs, {took}: {read} read, {refused} refused", flush=True)
