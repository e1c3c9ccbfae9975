"""The far sides of the matrix: each offers messages to the bus and says what reached it, message by message."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from core.signatures.demo_keys import make_demo_keys
from simulators.crashes import routes
from simulators.partner.partner import Partner
from simulators.payloads import ffoms, people
from simulators.smev3.control import SimulatorControl

MODULES: Final = ("simulators.crashes.routes",)
SOAP_POINTS: Final = ("http.read", "http.accepted", "http.answered_us")
FILES_POINTS: Final = ("files.read", "files.renamed", "files.uploaded", "files.registered", "files.published")
"""Crash points that a connector has of its own."""
MESSAGES: Final = 6
EPGU: Final = "EPGU01"
POST_AGAIN_S: Final = 0.1
REDELIVERY_S: Final = 2


class Side(Protocol):
    """A far side for one cell of the matrix."""

    def connectors(self) -> Mapping[str, Any]:
        """The table `connectors` of the bus's settings."""

    def offer(self, bus_url: str) -> Sequence[str]:
        """Send or lay out MESSAGES messages; their labels. Nothing waits for the bus to take them."""

    def effects(self) -> Counter[str]:
        """Label → how many times a message of the bus took effect here."""

    def settled(self) -> bool:
        """Nothing is under way on this side."""


class Soap:
    """A partner who posts envelopes and serves a SOAP endpoint."""

    def __init__(self, partner: Partner) -> None:
        self._partner = partner
        self._labels = [f"soap-{n}" for n in range(MESSAGES)]
        self._posting = [threading.Thread(target=self._post, args=(label,), daemon=True) for label in self._labels]
        self._bus_url = ""

    def connectors(self) -> Mapping[str, Any]:
        return {
            "in": {"type": "http", "open_queues": [routes.register_soap.name]},
            routes.FAR: {"type": "http", "url": self._partner.url, "soap": "1.1"},
        }

    def offer(self, bus_url: str) -> Sequence[str]:
        self._bus_url = bus_url
        for thread in self._posting:
            thread.start()
        return self._labels

    def effects(self) -> Counter[str]:
        return Counter(routes.label_of(effect.body) for effect in self._partner.effects())

    def settled(self) -> bool:
        return not any(thread.is_alive() for thread in self._posting)

    def _post(self, label: str) -> None:
        """As a careful client does: the same key until it is told that the message is safe."""
        envelope = (
            b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%b</s:Body></s:Envelope>'
            % routes.document(label)
        )
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""', "Idempotency-Key": label}
        url = f"{self._bus_url}/in/{routes.register_soap.name}"
        while True:
            request = urllib.request.Request(url, envelope, headers)
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(request, timeout=10):
                return
            time.sleep(POST_AGAIN_S)


class Files:
    """A partner with a folder, here or behind FTP. The folder is looked at as the partner's own programs do."""

    def __init__(self, folder: Path, url: str, login: Mapping[str, str]) -> None:
        self._folder = folder
        self._url = url
        self._login = login
        for name in ("in", "out"):
            (folder / name).mkdir(parents=True)

    def connectors(self) -> Mapping[str, Any]:
        inbox = {"queue": routes.register.name, "settle_s": 0, "interval_s": 0.2}
        return {routes.FAR: {"type": "files", "url": self._url, "inbox": inbox, "outbox": {}, **self._login}}

    def offer(self, bus_url: str) -> Sequence[str]:  # noqa: ARG002
        labels = [f"file-{n}" for n in range(MESSAGES)]
        for label in labels:
            (self._folder / "in" / f"{label}.xml").write_bytes(routes.document(label))
        return labels

    def effects(self) -> Counter[str]:
        found = [one for one in (self._folder / "out").iterdir() if one.is_file() and not one.name.startswith(".")]
        return Counter(routes.label_of(one.read_bytes()) for one in found)

    def settled(self) -> bool:
        return not list((self._folder / "in").glob("*.xml"))


class Smev:
    """СМЭВ 3: citizens ask, the bus answers."""

    def __init__(self, smev: SimulatorControl, keys: Path) -> None:
        self._smev = smev
        self._keys = keys
        self._smev.reset()

    def connectors(self) -> Mapping[str, Any]:
        poll = {"name": "requests-1-2", "operation": "requests", "version": "1.2", "interval_s": 0.2}
        table = {
            "type": "smev3",
            "key_file": f"{self._keys}/fund.key",
            "certificate_file": f"{self._keys}/fund.pem",
            "password_file": f"{self._keys}/password",
            "trust_dir": f"{self._keys}/trust",
            "operator_subject": ["ОГРН=1020000000002"],
            "poll_floor_s": 0.05,
            "polls": [poll],
            "endpoints": {"1.2": f"{self._smev.base_url}/smev/v1.2/ws"},
        }
        return {"smev": table}

    def offer(self, bus_url: str) -> Sequence[str]:  # noqa: ARG002
        askers = people.people(1, MESSAGES)
        return [self._smev.send(EPGU, ffoms.query(asker), version="1.2") for asker in askers]

    def effects(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for message in self._smev.messages(sender=EPGU):
            counts[message["message_id"]] += len(message["answers"])
        return +counts

    def settled(self) -> bool:
        totals = self._smev.summary()["totals"]
        return not totals["open_entries"] and not totals["pending_validation"]


def smev_keys(home: Path) -> Path:
    """Keys of an invented fund and of СМЭВ."""
    make_demo_keys(home / "keys", secrets.token_urlsafe(18))
    return home / "keys"


def as_settings(connectors: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables that say the same as the tables of a settings file."""
    return {
        "OMSBUS_CONNECTORS": json.dumps(connectors, ensure_ascii=False),
        "OMSBUS_ROUTE_MODULES": json.dumps(MODULES),
        "OMSBUS_SWEEP_S": "0.2",
    }


@contextlib.contextmanager
def partner() -> Iterator[Partner]:
    """A SOAP partner on a free port."""
    with Partner(
        answer=b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>'
    ) as one:
        yield one
