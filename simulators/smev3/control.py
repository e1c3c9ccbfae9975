"""A client of the control API, for tests and the demo. Only the standard library, so it may be used anywhere."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Answer = dict[str, Any]


class ControlError(RuntimeError):
    """The simulator refused an order; the message is its Russian reason."""


class SimulatorControl:
    """`SimulatorControl("http://127.0.0.1:8083")`. One connection a call: safe for many threads."""

    def __init__(self, base_url: str, token: str = "", timeout_s: float = 30.0) -> None:
        parts = urlsplit(base_url)
        self.base_url = base_url.rstrip("/")
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._token = token
        self._timeout_s = timeout_s

    def send(self, sender: str, payload: bytes, **fields: Any) -> str:
        """Send a payload as `sender`; further fields as in `simulators.smev3.outbox.Order`. Returns the MessageID."""
        body = {"sender": sender, "payload_base64": base64.b64encode(payload).decode()} | fields
        return str(self._call("POST", "/send", body)["message_id"])

    def play(self, kind: str, count: int = 1, **fields: Any) -> list[str]:
        """Send `count` made-up requests of a kind (sender, records, version, seed, tag). Returns MessageIDs."""
        return list(self._call("POST", "/play", {"kind": kind, "count": count} | fields)["message_ids"])

    def arm(self, name: str, **fields: Any) -> int:
        """Arm a fault: operation, version, caller, kind, count, probability, seed, params. Returns its number."""
        return int(self._call("POST", "/faults", {"name": name} | fields)["fault"]["id"])

    def disarm(self, number: int | None = None) -> None:
        self._call("DELETE", "/faults" + (f"?id={number}" if number is not None else ""))

    def faults(self) -> list[Answer]:
        return list(self._call("GET", "/faults")["armed"])

    def messages(self, **filters: Any) -> Iterator[Answer]:
        """Every message that fits (kind, sender, recipient, what, content, status, tag…), page by page."""
        after = 0
        while True:
            page = self._call("GET", "/messages?" + urlencode(filters | {"after": after, "limit": 500}))["messages"]
            yield from page
            if len(page) < 500:
                return
            after = page[-1]["seq"]

    def message(self, message_id: str) -> Answer:
        """One message. ControlError when the simulator does not know it."""
        found = next(self.messages(message_id=message_id), None)
        if found is None:
            raise ControlError(f"Имитатор не знает сообщения {message_id}")
        return found

    def data(self, message_id: str) -> bytes:
        """The signed octets of one message (SenderProvided*Data)."""
        return base64.b64decode(self._call("GET", f"/messages/{quote(message_id)}/data")["data"])

    def summary(self) -> Answer:
        return self._call("GET", "/summary")

    def envelopes(self, after: int = 0) -> Iterator[Answer]:
        """Recorded envelopes in order, `body` as bytes."""
        while True:
            page = self._call("GET", f"/envelopes?after={after}&limit=200")
            for one in page["envelopes"]:
                yield one | {"body": base64.b64decode(one["body"])}
            if not page["envelopes"]:
                return
            after = page["last"]

    def move_clock(self, offset_s: float) -> None:
        self._call("POST", "/clock", {"offset_s": offset_s})

    def reset(self) -> None:
        self._call("POST", "/reset")

    def down(self, mnemonic: str) -> None:
        self._call("POST", f"/providers/{quote(mnemonic)}/down")

    def up(self, mnemonic: str) -> None:
        self._call("POST", f"/providers/{quote(mnemonic)}/up")

    def wait(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        """Poll until `condition()` is true and return its value. TimeoutError otherwise."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError("Имитатор не дошёл до ожидаемого состояния")
            time.sleep(0.02)
        return value

    def _call(self, method: str, path: str, body: Answer | None = None) -> Answer:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self._token}"} if self._token else {}
        )
        try:
            octets = json.dumps(body).encode() if body is not None else None
            connection.request(method, f"/control{path}", octets, headers)
            response = connection.getresponse()
            answer: Answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ControlError(str(answer.get("error", response.status)))
        return answer
