"""The load generator of W1, against a small server of our own: what it counts is what happened."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from lxml import etree

from benchmarks import load
from core import xml

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"


class Receiver:
    """A server; `answers` says what to answer to the request with this number. None: close without an answer."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.connections = 0
        self.answers: Callable[[int], int | None] = lambda number: 202
        self._lock = threading.Lock()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with outer._lock:
                    outer.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer._lock:
                    outer.bodies.append(body)
                    status = outer.answers(len(outer.bodies))
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in/w1"

    def ids(self) -> list[str]:
        return [_id(body) for body in self.bodies]


def _id(body: bytes) -> str:
    return str(xml.parse(body).findtext(".//{urn:example:bus:death-record:1.0}MessageId"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    one.start()
    yield one
    one.stop()


@pytest.mark.parametrize("shared", [True, False])
def test_a_document_is_a_soap_message_of_four_kilobytes_that_gives_the_eight_fields(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shared:
        monkeypatch.setattr(load, "SHARED_TEMPLATE", load.TEMPLATE.with_name("absent"))
    elif not load.SHARED_TEMPLATE.exists():
        pytest.skip("no ../shared here")
    [(name, document), (other, _)] = load.documents(2, first=7)
    assert 3900 <= len(document) <= 4300
    assert xml.parse(document).tag == f"{SOAP}Envelope"
    row = etree.XSLT(etree.parse(load.STYLE))(etree.fromstring(document)).getroot()
    assert [field.tag for field in row] == [
        *("id", "act_no", "surname", "given", "birth_date", "death_date", "place", "cause")
    ]
    assert all(field.text for field in row)
    assert row[0].text == name != other
    assert "@" not in "".join(row.itertext())
    assert b"@UUID@" not in document
    assert b"@N@" not in document


def test_every_message_is_sent_once_over_connections_that_are_kept(receiver: Receiver) -> None:
    said: list[int] = []
    report = load.run(
        receiver.url, messages=60, warm_up=20, connections=4, warm=lambda: said.append(len(receiver.bodies))
    )
    assert said == [20]
    assert Counter(receiver.ids()) == Counter(report.answered)
    assert len(set(report.answered)) == 80
    assert receiver.connections == 4
    assert (report.unanswered, report.refused) == ([], {})
    assert report.accepted_per_s > 0
    assert 0 < report.p50_ms <= report.p99_ms


def test_other_answers_than_success_are_counted_apart(receiver: Receiver) -> None:
    receiver.answers = lambda number: 503 if number % 5 == 0 else 201
    report = load.run(receiver.url, messages=50, connections=3)
    assert report.refused == {"503": 10}
    assert len(report.answered) == 40


def test_without_being_told_to_go_on_the_run_ends_with_the_server(receiver: Receiver) -> None:
    receiver.answers = lambda number: 202 if number <= 10 else None
    report = load.run(receiver.url, messages=100, connections=2)
    assert len(report.answered) == 10
    assert 1 <= len(report.unanswered) <= 2
    assert len(receiver.bodies) <= 12


def test_told_to_go_on_it_waits_for_the_server_and_repeats_nothing(receiver: Receiver) -> None:
    def restart() -> None:
        receiver.stop()
        receiver.answers = lambda number: 202
        receiver.start()

    restarting = threading.Thread(target=restart)

    def reached() -> None:
        receiver.answers = lambda number: None
        restarting.start()

    report = load.run(receiver.url, messages=60, connections=3, go_on=True, notify_at=20, reached=reached)
    restarting.join()
    assert len(report.answered) + len(report.unanswered) == 60
    assert report.unanswered
    assert len(report.answered) > 20
    assert max(Counter(receiver.ids()).values()) == 1
    assert set(report.answered) <= set(receiver.ids())


def test_a_chunked_answer_is_read_to_its_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                for _ in range(2):
                    got = b""
                    while b"</s:Envelope>" not in got and b"</soapenv:Envelope>" not in got:
                        got += peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
                    peer.sendall(b"0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        report = load.run(f"http://127.0.0.1:{port}/", messages=2, connections=1)
        thread.join()
    assert len(report.answered) == 2


def test_as_a_process_it_stops_for_its_caller_and_reports(receiver: Receiver) -> None:
    with load.Load(receiver.url, messages=30, warm_up=10, connections=2, wait=True, notify_at=15) as generator:
        generator.until("warm")
        assert len(receiver.bodies) == 10
        generator.go()
        generator.until("reached")
        report = generator.report()
    assert sorted(report.answered) == sorted(receiver.ids())
    assert len(report.answered) == 40
