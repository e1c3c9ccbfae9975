"""The connector's contract, with the СМЭВ simulator as the far side, over HTTP."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from lxml import etree

from connectors.smev3 import messages
from connectors.smev3.connector import Settings, connect
from core.connector import Connector
from core.message import Attachment, Message
from core.signatures.smev_transform import transform
from core.testing.connectors import ConnectorContract, Offered
from simulators.smev3.control import SimulatorControl

SNILS = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
SERVICES = "http://ffoms.ru/GetInsuredRenderedMedicalServices/1.0.0"
REDELIVERY_S = 0.3
"""As the simulator of conftest.py is set."""
_numbers = itertools.count(1)


class Door:
    """A TCP door before the simulator: it counts who comes, and can be shut."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self.contacts = 0
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._accept, self._listener)

    def shut(self) -> None:
        """Refuse connections, break those that there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for one in list(self._open):
            with_silence(one.shutdown, socket.SHUT_RDWR)

    def reopen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._start(self._accept, self._listener)

    def close(self) -> None:
        self.shut()
        for thread in self._threads:
            thread.join(timeout=5)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._open |= {near, far}
            self._start(self._carry, near, far, True)
            self._start(self._carry, far, near, False)

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(65536):
                self.contacts += counted
                target.sendall(data)
        except OSError:
            pass
        finally:
            for one in (source, target):
                with_silence(one.shutdown, socket.SHUT_RDWR)
                one.close()
                self._open.discard(one)


def with_silence(call: Callable[..., object], *arguments: Any) -> None:
    with contextlib.suppress(OSError):
        call(*arguments)


class SmevHarness:
    """The simulator at the suite's command."""

    source = "smev.requests"
    sink = "smev"
    exceptions: Mapping[str, str] = {}
    patience = 1

    def __init__(self, control: SimulatorControl, door: Door, settings: Settings, password: str) -> None:
        self.control = control
        self.door = door
        self.settings = settings
        self.secrets = (password,)

    def connector(self) -> Connector:
        return connect("smev", self.settings)

    def offer(self) -> Offered:
        payload = (
            f'<q:InputData xmlns:q="{SERVICES}"><q:N a="1">№ {next(_numbers)} &lt;ё&gt;</q:N></q:InputData>'.encode()
        )
        return Offered(self.control.send("EPGU01", payload, version="1.2"), payload)

    def offer_bad(self) -> Offered:
        self.control.arm("wrong_smev_signature", operation="GetRequest", count=2)
        return self.offer()

    def intact(self, message: Message, offered: Offered) -> bool:
        return transform(message.body) == transform(offered.content) and (message.received or b"").startswith(b"<")

    def time_passes(self) -> None:
        time.sleep(REDELIVERY_S * 1.5)

    def outgoing(self) -> Message:
        name = "Лесная" + "я" * next(_numbers)
        return messages.request(snils(name), kind="sfr.snils", smev_version="1.2")

    def unfit(self) -> Sequence[Message]:
        return [
            messages.request(b"<no-namespace/>", kind="sfr.snils"),
            messages.request(b"not xml", kind="sfr.snils"),
            messages.request(snils("Ёлкина"), kind="sfr.snils", attachments=(Attachment("a.pdf"),)),
        ]

    def arrived(self, message: Message) -> int:
        wanted = transform(message.body)
        found = 0
        for sent in self.control.messages(sender="TFOMS01", what="request"):
            data = etree.fromstring(self.control.data(sent["message_id"]))
            found += transform(next(data.iter("{*}MessagePrimaryContent"))[0]) == wanted
        return found

    def contacts(self) -> int:
        return self.door.contacts

    def break_down(self) -> None:
        self.door.shut()

    def restore(self) -> None:
        self.door.reopen()

    def misbehaviours(self) -> Mapping[str, Callable[[], None]]:
        def arm(mischief: str, **params: Any) -> Callable[[], None]:
            def misbehave() -> None:
                self.control.disarm()
                self.control.arm(mischief, count=1, params=params)

            return misbehave

        plain = (
            "drop_before", "drop_after", "html_504", "http_503", "truncated", "malformed", "broken_multipart",
            "empty_body", "not_utf8", "dtd", "entity_bomb", "deep_nesting", "no_smev_signature", "repeated_id",
            "wrapped",
        )  # fmt: skip
        return {name: arm(name) for name in plain} | {
            "huge_text": arm("huge_text", size=3_000_000),
            "SMEVFailure": arm("fault", name="SMEVFailure"),
            "InvalidContent": arm("fault", name="InvalidContent", bare=True),
        }


def snils(surname: str) -> bytes:
    commons = "urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1"
    return (
        f'<s:SnilsByAdditionalDataRequest xmlns:s="{SNILS}" xmlns:c="{commons}"><c:FamilyName>{surname}</c:FamilyName>'
        "<c:FirstName>Ольга</c:FirstName><s:BirthDate>1980-05-05</s:BirthDate><s:Gender>Female</s:Gender>"
        "</s:SnilsByAdditionalDataRequest>"
    ).encode()


@pytest.fixture
def door(simulator: str) -> Iterator[Door]:
    made = Door(simulator)
    yield made
    made.close()


@pytest.fixture
def harness(control: SimulatorControl, door: Door, settings_of, keys) -> SmevHarness:
    settings = settings_of(f"http://127.0.0.1:{door.port}", answer_most_bytes=1_000_000, default_version="1.2")
    return SmevHarness(control, door, settings, keys.password)


class TestSmev(ConnectorContract):
    """Every rule of the contract."""
