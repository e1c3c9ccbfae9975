"""What a client of the intake is told: 202 with the message's id, or a problem that says in Russian what to do.

Plain clients get JSON (`application/problem+json`, RFC 9457), those that speak SOAP an Envelope of their version
(connectors.http.soap).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from connectors.http import soap
from core.connector import Event

Header = tuple[bytes, bytes]

_ACCEPTED: Final = 202
_JSON: Final[Header] = (b"content-type", b"application/json")
_PROBLEM: Final[Header] = (b"content-type", b"application/problem+json; charset=utf-8")
CLOSE: Final[Header] = (b"connection", b"close")

TITLES: Final = {
    400: "Запрос неправилен",
    401: "Нужен токен",
    403: "Нет права на очередь",
    404: "Нет такой очереди",
    405: "Метод не поддерживается",
    409: "Ключ уже занят другим содержимым",
    413: "Запрос слишком велик",
    415: "Такое содержимое не принимается",
    500: "Ошибка приёма",
    503: "Приём сейчас невозможен",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, ready to be sent."""

    status: int
    headers: list[Header]
    body: bytes

    def start(self) -> Event:
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}

    def rest(self) -> Event:
        return {"type": "http.response.body", "body": self.body}


class Refused(Exception):
    """The request is not taken. `code` is for programs, `detail` Russian and for the client's people."""

    def __init__(self, status: int, code: str, detail: str, *headers: Header) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers

    def answer(self, version: str) -> Answer:
        """version: of SOAP; "" for a plain client."""
        if version:
            body = soap.fault(version, self.status, self.code, f"{TITLES[self.status]}. {self.detail}")
            status, kind = soap.status_of(version, self.status), (b"content-type", soap.CONTENT_TYPES[version])
        else:
            problem = {
                "type": f"urn:omsbus:intake:{self.code}",
                "title": TITLES[self.status],
                "status": self.status,
                "detail": self.detail,
            }
            body = json.dumps(problem, ensure_ascii=False).encode()
            status, kind = self.status, _PROBLEM
        return Answer(status, [kind, (b"content-length", b"%d" % len(body)), *self.headers], body)


def accepted(version: str, message_id: str, *, repeated: bool) -> Answer:
    """The message is in the journal: 202, but 200 to a SOAP client, which takes 202 for an answer without content."""
    if version:
        body = soap.accepted(version, message_id, repeated=repeated)
        status, kind = 200, (b"content-type", soap.CONTENT_TYPES[version])
    else:
        body = b'{"message_id": "%b", "repeated": %b}' % (message_id.encode(), b"true" if repeated else b"false")
        status, kind = _ACCEPTED, _JSON
    length = (b"content-length", b"%d" % len(body))
    return Answer(status, [kind, length, (b"x-message-id", message_id.encode())], body)
