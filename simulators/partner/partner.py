"""The partner: takes POSTs, lets each Idempotency-Key take effect once, and misbehaves when told to.

    with Partner() as partner:
        partner.url                     where the bus sends
        with partner.trouble(Trouble("status", status=503, retry_after="2")): …
        partner.effects()               what took effect, in order

What it holds lives in the harness's memory: no fault of the self-test reaches it.
"""

from __future__ import annotations

import contextlib
import email.utils
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

KEY_HEADER = "Idempotency-Key"
POLL_S = 0.05
"""How soon the server sees that it shall stop."""
IDLE_S = 60.0
"""A silent connection is given up after this long, so that half-open ones end."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """How the partner misbehaves while it lasts.

    status       answer this instead of 200; 0: answer well
    effect       whether the effect takes place all the same (the answer lies)
    retry_after  value of Retry-After; "date": an HTTP date by the partner's own clock, 2 s ahead
    pause_s      wait before the answer
    clock_s      seconds by which the partner's clock is wrong
    share        part of the requests that it strikes, 0…1
    """

    status: int = 0
    effect: bool = False
    retry_after: str = ""
    pause_s: float = 0.0
    clock_s: float = 0.0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Effect:
    """The first arrival under a key: `place` counts effects from 0."""

    key: str
    body: bytes
    place: int
    at: float


class Partner:
    """The service and its account. Thread-safe; used as a context manager."""

    def __init__(self, seed: int = 0, answer: bytes = b"taken") -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._effects: dict[str, Effect] = {}
        self._arrivals: dict[str, int] = {}
        self._keyless = 0
        self._changed: list[str] = []
        self._troubles: list[Trouble] = []
        self._random = random.Random(seed)
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="partner", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/take"

    def __enter__(self) -> Partner:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextlib.contextmanager
    def trouble(self, trouble: Trouble) -> Iterator[None]:
        """Misbehave until the end of the block."""
        self.begin(trouble)
        try:
            yield
        finally:
            self.end(trouble)

    def begin(self, trouble: Trouble) -> None:
        with self._lock:
            self._troubles.append(trouble)

    def end(self, trouble: Trouble) -> None:
        with self._lock:
            if trouble in self._troubles:
                self._troubles.remove(trouble)

    def effects(self) -> list[Effect]:
        """What took effect, in the order in which it did."""
        with self._lock:
            return sorted(self._effects.values(), key=lambda effect: effect.place)

    def arrivals(self) -> dict[str, int]:
        """Idempotency-Key → how many times it came."""
        with self._lock:
            return dict(self._arrivals)

    @property
    def keyless(self) -> int:
        """Requests that came without an Idempotency-Key: each of them would take effect again and again."""
        return self._keyless

    @property
    def changed(self) -> list[str]:
        """Keys under which another body came later."""
        with self._lock:
            return list(self._changed)

    def now(self) -> float:
        """Its clock, seconds since the epoch."""
        return time.time() + sum(trouble.clock_s for trouble in list(self._troubles))

    def take(self, key: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """One request: (status, headers, body of the answer)."""
        with self._lock:
            struck = [one for one in self._troubles if self._random.random() < one.share]
        bad = next((one for one in struck if one.status), None)
        if pause_s := max((one.pause_s for one in struck), default=0.0):
            time.sleep(pause_s)
        if not key:
            self._keyless += 1
            return 400, {}, "Нет заголовка Idempotency-Key".encode()
        self._note(key, body, effect=bad is None or bad.effect)
        if bad is None:
            return 200, {}, self._answer
        after = bad.retry_after
        if after == "date":
            after = email.utils.formatdate(self.now() + 2, usegmt=True)
        return bad.status, {"Retry-After": after} if after else {}, b"not now"

    def _note(self, key: str, body: bytes, *, effect: bool) -> None:
        with self._lock:
            self._arrivals[key] = self._arrivals.get(key, 0) + 1
            known = self._effects.get(key)
            if known is not None and known.body != body:
                self._changed.append(key)
            if known is None and effect:
                self._effects[key] = Effect(key, body, len(self._effects), time.time())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what this server is for: nothing to report."""


def _handler_of(partner: Partner) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_S
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def do_POST(self) -> None:
            body = self._body()
            status, headers, answer = partner.take(self.headers.get(KEY_HEADER, ""), body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            kind = "text/xml" if answer.startswith(b"<") else "text/plain"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.wfile.flush()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                length = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(length)
                if len(body) < length:
                    raise ConnectionError("the request ended too early")
                return body
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                piece = self.rfile.read(size)
                if len(piece) < size or self.rfile.readline().strip():
                    raise ConnectionError("the request ended too early")
                pieces.append(piece)
            self.rfile.readline()
            return b"".join(pieces)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return email.utils.formatdate(partner.now() if timestamp is None else timestamp, usegmt=True)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
