"""The intake over a real server: committed before it is answered, named by its client, refused with words."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from core.database import driver
from core.errors import BusError, Retryable, Unavailable


def test_a_post_is_answered_202_with_the_id_of_a_message_in_the_journal(web_of) -> None:
    web = web_of()
    answer = web.post("w1", b"hello")
    assert answer.status_code == 202
    ids = [str(row[0]) for row in web.rows()]
    assert ids == [answer.json()["message_id"]] == [answer.headers["x-message-id"]]
    assert answer.json()["repeated"] is False
    assert web.bodies() == [b"hello"]


@pytest.mark.feature("BUS-02")
def test_nobody_is_answered_before_the_commit(web_of) -> None:
    web = web_of()
    may_commit = threading.Event()
    keep = web.bus.intake._short._keep
    web.bus.intake._short._keep = lambda deliveries: (may_commit.wait(10), keep(deliveries))[1]
    with ThreadPoolExecutor() as pool:
        posting = pool.submit(web.post, "w1", b"hello")
        with pytest.raises(TimeoutError):
            posting.result(timeout=0.3)
        may_commit.set()
        assert posting.result(timeout=10).status_code == 202


@pytest.mark.feature("BUS-02")
def test_the_same_key_and_body_answer_the_same_and_another_body_answers_409(web_of) -> None:
    web = web_of()
    first, again, other = (web.post("w1", body, key="k 1") for body in (b"one", b"one", b"two"))
    assert [first.status_code, again.status_code, other.status_code] == [202, 202, 409]
    assert again.json() == {"message_id": first.json()["message_id"], "repeated": True}
    problem = other.json()
    assert other.headers["content-type"].startswith("application/problem+json")
    assert problem["status"] == 409
    assert "другое содержимое" in problem["detail"]
    assert web.rows()[0][1] == "w1/k 1"
    assert web.post("w1", b"two", key="k 1").status_code == 409
    assert len(web.rows()) == 2, "the refused content is kept once, for the operator"


def test_without_a_key_every_post_is_a_new_message(web_of) -> None:
    web = web_of()
    ids = {web.post("w1", b"same").json()["message_id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.feature("BUS-02")
def test_concurrent_posts_under_one_key_make_one_message(web_of) -> None:
    web = web_of()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: web.post("w1", b"same", key="one"), range(24)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["message_id"] for answer in answers}) == 1
    assert sum(not answer.json()["repeated"] for answer in answers) == 1
    assert len(web.rows()) == 1


def test_a_key_is_the_senders_own(web_of, token) -> None:
    web = web_of()
    web.post("w1", b"anybody", key="k")
    assert web.post("w1", b"smo1", key="k", token=token).status_code == 202
    assert web.post("erz.lists", b"smo1", key="k", token=token).status_code == 202
    assert [row[1] for row in web.rows()] == ["w1/k", "smo1/w1/k", "smo1/erz.lists/k"]


def test_other_spellings_of_a_key_are_known_and_wrong_ones_refused(web_of) -> None:
    web = web_of()
    given = [
        web.post("w1", b"1", Idempotency_Key='"a\\"b"'),
        web.post("w1", b"1", Idempotency_Key='a"b'),
        web.post("w1", b"2", X_Message_Id="x"),
        web.post("w1", b"3", Idempotency_Key="y", X_Message_Id="x"),
    ]
    assert [answer.status_code for answer in given] == [202] * 4
    assert [row[1] for row in web.rows()] == ['w1/a"b', "w1/x", "w1/y"]
    for wrong in ("", '"', '"a', '"a"b"', "a" * 201, b"\xff", "a\tb"):
        answer = web.client.post("/in/w1", content=b"4", headers={"Idempotency-Key": wrong})
        assert answer.status_code == 400, wrong
        assert "Idempotency-Key" in answer.json()["detail"]
    twice = web.client.post("/in/w1", content=b"4", headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert twice.status_code == 400
    assert len(web.rows()) == 3


@pytest.mark.feature("BUS-14")
def test_deny_is_the_default_and_strangers_do_not_learn_which_queues_there_are(web_of, token, other_token) -> None:
    web = web_of()
    strangers = [web.post(queue, b"x", token=t) for queue in ("erz.lists", "absent") for t in ("", "wrong", token[:-1])]
    assert {answer.status_code for answer in strangers} == {401}
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in strangers)
    assert {answer.content for answer in strangers[:1]} == {answer.content for answer in strangers[3:4]}
    assert web.post("erz.lists", b"x", token=other_token).status_code == 403
    assert web.post("absent", b"x", token=token).status_code == 404
    assert web.post("w1", b"x", token="wrong").status_code == 401
    assert web.post("w1", b"x", Authorization="Basic dTpw").status_code == 401
    assert web.rows() == []
    assert web.post("erz.lists", b"x", token=token).status_code == 202


@pytest.mark.feature("BUS-14")
def test_a_token_is_neither_in_the_journal_nor_in_an_answer(web_of, token) -> None:
    web = web_of()
    answers = [web.post(queue, b"x", token=token) for queue in ("erz.lists", "erz.other", "absent")]
    assert all(token not in answer.text + str(answer.headers) for answer in answers)
    (headers,) = (row[3] for row in web.rows())
    assert headers["http.sender"] == "smo1"
    assert headers["http.remote_address"] == "127.0.0.1"
    assert token not in str(web.rows("*"))


def test_a_token_that_cannot_be_read_is_no_reason_to_call_its_owner_a_stranger(web_of, token, tokens) -> None:
    tokens["smo2"].unlink()
    web = web_of()
    assert web.post("erz.lists", b"x", token=token).status_code == 202
    unknown = web.post("erz.other", b"x", token="may-be-smo2")
    assert unknown.status_code == 503
    assert "retry-after" in unknown.headers


def test_only_post_is_a_message(web_of) -> None:
    client = web_of().client
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = client.request(method, "/in/w1")
        assert answer.status_code == 405
        assert "POST" in answer.headers["allow"]


def test_what_cannot_be_taken_now_is_answered_503_with_the_pause(web_of) -> None:
    web = web_of()
    web.bus.intake._refusal = lambda: "Место в журнале кончается: повторите позже"
    answer = web.post("w1", b"x")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "Место" in answer.json()["detail"]
    web.bus.intake._refusal = lambda: ""
    failures: list[BusError] = [Unavailable("База недоступна", pause_s=1.2), Retryable("Позже"), BusError("Беда")]

    def fail(deliveries: Any) -> Any:
        raise failures.pop(0)

    web.bus.intake._short._keep = fail
    seen = [(one.status_code, one.headers.get("retry-after")) for one in (web.post("w1", b"x") for _ in range(3))]
    assert seen == [(503, "2"), (503, "5"), (500, None)]


def test_long_requests_are_refused_with_413_however_they_come(web_of) -> None:
    web = web_of(request_most_bytes=300_000, body_most_bytes=1024)

    def pieces() -> Iterator[bytes]:
        for _ in range(50):
            yield b"x" * 10_000

    assert web.post("w1", b"x" * 300_001).status_code == 413
    assert web.post("w1", pieces()).status_code == 413
    assert web.rows() == []
    assert web.post("w1", b"x" * 300_000).status_code == 202


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br"])
def test_packed_content_is_refused(web_of, encoding) -> None:
    answer = web_of().post("w1", b"\x1f\x8b", Content_Encoding=encoding)
    assert answer.status_code == 415
    assert "без сжатия" in answer.json()["detail"]


def test_an_empty_body_is_refused(web_of) -> None:
    assert web_of().post("w1", b"").status_code == 400


@pytest.mark.feature("TECH-03")
def test_octets_are_kept_as_they_came(web_of) -> None:
    web = web_of()
    documents = [
        '<?xml version="1.0" encoding="windows-1251"?>\r\n<д а="ё">№ «Ёлка»</д>\n'.encode("cp1251"),
        b"\xef\xbb\xbf<a>\r\n</a>",
        bytes(range(256)) * 5000,
    ]
    types = ["text/xml", "application/xml", "application/octet-stream"]
    for document, kind in zip(documents, types, strict=True):
        assert web.post("w1", document, Content_Type=kind).status_code == 202
    assert web.post("w1", iter([b"in ", b"", b"chunks"])).status_code == 202
    assert web.bodies() == [*documents, b"in chunks"]
    assert [row[3]["http.content_type"] for row in web.rows()] == [*types, ""]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param(b"<a>", "обрывается", id="cut off"),
        pytest.param(b"<a></b>", "не правильный XML", id="malformed"),
        pytest.param(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE", id="external subset"),
        pytest.param(b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "DOCTYPE", id="entity"),
        pytest.param(b"<a>" * 300 + b"</a>" * 300, "Вложенность", id="deep"),
        pytest.param("<a>ё</a>".encode("cp1251"), "кодировке", id="encoding"),
    ],
)
def test_bad_xml_is_refused_at_once_and_not_journaled(web_of, document, words) -> None:
    web = web_of()
    answer = web.post("w1", document, Content_Type="application/xml; charset=utf-8")
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert web.rows() == []
    assert web.post("w1", b"<a/>", Content_Type="application/xml").status_code == 202


def test_what_is_not_said_to_be_xml_is_not_read_as_such(web_of) -> None:
    assert web_of().post("w1", b"<a>", Content_Type="text/plain").status_code == 202
    assert web_of(check_xml=False).post("w1", b"<a>", Content_Type="text/xml").status_code == 202


@pytest.mark.feature("BUS-02")
@pytest.mark.parametrize(
    "beginning",
    [
        b"Content-Length: 1000\r\n\r\n" + b"x" * 500,
        b"Content-Length: 1000000\r\n\r\n" + b"x" * 600_000,
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_client_that_breaks_off_leaves_nothing(web_of, beginning) -> None:
    web = web_of()
    parts = urlsplit(web.url)
    with socket.create_connection((parts.hostname, parts.port)) as client:
        client.sendall(b"POST /in/w1 HTTP/1.1\r\nHost: bus\r\nIdempotency-Key: k\r\n" + beginning)
    assert web.post("w1", b"whole", key="k").status_code == 202
    assert web.bodies() == [b"whole"]


@pytest.mark.feature("BUS-09")
def test_a_long_request_streams_into_an_attachment_with_memory_flat(web_of, token) -> None:
    web = web_of(body_most_bytes=1024 * 1024)
    piece, count = bytes(range(256)) * 4096, 50
    headers = {"Content_Type": "application/zip", "Content_Disposition": 'attachment; filename="..\\\\..\\\\etc/a.zip"'}
    tracemalloc.start()
    try:
        answer = web.post("erz.lists", (piece for _ in range(count)), token=token, key="big", **headers)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert answer.status_code == 202
    with web.bus.database.transaction() as connection:
        db = driver(connection)
        ((message),) = web.bus.journal.load(db, [web.rows()[0][0]])
        (attachment,) = message.attachments
        assert message.body == b""
        assert (attachment.name, attachment.media_type) == ("a.zip", "application/zip")
        assert attachment.open is not None
        with attachment.open() as content:
            assert sum(len(one) for one in iter(lambda: content.read(1024 * 1024), b"")) == count * len(piece)
    again = web.post("erz.lists", (piece for _ in range(count)), token=token, key="big", **headers)
    assert again.json() == {"message_id": answer.json()["message_id"], "repeated": True}
    other = web.post("erz.lists", (piece for _ in range(count - 1)), token=token, key="big", **headers)
    assert other.status_code == 409


def test_a_body_that_went_through_the_disk_is_a_body_still(web_of) -> None:
    web = web_of()
    document = b"<a>" + b"<b>1</b>" * 100_000 + b"</a>"
    assert web.post("w1", document, Content_Type="text/xml").status_code == 202
    assert web.post("w1", document[:-1], Content_Type="text/xml").status_code == 400
    assert web.bodies() == [document]


def test_a_full_disk_is_answered_503(web_of, tmp_path) -> None:
    answer = web_of(spool_dir=tmp_path / "absent").post("w1", b"x" * 1_000_000)
    assert answer.status_code == 503
    assert "диске" in answer.json()["detail"]


def test_hundred_requests_on_one_connection(web_of) -> None:
    web = web_of()
    parts = urlsplit(web.url)
    request = b"POST /in/w1 HTTP/1.1\r\nHost: bus\r\nContent-Length: 2\r\n\r\nok"
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as client:
        client.sendall(request * 100)  # pipelined
        seen = b""
        while seen.count(b'"repeated": false}') < 100:
            seen += client.recv(65536)
    assert len(web.rows()) == 100
