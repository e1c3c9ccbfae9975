"""How an answer is spoiled on its way out. Pure functions from a sound envelope to a bad one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from simulators.smev3.multipart import XML_TYPE
from simulators.smev3.versions import SOAP

_DIGIT_OF_VALUE = re.compile(rb"(<(?:\w+:)?DigestValue>)(.)")
_PROLOG = b'<?xml version="1.0" encoding="UTF-8"?>\n'
HTML_504 = b"""<html><head><title>504 Gateway Time-out</title></head>
<body><center><h1>504 Gateway Time-out</h1></center><hr><center>nginx</center></body></html>"""


@dataclass(frozen=True)
class Answer:
    """What goes over the wire. `drop` closes the connection instead; `cut_at` sends only so many octets of the body.

    `envelope` is the SOAP envelope for the record (the root part of a multipart answer).
    """

    http_status: int
    content_type: str
    body: bytes = field(repr=False)
    envelope: bytes = field(default=b"", repr=False)
    is_multipart: bool = False
    drop: bool = False
    cut_at: int | None = None


DROPPED = Answer(0, "", b"", drop=True)
GATEWAY_TIMEOUT = Answer(504, "text/html; charset=UTF-8", HTML_504, HTML_504)
UNAVAILABLE = Answer(503, "text/plain; charset=UTF-8", b"")


def spoil_digest(text: bytes) -> bytes:
    """Change the first character of the last DigestValue, so that the digest does not hold."""
    found = list(_DIGIT_OF_VALUE.finditer(text))
    if not found:
        return text
    at = found[-1].start(2)
    return text[:at] + (b"B" if text[at : at + 1] == b"A" else b"A") + text[at + 1 :]


def plain(body: bytes, http_status: int = 200) -> Answer:
    return Answer(http_status, XML_TYPE, body, body)


def malformed(answer: Answer) -> Answer:
    return plain(answer.envelope.replace(b"</soap:Body>", b"</soap:Bod>", 1))


def not_utf8(answer: Answer) -> Answer:
    text = answer.envelope.decode().replace("<soap:Body>", "<soap:Body><!-- Кириллица не в той кодировке -->", 1)
    return plain(_PROLOG + text.encode("cp1251", "xmlcharrefreplace"))


def with_dtd(answer: Answer) -> Answer:
    doctype = b'<!DOCTYPE soap:Envelope [<!ENTITY leak SYSTEM "file:///etc/hostname">]>\n'
    return plain(_PROLOG + doctype + answer.envelope.replace(b"</soap:Body>", b"<!-- -->&leak;</soap:Body>", 1))


def entity_bomb(answer: Answer) -> Answer:
    entities = ['<!ENTITY e0 "тра-ля-ля">']
    entities += [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10)]
    doctype = f"<!DOCTYPE soap:Envelope [{''.join(entities)}]>\n".encode()
    return plain(_PROLOG + doctype + answer.envelope.replace(b"</soap:Body>", b"&e9;</soap:Body>", 1))


def deep_nesting(depth: int) -> Answer:
    opening, closing = b'<d xmlns="urn:deep">' + b"<d>" * (depth - 1), b"</d>" * depth
    return plain(_wrapped(opening + closing))


def huge_text(size: int) -> Answer:
    return plain(_wrapped(b'<d xmlns="urn:huge">' + b"x" * size + b"</d>"))


def broken_multipart(answer: Answer) -> Answer:
    """Declares one boundary, uses another, and never closes it."""
    body = b"--real\r\nContent-Type: application/xop+xml\r\nContent-ID: <root>\r\n\r\n" + answer.envelope[:-3]
    return Answer(200, 'multipart/related; type="application/xop+xml"; boundary="other"; start="<root>"', body, b"")


def _wrapped(body: bytes) -> bytes:
    return b'<soap:Envelope xmlns:soap="' + SOAP.encode() + b'"><soap:Body>' + body + b"</soap:Body></soap:Envelope>"
