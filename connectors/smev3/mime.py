"""`multipart/related` answers of СМЭВ (MTOM): split the octets into parts without touching them."""

from __future__ import annotations

import binascii
import quopri
import re
from email.message import Message as MimeHeaders
from typing import Final

PARTS_MOST: Final = 1000
"""A body of more parts is refused: no list of the service holds more."""

CONTENT_TYPE_MOST: Final = 2000
"""Characters of the header that are looked at: `email` reads it in quadratic time."""

_HEADER: Final = re.compile(rb"^([A-Za-z-]+):[ \t]*((?:[^\r\n]|\r?\n[ \t])*)", re.MULTILINE)


class Broken(ValueError):
    """Не multipart или multipart, который обрывается."""


def split(body: bytes, content_type: str) -> tuple[bytes, dict[str, bytes]]:
    """Return the root part and the other parts by Content-ID (without angle brackets).

    content_type: of the HTTP answer; its `boundary` and `start` decide. Raises Broken, also for a body that
    lacks the closing boundary: its outcome is unknown.
    """
    header = MimeHeaders()
    header["Content-Type"] = content_type[:CONTENT_TYPE_MOST]
    try:
        boundary, start = header.get_param("boundary"), header.get_param("start")
    except (ValueError, TypeError):  # what `email` says to a numbered parameter with a wrong number
        raise Broken("заголовок Content-Type не читается") from None
    if not isinstance(boundary, str) or not boundary:
        raise Broken("в заголовке Content-Type нет boundary")
    wanted = start.strip("<>") if isinstance(start, str) else ""

    mark = b"--" + boundary.encode("latin-1", "replace")
    position = 0 if body.startswith(mark) else body.find(b"\n" + mark) + 1
    if position == 0 and not body.startswith(mark):
        raise Broken("нет ни одной границы частей")
    found: list[tuple[str, bytes]] = []
    while True:
        position += len(mark)
        if body[position : position + 2] == b"--":
            break
        end = body.find(b"\n" + mark, position)
        if end < 0:
            raise Broken("нет закрывающей границы: ответ обрывается")
        found.append(_part(body[position:end]))
        if len(found) > PARTS_MOST:
            raise Broken(f"частей больше {PARTS_MOST}")
        position = end + 1
    if not found:
        raise Broken("нет ни одной части")
    root = next((index for index, (name, _) in enumerate(found) if wanted and name == wanted), 0)
    others = {name: content for index, (name, content) in enumerate(found) if index != root and name}
    return found[root][1], others


def _part(piece: bytes) -> tuple[str, bytes]:
    """Content-ID and octets of one part; `piece` starts with the line end after its boundary."""
    piece = piece[:-1] if piece.endswith(b"\r") else piece
    line = piece.find(b"\n")
    rest = piece[line + 1 :]
    if rest.startswith((b"\n", b"\r\n")):
        head, content = b"", rest.lstrip(b"\r")[1:]
    else:
        blank = re.search(rb"\r?\n\r?\n", rest)
        if blank is None:
            raise Broken("у части нет пустой строки после заголовков")
        head, content = rest[: blank.start()], rest[blank.end() :]
    headers = {name.lower(): value.strip() for name, value in _HEADER.findall(head)}
    name = headers.get(b"content-id", b"").decode("latin-1").strip("<> ")
    coding = headers.get(b"content-transfer-encoding", b"binary").lower()
    if coding == b"base64":
        try:
            content = binascii.a2b_base64(content)
        except binascii.Error:
            raise Broken("часть в base64 повреждена") from None
    elif coding == b"quoted-printable":
        content = quopri.decodestring(content)
    return name, content
