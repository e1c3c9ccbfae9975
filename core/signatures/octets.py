"""Where each element of a document stands in its octets, and how to put a signature there without touching the rest.

Only for tools: the connector builds its envelopes with the gap already known. What was read is what goes out,
byte for byte, save for the one place where the signature is put.
"""

from __future__ import annotations

import xml.parsers.expat
from dataclasses import dataclass
from typing import Final

from lxml import etree

from core.errors import ConfigError

_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class Span:
    """Octet offsets of one element. content_end: where its end tag begins (equal to `end` when self-closed)."""

    begin: int
    content_end: int = 0
    end: int = 0


def spans(data: bytes) -> list[Span]:
    """The span of every element in document order. data: a document that `core.xml.parse` has accepted.

    Raises ConfigError for an encoding in which we do not cut octets (UTF-16).
    """
    if data[:2] in _UTF16_MARKS:
        raise ConfigError("Документ в UTF-16 подписать нельзя: перекодируйте его в UTF-8, как требует СМЭВ.")
    parser = xml.parsers.expat.ParserCreate()
    found: list[Span] = []
    open_: list[Span] = []
    fresh = False  # nothing has come since the last start tag

    def start(_name: str, _attributes: dict[str, str]) -> None:
        nonlocal fresh
        open_.append(Span(parser.CurrentByteIndex))
        found.append(open_[-1])
        fresh = True

    def end(_name: str) -> None:
        nonlocal fresh
        span, index = open_.pop(), parser.CurrentByteIndex
        self_closed = fresh and data[index - 2 : index] == b"/>"
        span.content_end = index
        span.end = index if self_closed else data.index(b">", index) + 1
        fresh = False

    def other(*_anything: object) -> None:
        nonlocal fresh
        fresh = False

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = parser.CommentHandler = parser.ProcessingInstructionHandler = other
    parser.StartCdataSectionHandler = other
    try:
        parser.Parse(data, True)
    except xml.parsers.expat.ExpatError as error:
        raise ConfigError(
            "В документе есть имена, которые разбирают не все: переименуйте элементы.", detail=str(error)
        ) from None
    return found


def span_of(data: bytes, root: etree._Element, element: etree._Element) -> Span:
    """The span of one element of the tree that was parsed from `data`."""
    elements = [item for item in root.iter() if isinstance(item.tag, str)]
    return spans(data)[elements.index(element)]


def filled(data: bytes, span: Span, content: bytes) -> bytes:
    """The document with `content` as the whole content of the (empty) element at `span`."""
    tag = data[span.begin : span.end]
    if span.content_end == span.end:  # <name …/>
        name = tag[1:-2].split(None, 1)[0]
        return data[: span.begin] + tag[:-2].rstrip() + b">" + content + b"</" + name + b">" + data[span.end :]
    closing = data[span.content_end : span.end]
    opening = tag[: span.content_end - span.begin].rstrip()
    return data[: span.begin] + opening + content + closing + data[span.end :]


def inserted(data: bytes, offset: int, content: bytes) -> bytes:
    """The document with `content` put in at `offset`."""
    return data[:offset] + content + data[offset:]
