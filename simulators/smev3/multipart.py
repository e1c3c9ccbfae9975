"""multipart/related with XOP, both ways, in the shape seen from СМЭВ (FACTS §1)."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import unquote

from simulators.smev3.envelopes import Content
from simulators.smev3.faults import SmevFault

ROOT_ID = "root.message@cxf.apache.org"
XML_TYPE = "text/xml; charset=UTF-8"
_TYPE = re.compile(r"^\s*multipart/related\b", re.IGNORECASE)


@dataclass(frozen=True)
class Parts:
    """A parsed message: the root part and the others by Content-ID without angle brackets."""

    root: bytes
    others: dict[str, bytes]
    is_multipart: bool


def parse(content_type: str, body: bytes) -> Parts:
    """Read a request of either shape. SmevFault without a name (soap:Client) when it is not one."""
    if not _TYPE.match(content_type):
        return Parts(body, {}, False)
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    parts = list(message.iter_parts()) if message.is_multipart() else []
    if not parts:
        raise SmevFault("", "Тело multipart/related не разбирается: проверьте boundary.", client=True)
    start = str(message.get_param("start") or "").strip("<>")
    by_id = {str(part["Content-ID"] or "").strip().strip("<>"): _octets(part) for part in parts}
    root = by_id.get(start) if start else None
    return Parts(root if root is not None else _octets(parts[0]), by_id, True)


def _octets(part: object) -> bytes:
    payload = part.get_payload(decode=True)  # type: ignore[attr-defined]
    return payload if isinstance(payload, bytes) else b""


def cid_of(href: str) -> str:
    """Content-ID of an xop:Include href (`cid:`, URL-encoded)."""
    return unquote(href.removeprefix("cid:"))


def build(root: bytes, contents: tuple[Content, ...] = ()) -> tuple[str, bytes]:
    """(Content-Type, body) of a multipart answer; contents with a `cid` become parts of their own."""
    boundary = f"uuid:{uuid.uuid4()}"
    lines = [
        b"--" + boundary.encode(),
        b'Content-Type: application/xop+xml; charset=UTF-8; type="text/xml"',
        b"Content-Transfer-Encoding: binary",
        f"Content-ID: <{ROOT_ID}>".encode(),
        b"",
        root,
    ]
    for one in contents:
        lines += [
            b"--" + boundary.encode(),
            f"Content-Type: {one.mime_type}".encode(),
            b"Content-Transfer-Encoding: binary",
            f"Content-ID: <{one.cid}>".encode(),
            b"",
            one.body,
        ]
    body = b"\r\n".join([*lines, b"--" + boundary.encode() + b"--", b""])
    content_type = (
        f'multipart/related; type="application/xop+xml"; boundary="{boundary}"; start="<{ROOT_ID}>";'
        ' start-info="text/xml"'
    )
    return content_type, body
