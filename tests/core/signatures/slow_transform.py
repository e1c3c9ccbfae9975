"""The СМЭВ transform written straight from FACTS §4, one step after another, with no thought of speed.

The tests hold the quick implementation against this one. It walks a tree that Python's own ElementTree made
of the canonical octets, so it shares no code with what it checks.
"""

from __future__ import annotations

import io
import xml.sax
import xml.sax.handler
from dataclasses import dataclass, field


@dataclass
class _Node:
    uri: str
    local: str
    attributes: list[tuple[str, str, str]]
    content: list[_Node | str] = field(default_factory=list)


class _Builder(xml.sax.handler.ContentHandler):
    """Builds nodes; an instruction parts the text around it, a comment does not (C14N has removed it)."""

    def __init__(self) -> None:
        super().__init__()
        self.root: _Node | None = None
        self._open: list[_Node] = []
        self._parted = True

    def startElementNS(self, name, qname, attrs):  # type: ignore[no-untyped-def]
        node = _Node(name[0] or "", name[1], [(key[0] or "", key[1], attrs.getValue(key)) for key in attrs.getNames()])
        if self._open:
            self._open[-1].content.append(node)
        else:
            self.root = node
        self._open.append(node)
        self._parted = True

    def endElementNS(self, name, qname):  # type: ignore[no-untyped-def]
        self._open.pop()
        self._parted = True

    def characters(self, content):  # type: ignore[no-untyped-def]
        inside = self._open[-1].content
        if self._parted:
            inside.append(content)
            self._parted = False
        else:
            inside[-1] += content

    def processingInstruction(self, target, data):  # type: ignore[no-untyped-def]
        self._parted = True


def slow_transform(canonical: bytes, escaping: str = "woodstox") -> bytes:
    """The transform of canonical octets. Raises ValueError for an element without a namespace."""
    builder = _Builder()
    parser = xml.sax.make_parser()
    parser.setFeature(xml.sax.handler.feature_namespaces, True)
    parser.setContentHandler(builder)
    parser.parse(io.BytesIO(canonical))
    assert builder.root is not None
    counter = [0]

    def find(stack: list[list[tuple[str, str]]], uri: str) -> str | None:
        return next((prefix for level in stack for known, prefix in level if known == uri), None)

    def write(node: _Node, stack: list[list[tuple[str, str]]]) -> str:
        if not node.uri:
            raise ValueError("element without a namespace")
        mine: list[tuple[str, str]] = []
        stack = [*stack, mine]

        def prefix_of(uri: str) -> str:
            prefix = find(stack, uri)
            if prefix is None:
                counter[0] += 1
                prefix = f"ns{counter[0]}"
                mine.append((uri, prefix))
            return prefix

        def order(item: tuple[str, str, str]) -> tuple[bool, bytes, bytes]:
            return not item[0], item[0].encode("utf-16-be"), item[1].encode("utf-16-be")

        name = f"{prefix_of(node.uri)}:{node.local}"
        attributes = []
        for uri, local, value in sorted(node.attributes, key=order):
            shown = f"{prefix_of(uri)}:{local}" if uri else local
            attributes.append(f' {shown}="{attribute(value, escaping)}"')
        declarations = "".join(f' xmlns:{prefix}="{attribute(uri, escaping)}"' for uri, prefix in mine)
        inside = "".join(
            write(item, stack) if isinstance(item, _Node) else text(item, escaping) for item in node.content
        )
        return f"<{name}{declarations}{''.join(attributes)}>{inside}</{name}>"

    return write(builder.root, []).encode()


def attribute(value: str, escaping: str) -> str:
    cr, lf, tab = ("&#xd;", "&#xa;", "&#x9;") if escaping == "woodstox" else ("&#xD;", "&#xA;", "&#x9;")
    return "".join(
        {"<": "&lt;", "&": "&amp;", '"': "&quot;", "\t": tab, "\n": lf, "\r": cr}.get(char, char) for char in value
    )


def text(value: str, escaping: str) -> str:
    if all(char <= " " for char in value):
        return ""
    if escaping == "c14n":
        return "".join({"<": "&lt;", "&": "&amp;", ">": "&gt;", "\r": "&#xD;"}.get(char, char) for char in value)
    octets = value.encode("utf-16-le")
    units = [octets[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(octets), 2)]
    chunks = [units[i : i + 512] for i in range(0, len(units), 512)] if len(units) >= 12 else [units]
    result = ""
    for chunk in chunks:
        escaped_before = False
        for index, char in enumerate(chunk):
            shown = {"<": "&lt;", "&": "&amp;", "\r": "&#xd;"}.get(char, char)
            if char == ">" and (index == 0 or chunk[index - 1] == "]" or (len(units) >= 12 and escaped_before)):
                shown = "&gt;"
            escaped_before = shown != char
            result += shown
    return result.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
