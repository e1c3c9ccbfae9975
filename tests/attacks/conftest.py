"""A whole bus behind its real web server, a listener that nobody may contact, a secret that nobody may read."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from lxml import etree

from connectors.http.connector import Settings as HttpSettings
from connectors.http.connector import connect
from connectors.smev3.deliveries import Incoming, Reading, read_delivery
from console import serving
from console.app import Console
from core.bus import Bus
from core.route import Context, Format, Route
from core.settings import Settings
from core.signatures.certificates import Certificate, TrustStore
from core.signatures.demo_keys import DemoKeys, make_demo_keys

SECRET = "ТАЙНА-9f4c2b"
_numbers = itertools.count()
NAMESPACE = "urn:omsbus:attack:1"


@dataclass
class Trap:
    """A listener. Whoever resolves an outer reference comes here."""

    url: str
    contacts: list[bytes] = field(default_factory=list)


@dataclass
class House:
    """What an attacker sees, and what a defender looks at."""

    url: str
    bus: Bus
    client: httpx.Client
    seen: list[str]

    def post(self, body: bytes, **headers: str | bytes) -> httpx.Response:
        octets = {name: value if isinstance(value, bytes) else value.encode() for name, value in headers.items()}
        return self.client.post("/in/attack", content=body, headers={"Content-Type": b"text/xml"} | octets)

    def lives(self) -> None:
        """An honest message goes through, from the POST to the handler."""
        words = f"жива {next(_numbers)}"
        assert self.post(f'<Note xmlns="{NAMESPACE}">{words}</Note>'.encode()).status_code == 202
        with contextlib.suppress(TimeoutError):
            _until(lambda: words in self.seen)
        assert self.seen.count(words) == 1

    def keeps(self, text: str) -> bool:
        """Does the database hold this text anywhere?"""
        with psycopg.connect(self.bus.database.url) as connection:
            for table in ("message", "event", "entry", "outgoing"):
                query = f"SELECT 1 FROM bus.{table} t WHERE t::text LIKE %s OR t::text LIKE %s"
                octets = text.encode().hex()
                if connection.execute(query, (f"%{text}%", f"%{octets}%")).fetchone():  # type: ignore[arg-type]
                    return True
        return False


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose content must never leave it."""
    path = tmp_path_factory.mktemp("secret") / "secret.txt"
    path.write_text(SECRET, encoding="utf-8")
    return path


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Nobody may contact it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Trap(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    made.contacts.append(peer.recv(1000))
                    peer.close()

        threading.Thread(target=listen, daemon=True).start()
        yield made
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def house(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The bus with one open queue, whose handler takes a note."""
    seen: list[str] = []
    route = Route("attack", title="Мишень", formats=[Format("1", root=f"{{{NAMESPACE}}}Note")])

    @route.handler
    def note(body: etree._Element, ctx: Context) -> None:
        seen.append("".join(body.itertext()))

    settings = Settings(database_url=new_database(), data_dir=tmp_path_factory.mktemp("attacks"), sweep_s=0.2)
    connector = connect("in", HttpSettings(type="http", open_queues=["attack"]))
    limits = serving.Limits(headers_within_s=1.0, body_pause_s=1.0)
    with Bus.open(settings, [route], [connector]) as bus:
        bus.start(intake=False, push=True, work=True, schedule=False)
        console = Console()
        console.serve(bus)
        server = serving.server(console, limits)
        with serving.listening("127.0.0.1", 0) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            with httpx.Client(base_url=url, timeout=20) as client:
                yield House(url, bus, client, seen)
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DemoKeys:
    return make_demo_keys(tmp_path_factory.mktemp("keys"), "только для проверок")


@pytest.fixture(scope="session")
def make(keys: DemoKeys) -> Any:
    """Writes genuine answers of СМЭВ: `Maker` of the connector's own tests."""
    path = Path(__file__).parents[1] / "connectors" / "smev3" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tests_of_the_smev3_connector", path)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Maker(keys)


@pytest.fixture(scope="session")
def reading(keys: DemoKeys) -> Reading:
    """How the connector reads, with the trust of the demo keys."""
    store = TrustStore.from_directory(keys.trust)

    def trust(certificate: Certificate, chain: tuple[Certificate, ...], /) -> str:
        found = store.check(certificate, intermediates=chain)
        return "" if found.trusted else found.reason

    return Reading("smev", trust, trust)


@pytest.fixture(scope="session")
def read(reading: Reading) -> Callable[..., Incoming]:
    """Reads one answer of СМЭВ in which there is a message."""

    def one(envelope: bytes, **parts: bytes) -> Incoming:
        incoming = read_delivery(envelope, reading, parts)
        assert incoming is not None
        return incoming

    return one


def _until(condition: Callable[[], Any], limit_s: float = 20.0) -> None:
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.01)
