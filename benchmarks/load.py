"""The load generator of workload W1: a closed loop of POSTs on keep-alive connections, in a process of its own.

    python -m benchmarks.load URL --messages 3000 --warm-up 300 --connections 16 --json FILE

It shares two cores with what it measures, so it is light: one thread, requests built beforehand, raw sockets, and of
an answer only the status and the length are read. It speaks in lines on stdout: `warm` after the warm-up (with
`--wait` it goes on after a line on stdin), `reached` at `--notify-at` answers, and one line of JSON, the `Report`.

The server may die in the middle: a request without an answer is noted as unanswered and never repeated (what became
of it nobody knows); with `--go-on` the connections come back when the server does, and what it answered 503 while it
was starting is sent again; without it the run ends.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

TEMPLATE: Final = Path(__file__).with_name("record.xml")
"""Our own document of some 4 KB; the shared one is used where it is present."""
SHARED_TEMPLATE: Final = Path(__file__).resolve().parents[2] / "shared" / "w1" / "body.xml"
STYLE: Final = Path(__file__).with_name("record.xsl")
"""Flattens either document to the eight columns of the table reg."""
REG: Final = (
    "CREATE TABLE reg (id text, act_no text, surname text, given text, birth_date text, death_date text, "
    "place text, cause text)"
)
"""The table of the workload: no unique constraint, so that what was done twice stands there twice."""
AWAY_S: Final = 120.0
"""How long the server may be away before `--go-on` gives up, and how long an answer may take."""
_AGAIN_S: Final = 0.02
_READ_BYTES: Final = 65536


@dataclass(slots=True)
class Report:
    """What was measured after the warm-up; times of the POST in milliseconds. The ids are the documents' MessageIds.

    answered    ids that got a 2xx answer, the warm-up's among them
    unanswered  ids that were sent and got no answer
    refused     status of another answer → how many
    begun_at, ended_at  time.monotonic() of the measured part
    """

    accepted_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    begun_at: float = 0.0
    ended_at: float = 0.0
    cpu_s: float = 0.0
    answered: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)


def template() -> bytes:
    """The document with its places for @UUID@ and @N@."""
    return (SHARED_TEMPLATE if SHARED_TEMPLATE.exists() else TEMPLATE).read_bytes()


def documents(number: int, first: int = 0) -> list[tuple[str, bytes]]:
    """(id, document) of so many messages, numbered from `first`."""
    made = []
    form = template()
    for n in range(first, first + number):
        name = str(uuid.uuid4())
        made.append((name, form.replace(b"@UUID@", name.encode()).replace(b"@N@", b"%07d" % n)))
    return made


def run(
    url: str,
    *,
    messages: int,
    warm_up: int = 0,
    connections: int = 16,
    go_on: bool = False,
    warm: Callable[[], None] = lambda: None,
    notify_at: int | None = None,
    reached: Callable[[], None] = lambda: None,
) -> Report:
    """Send `warm_up` messages, call `warm`, send `messages` and measure. `reached` is called at `notify_at` answers."""
    loop = _Loop(url, documents(warm_up + messages), connections, go_on)
    loop.send(warm_up)
    warm()
    before = len(loop.took_s)
    cpu = time.process_time()
    loop.watch(notify_at, reached)
    begun_at = time.monotonic()
    loop.send(warm_up + messages)
    ended_at = time.monotonic()
    took_s = sorted(loop.took_s[before:])
    report = Report(begun_at=begun_at, ended_at=ended_at, cpu_s=time.process_time() - cpu)
    report.accepted_per_s = len(took_s) / (ended_at - begun_at)
    report.p50_ms, report.p99_ms = _quantile(took_s, 0.50) * 1000, _quantile(took_s, 0.99) * 1000
    report.answered, report.unanswered, report.refused = loop.answered, loop.unanswered, dict(loop.refused)
    loop.close()
    return report


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


class _Peer:
    """One connection and the request that is under way on it."""

    __slots__ = ("began", "data", "name", "octets", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.name = ""
        self.octets = b""
        self.began = 0.0
        self.data = b""


class _Loop:
    """The closed loop: an answer sends the next request on its connection."""

    def __init__(self, url: str, made: Sequence[tuple[str, bytes]], connections: int, go_on: bool) -> None:
        parts = urlsplit(url)
        assert parts.scheme == "http", url
        assert parts.hostname, url
        self._address = (parts.hostname, parts.port or 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: text/xml; charset=utf-8\r\n"
        self._requests = [(n, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body) for n, body in made]
        self._connections = connections
        self._go_on = go_on
        self._next = 0
        self._last = 0
        self._notify_at: int | None = None
        self._reached: Callable[[], None] = lambda: None
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Peer] = []
        self.answered: list[str] = []
        self.unanswered: list[str] = []
        self.refused: Counter[str] = Counter()
        self.took_s: list[float] = []
        """Of every 2xx answer."""

    def watch(self, notify_at: int | None, reached: Callable[[], None]) -> None:
        """Call `reached` once, at so many 2xx answers from now on."""
        self._notify_at = None if notify_at is None else len(self.answered) + notify_at
        self._reached = reached

    def send(self, last: int) -> None:
        """Send up to the message number `last` and wait for the answers. Raises TimeoutError when none comes."""
        self._last = last
        while self._next < last or self._selector.get_map():
            while self._next < last and len(self._selector.get_map()) < self._connections:
                peer = self._idle.pop() if self._idle else self._connect()
                if peer is None:
                    return
                self._request(peer)
            ready = self._selector.select(AWAY_S)
            if not ready:
                raise TimeoutError(f"no answer for {AWAY_S:.0f} s")
            for key, _ in ready:
                self._answer(key.data)

    def close(self) -> None:
        for peer in self._idle:
            peer.sock.close()
        self._selector.close()

    def _connect(self) -> _Peer | None:
        """None: the server is away, and the run ends."""
        ends = time.monotonic() + AWAY_S
        while True:
            try:
                sock = socket.create_connection(self._address, timeout=AWAY_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _Peer(sock)
            except OSError:
                if not self._go_on or time.monotonic() > ends:
                    self._next = self._last
                    return None
                time.sleep(_AGAIN_S)

    def _request(self, peer: _Peer) -> None:
        peer.name, peer.octets = self._requests[self._next]
        self._next += 1
        self._put(peer)

    def _put(self, peer: _Peer) -> None:
        peer.data = b""
        self._selector.register(peer.sock, selectors.EVENT_READ, peer)
        peer.began = time.perf_counter()
        try:
            peer.sock.sendall(peer.octets)
        except OSError:
            self._lost(peer)

    def _answer(self, peer: _Peer) -> None:
        try:
            got = peer.sock.recv(_READ_BYTES)
        except OSError:
            got = b""
        if not got:
            self._lost(peer)
            return
        peer.data += got
        if not _whole(peer.data):
            return
        took_s = time.perf_counter() - peer.began
        status = peer.data[9:12]
        if status == b"503" and self._go_on:  # it is starting: nothing was taken, the same request again
            time.sleep(_AGAIN_S)
            self._selector.unregister(peer.sock)
            self._put(peer)
            return
        if status[:1] == b"2":
            self.answered.append(peer.name)
            self.took_s.append(took_s)
            if len(self.answered) == self._notify_at:
                self._reached()
        else:
            self.refused[status.decode("latin-1")] += 1
        if self._next < self._last:
            self._selector.unregister(peer.sock)
            self._request(peer)
        else:
            self._selector.unregister(peer.sock)
            self._idle.append(peer)

    def _lost(self, peer: _Peer) -> None:
        self._selector.unregister(peer.sock)
        peer.sock.close()
        self.unanswered.append(peer.name)
        if not self._go_on:
            self._next = self._last


def _whole(data: bytes) -> bool:
    """Is the answer complete?"""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        return len(data) - end - 4 >= int(head[at + 17 :].split(b"\r\n", 1)[0])
    if b"\r\ntransfer-encoding: chunked" in head:
        return data.endswith(b"0\r\n\r\n")
    return data[9:12] in (b"204", b"304")


class Load:
    """The generator as a child process. Use as a context manager; `report` ends it."""

    def __init__(
        self,
        url: str,
        *,
        messages: int,
        warm_up: int = 0,
        connections: int = 16,
        go_on: bool = False,
        wait: bool = False,
        notify_at: int | None = None,
    ) -> None:
        command = [sys.executable, "-m", "benchmarks.load", url, "--messages", str(messages)]
        command += ["--warm-up", str(warm_up), "--connections", str(connections)]
        command += ["--go-on"] if go_on else []
        command += ["--wait"] if wait else []
        command += ["--notify-at", str(notify_at)] if notify_at is not None else []
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def until(self, word: str) -> None:
        """Returns when the child has said `word` ("warm", "reached"). Raises RuntimeError when it ends before."""
        assert self._process.stdout is not None
        if (line := self._process.stdout.readline().strip()) != word:
            raise RuntimeError(f"the load generator said {line[:200]!r} instead of {word!r}")

    def go(self) -> None:
        """Let the measured part begin (with `wait`)."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def report(self) -> Report:
        """Waits for the end."""
        out, _ = self._process.communicate(timeout=AWAY_S * 5)
        return Report(**json.loads(out.strip().splitlines()[-1]))


def main(
    url: Annotated[str, typer.Argument(help="http://127.0.0.1:PORT/in/w1")],
    messages: int = 3000,
    warm_up: int = 300,
    connections: int = 16,
    go_on: Annotated[bool, typer.Option("--go-on", help="Сервер ушёл: дождаться его и продолжить")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="После разогрева ждать строку на stdin")] = False,
    notify_at: Annotated[int | None, typer.Option(help="После стольких ответов сказать reached")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Куда записать отчёт вместо stdout")] = None,
) -> None:
    """Нагрузка W1: POST по постоянным соединениям, каждое ждёт ответа, прежде чем послать следующее."""

    def say(word: str) -> None:
        print(word, flush=True)

    def warm() -> None:
        say("warm")
        if wait:
            sys.stdin.readline()

    report: dict[str, Any] = asdict(
        run(
            url,
            messages=messages,
            warm_up=warm_up,
            connections=connections,
            go_on=go_on,
            warm=warm,
            notify_at=notify_at,
            reached=lambda: say("reached"),
        )
    )
    if json_file:
        json_file.write_text(json.dumps(report))
    else:
        say(json.dumps(report))


if __name__ == "__main__":
    typer.run(main)
