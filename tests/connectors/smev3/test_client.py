"""The wire: keep-alive, limits, multipart, and what is lost in which way."""

from __future__ import annotations

import socket
import threading

import pytest

from connectors.smev3 import mime
from connectors.smev3.client import Client, Lost, Why


@pytest.fixture
def client(far):
    made = Client({"1.2": far.url + "/ws"}, answer_timeout_s=0.5, connect_timeout_s=0.5, answer_most_bytes=10_000)
    yield made
    made.close()


def scripted(far, body, **fields):
    return type(far.usual("Ack", b""))(body, **fields)


def lost(client) -> Lost:
    with pytest.raises(Lost) as caught:
        client.call("1.2", "Ack", b"<a/>")
    return caught.value


@pytest.mark.feature("SMEV-01")
def test_the_operation_is_named_in_soap_action_and_the_octets_are_untouched(client, far) -> None:
    answer = client.call("1.2", "Ack", b"<any octets\xff>")
    (call,) = far.calls
    assert (call.operation, call.path, call.body) == ("Ack", "/ws", b"<any octets\xff>")
    assert answer.status == 200


def test_one_connection_serves_many_calls(client, far) -> None:
    for _ in range(5):
        client.call("1.2", "Ack", b"<a/>")
    assert client._pools.connection_from_url(far.url).num_connections == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"body": b"<a/>", "cut": 10}, Why.CUT_OFF),
        ({"body": b"x" * 20_000}, Why.TOO_LARGE),
        ({"body": b"<html>", "content_type": "text/html"}, Why.NOT_SOAP),
        ({"body": b"<!DOCTYPE html>"}, Why.NOT_SOAP),
        ({"body": b"gone", "status": 503, "content_type": "text/plain"}, Why.NOT_SOAP),
        ({"body": b"", "status": 500}, Why.NOT_SOAP),
        ({"body": b"\x1f\x8b", "headers": {"Content-Encoding": "gzip"}}, Why.NOT_SOAP),
        ({"body": b"<a/>", "delay_s": 2.0}, Why.TIMEOUT),
        ({"body": b"<a/>", "content_type": "multipart/related"}, Why.CUT_OFF),
    ],
)
def test_what_is_no_whole_answer_is_lost_in_its_own_way(client, far, fields, why) -> None:
    far.prepare("Ack", scripted(far, **fields))
    assert lost(client).why is why


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert lost(Client({"1.2": f"http://127.0.0.1:{port}"}, connect_timeout_s=0.5)).why is Why.UNREACHABLE


def test_a_far_side_that_hangs_up_without_a_word_is_an_unknown_outcome() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(10)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        client = Client({"1.2": f"http://127.0.0.1:{server.getsockname()[1]}"}, answer_timeout_s=2.0)
        assert lost(client).why in (Why.CUT_OFF, Why.TIMEOUT)
        thread.join()
        client.close()


def test_an_answer_that_drips_for_ever_is_cut_after_its_time() -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 9000\r\n\r\n")
                try:
                    while not stop.wait(0.02):
                        connection.sendall(b"x" * 10)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        client = Client({"1.2": f"http://127.0.0.1:{server.getsockname()[1]}"}, answer_timeout_s=0.4)
        try:
            assert lost(client).why is Why.TIMEOUT
        finally:
            stop.set()
            thread.join()
            client.close()


def test_the_words_of_an_error_hold_no_object_address(client) -> None:
    dead = Client({"1.2": "http://127.0.0.1:9/ws?token=secret"}, connect_timeout_s=0.5)
    assert "object at 0x" not in lost(dead).detail
    assert "secret" not in lost(dead).detail


@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
def test_multipart_is_split_without_touching_the_octets(line) -> None:
    root, other = b"<S:Envelope>\r\n--x\n\n</S:Envelope>", b"\x00\xff--marker\r\n\r\n"
    body = line.join(
        [
            b"preamble",
            b"--marker",
            b"Content-Type: application/octet-stream",
            b"Content-ID: <file%201@x>",
            b"",
            other,
            b"--marker",
            b"content-id: <root@x>",
            b"",
            root,
            b"--marker--",
            b"epilogue",
        ]
    )
    found, parts = mime.split(body, 'multipart/related; start="<root@x>"; boundary=marker')
    assert found == root
    assert parts == {"file%201@x": other}


def test_without_start_the_first_part_is_the_root() -> None:
    assert mime.split(b"--m\r\n\r\n<a/>\r\n--m\r\n\r\n<b/>\r\n--m--", "multipart/related; boundary=m")[0] == b"<a/>"


def test_base64_and_quoted_printable_parts_are_decoded() -> None:
    body = (
        b"--m\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<a b=3D'1'/>\r\n"
        b"--m\r\nContent-ID: <x>\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--m--"
    )
    root, parts = mime.split(body, "multipart/related; boundary=m")
    assert (root, parts) == (b"<a b='1'/>", {"x": b"ABC"})


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/related; boundary=m"),
        (b"--m--", "multipart/related; boundary=m"),
        (b"--m\r\n\r\n<a/>", "multipart/related; boundary=m"),
        (b"--m\r\nno blank line\r\n--m--", "multipart/related; boundary=m"),
        (b"--other\r\n\r\n<a/>\r\n--other--", "multipart/related; boundary=m"),
        (b"--m\r\n\r\n<a/>\r\n--m--", "multipart/related"),
        (b"--m\r\n\r\n" * 1200 + b"\r\n--m--", "multipart/related; boundary=m"),
    ],
)
def test_a_broken_multipart_is_broken(body, content_type) -> None:
    with pytest.raises(mime.Broken):
        mime.split(body, content_type)
