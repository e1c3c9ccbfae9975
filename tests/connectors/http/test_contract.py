"""The sink keeps the contract of connectors, with a real HTTP server as the partner."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.http.connector import Http, Settings, connect
from core.message import Attachment, Message
from core.testing.connectors import ConnectorContract, Offered

_numbers = itertools.count(1)
TOKEN = "partner-secret-c0ffee-c0ffee"


class Posting:
    """The partner at the suite's command."""

    source = ""
    sink = "partner"
    exceptions: Mapping[str, str] = {}
    secrets: Sequence[str] = (TOKEN,)
    patience = 1

    def __init__(self, partner: Any, say: Any, say_raw: Any, token_file: Path) -> None:
        self._partner = partner
        self._say = say
        self._raw = say_raw
        token_file.write_text(TOKEN)
        self._settings = Settings(
            type="http", url=partner.url, token_file=token_file, connect_timeout_s=2, answer_timeout_s=1
        )

    def connector(self) -> Http:
        return connect("partner", self._settings)

    def offer(self) -> Offered:
        raise AssertionError("nothing is polled: the intake is tested over a real server (test_source.py)")

    offer_bad = offer

    def intact(self, message: Message, offered: Offered) -> bool:
        raise AssertionError("nothing is polled")

    def time_passes(self) -> None:
        """Nothing waits here."""

    def outgoing(self) -> Message:
        return Message(kind="far.letter", body=f"<письмо номер='{next(_numbers)}'/>".encode("cp1251"))

    def unfit(self) -> Sequence[Message]:
        scan = Attachment("a.pdf", open=lambda: open(__file__, "rb"))  # noqa: SIM115
        return [
            Message(kind="far.letter", body=b""),
            Message(kind="far.letter", body=b"<a/>", attachments=(scan,)),
            Message(kind="far.letter", body=b"", attachments=(scan, scan)),
            Message(kind="far.letter", body=b"", attachments=(Attachment("a.pdf"),)),
        ]

    def arrived(self, message: Message) -> int:
        return sum(body == message.body for body in self._partner.effects.values())

    def contacts(self) -> int:
        return int(self._partner.contacts)

    def break_down(self) -> None:
        self._partner.break_down()

    def restore(self) -> None:
        self._partner.restore()

    def misbehaviours(self) -> Mapping[str, Callable[[], None]]:
        say, raw = self._say, self._raw
        answers = {
            "не HTTP": raw(bytes(range(256))),
            "молчит и кладёт трубку": raw(b""),
            "обрыв заголовков": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
            "обрыв тела": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
            "обрыв по частям": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
            "не число в части": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
            "отрицательная длина": raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc"),
            "бесконечные заголовки": raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n"),
            "длинный заголовок": raw(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n"),
            "по кругу": say(302, Location=self._partner.url),
            "чужой Retry-After": say(503, Retry_After="завтра".encode().decode("latin-1")),
            **{f"HTTP {status}": say(status, b"<html/>") for status in (204, 400, 401, 409, 418, 429, 500, 502, 599)},
        }
        return {name: lambda answer=answer: self._partner.will(answer) for name, answer in answers.items()}


class TestContract(ConnectorContract):
    @pytest.fixture
    def harness(self, partner, say, say_raw, tmp_path) -> Posting:
        return Posting(partner, say, say_raw, tmp_path / "token")
