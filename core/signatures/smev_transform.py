"""The transform `urn://smev-gov-ru/xmldsig/transform` (FACTS §4): the octets that СМЭВ hashes.

Plain Python, and quick because it never walks a tree. libxml2 writes the exclusive canonical form, in which
every `<` begins a tag, attributes already stand in order, and namespaces are declared where they are first
used, which is also where the transform declares its own. So nearly every tag needs one thing: another prefix.

The octets are split at `<`. A piece is answered by the shortest way that is right for it:

    `p:Name attributes>text` and `/p:Name>`    the new prefix and the rest, untouched
    one declaration, of the element's own prefix    `_start_tag`: a new prefix for the element and its content
    more declarations, qualified attributes    `_sorted_start_tag`: attributes are read and sorted anew

Texts are dealt with beforehand, for the whole document at once, and only where the two kinds of escaping
differ. A slow and obvious implementation in the tests must agree with this one on random trees.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from lxml import etree

from core import xml
from core.errors import SignatureRejected

Escaping = Literal["woodstox", "c14n"]

TRANSFORM_URI: Final = "urn://smev-gov-ru/xmldsig/transform"
XML_NAMESPACE: Final = b"http://www.w3.org/XML/1998/namespace"

_SHORT_TEXT_UNITS: Final = 12
_CHUNK_UNITS: Final = 512
_REMEMBERED_HEADS: Final = 2048
_REMEMBERED_HEAD_BYTES: Final = 512
# octets as numbers: `58 in octets` is memchr, `b":" in octets` is five times slower
_SLASH: Final = 0x2F
_COLON: Final = 0x3A
_EQUALS: Final = 0x3D
_QUESTION: Final = 0x3F

_INSTRUCTION: Final = re.compile(rb"<\?.*?\?>", re.DOTALL)
_BLANK_TEXT: Final = re.compile(rb">[ \t\n]++<")
_BLANK_TEXT_WITH_CR: Final = re.compile(rb">(?:[ \t\n]++|&#x[dD];)++<")
_TEXT_WITH_GREATER: Final = re.compile(rb">([^<>]*&gt;[^<]*)")
_TAG: Final = re.compile(rb'([^">]*(?:"[^"]*"[^">]*)*)>(.*)', re.DOTALL)
_ATTRIBUTE: Final = re.compile(rb' ([^ ="]+)="([^"]*)"')
_QUALIFIED_ATTRIBUTE: Final = re.compile(rb' [^ =":<>]+:[^ =":<>]+="')
_ANY_ATTRIBUTE: Final = re.compile(rb' [^ ="<>]+="')
_OWN_DECLARATION: Final = re.compile(rb'(?:([^:<>" ]+):)?([^:<>" ]+) xmlns(?::([^:=<>" ]+))?="([^"&<\t\n\r]+)"?')
_ASTRAL_LEADS: Final = (0xF0, 0xF1, 0xF2, 0xF3, 0xF4)
_ESCAPES: Final = {"<": "&lt;", "&": "&amp;", "\r": "&#xd;", ">": "&gt;"}
# `>` is escaped as the first character and after `]`; in longer texts also right after anything escaped
_SINGLE: Final = re.compile(r"\A>|(?<=\])>|[<&\r]")
_CHAINED: Final = re.compile(r"(?:\A>|(?<=\])>|[<&\r])[><&\r]*+")


# source prefix, namespace, `:local`
_Head = tuple[bytes, bytes, bytes]
_HEADS: Final[dict[bytes, _Head]] = {}
# generated prefix, `:local`; declared here: source prefix -> namespace; new here: namespace -> generated prefix
_StartTag = tuple[bytes, bytes, dict[bytes, bytes], dict[bytes, bytes]]


class Untransformable(SignatureRejected):
    """Элемент нельзя преобразовать по правилам СМЭВ (например, он вне пространства имён)."""


# What holds for the content of an element; none of it changes once the content has begun.
# source prefix `p` -> `<nsN:` and `/p` -> `</nsN:` (the default namespace has the empty prefix)
_Names = dict[bytes, bytes]
# namespace -> `nsN`
_Generated = dict[bytes, bytes]


def transform(source: bytes | etree._Element, *, escaping: Escaping = "woodstox") -> bytes:
    """The octets to hash for a whole document (bytes: its root element) or for one element of a tree.

    escaping: `woodstox` (МР 3.5.0.27 and later: the reference serializer) or `c14n` (FACTS §4, step 9).
    Raises core.errors.MalformedXml for bytes that are not XML, Untransformable for an element without a namespace.
    """
    element = xml.parse(source) if isinstance(source, bytes) else source
    return transform_canonical(canonical(element), escaping=escaping)


def canonical(element: etree._Element) -> bytes:
    """Exclusive canonical form without comments of one element: the first transform of every СМЭВ signature.

    Raises Untransformable where C14N gives up: a relative namespace URI.
    """
    try:
        octets: bytes = etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    except etree.C14NError as error:
        raise Untransformable(
            "Элемент не приводится к каноническому виду: пространства имён должны быть полными URI.", detail=str(error)
        ) from None
    return octets


def transform_canonical(octets: bytes, *, escaping: Escaping = "woodstox") -> bytes:
    """The transform of octets that ARE an exclusive canonical form (of one element, without comments).

    Raises Untransformable.
    """
    try:
        return b"".join(_renamed(_with_texts(octets, escaping)))
    except (KeyError, IndexError, ValueError):
        raise _not_canonical() from None


def _with_texts(octets: bytes, escaping: Escaping) -> bytes:
    """Steps 1, 2 and 9: instructions and blank texts gone, characters escaped as the result wants them."""
    # One octet is looked for by memchr, twenty times faster than a word: ask for the octet first.
    if 0x3F in octets and b"<?" in octets:
        # What remains of an instruction keeps the two texts around it apart, as the reference sees them.
        octets = _INSTRUCTION.sub(b"<?>", octets)
    blank, escaped = _BLANK_TEXT, 0x26 in octets
    if escaped and b"&#x" in octets:
        blank = _BLANK_TEXT_WITH_CR
        if escaping == "woodstox":
            octets = octets.replace(b"&#xD;", b"&#xd;").replace(b"&#xA;", b"&#xa;")
    if 0x0A in octets or 0x09 in octets or b" <" in octets or blank is _BLANK_TEXT_WITH_CR:
        octets = blank.sub(b"><", octets)
    if escaped and escaping == "woodstox" and b"&gt;" in octets:
        octets = _TEXT_WITH_GREATER.sub(_woodstox_text, octets)
    return octets


def _renamed(octets: bytes) -> list[bytes]:
    """Steps 3 to 7: every tag under its generated prefix, in pieces to be joined."""
    mark, special = _COLON, _QUALIFIED_ATTRIBUTE.search
    if any(lead in octets for lead in _ASTRAL_LEADS):
        # Names beyond U+FFFF sort differently in UTF-16, so every tag with attributes goes the long way.
        mark, special = _EQUALS, _ANY_ATTRIBUTE.search
    names: _Names = {}
    generated: _Generated = {}
    name_of = names.get
    outer: list[tuple[int, _Names, _Generated]] = []
    depth, floor = 0, -1  # floor: the depth at which the innermost declaring element ends
    counter = 1
    out: list[bytes] = []
    write, heads = out.append, _HEADS

    pieces = octets.split(b"<")
    if pieces[0]:
        raise _not_canonical()
    numbered = enumerate(pieces)
    next(numbered)
    for index, piece in numbered:
        prefix, _, rest = piece.partition(b":")
        name = name_of(prefix)
        if piece[0] == _SLASH:
            if name is not None:
                write(name + rest)
            else:
                write(names[b"/"] + piece[1:])
            depth -= 1
            if depth == floor:
                floor, names, generated = outer.pop()
                name_of = names.get
            continue
        if name is not None:
            if mark not in rest:
                write(name + rest)
                depth += 1
                continue
        elif piece[0] == _QUESTION:
            write(piece[2:])
            continue
        else:
            name, rest = name_of(b""), piece
            if name is not None and mark not in piece and (_EQUALS not in piece or piece.find(b" xmlns=") < 0):
                write(name + piece)
                depth += 1
                continue

        # A colon: the tag declares, or has a qualified attribute, or there is nothing but a colon in a value.
        tag, _, text = piece.partition(b">")
        head, _, others = tag.partition(b'" ')
        known = heads.get(head)
        if known is None:
            if name is not None and special(piece) is None and piece.find(b" xmlns=") < 0:
                write(name + rest)
                depth += 1
                continue
            known = _learn(head)
        if known is None or (others and (mark in others or others.count(b'"') & 1)):
            own, ending, declared, new = _sorted_start_tag(piece, names, generated, counter, out)
            counter += len(new)
            known = None
        else:
            prefix, uri, ending = known
            if (own := generated.get(uri)) is None:  # type: ignore[assignment]
                own = b"ns%d" % counter
                counter += 1
                out += (b"<", own, ending, b" xmlns:", own, b'="', uri, b'"')
            else:
                out += (b"<", own, ending)
            if others:
                out += (b" ", others)
            out += (b">", text)

        if (end := pieces[index + 1])[0] == _SLASH:  # no elements inside: nobody needs to know what was declared
            next(numbered)
            out += (b"</", own, ending, end[end.index(b">") :])
            continue
        if known is not None:
            declared, new = {prefix: uri}, {uri: own}
        if declared:
            outer.append((floor, names, generated))
            floor = depth
            names, generated = _declare(names, generated, declared, new)
            name_of = names.get
        depth += 1
    if depth or not out:
        raise _not_canonical()
    return out


def _declare(
    names: _Names, generated: _Generated, declared: dict[bytes, bytes], new: _Generated
) -> tuple[_Names, _Generated]:
    """What holds inside of an element that declares. Every namespace in `declared` has its prefix in the result."""
    inner = generated | new
    changed = names.copy()
    for prefix, uri in declared.items():
        if uri:
            own = inner[uri]
            changed[prefix] = b"<" + own + b":"
            changed[b"/" + prefix] = b"</" + own + b":"
        else:  # xmlns=""
            changed.pop(prefix, None)
            changed.pop(b"/" + prefix, None)
    return changed, inner


def _learn(head: bytes) -> _Head | None:
    """What `p:Name xmlns:p="namespace` says; None for anything else. Remembered: the vocabulary of a kind is small."""
    match = _OWN_DECLARATION.fullmatch(head) if len(head) < _REMEMBERED_HEAD_BYTES else None
    if match is None or match[1] != match[3]:
        return None
    if len(_HEADS) >= _REMEMBERED_HEADS:
        _HEADS.clear()
    known = _HEADS[head] = match[1] or b"", match[4], b":" + match[2]
    return known


def _sorted_start_tag(piece: bytes, names: _Names, generated: _Generated, counter: int, out: list[bytes]) -> _StartTag:
    """The long way: every declaration read, every attribute sorted anew (steps 3 to 6); then the text."""
    match = _TAG.fullmatch(piece)
    if match is None:
        raise _not_canonical()
    tag, text = match.groups()
    qname, _, _ = tag.partition(b" ")
    prefix, colon, local = qname.partition(b":")
    if not colon:
        prefix, local = b"", qname
    found = _ATTRIBUTE.findall(tag, len(qname))
    if len(qname) + sum(map(len, map(b"".join, found))) + 4 * len(found) != len(tag):
        raise _not_canonical()
    declared: dict[bytes, bytes] = {}
    plain: list[tuple[bytes, bytes]] = []
    prefixed: list[tuple[bytes, bytes, bytes]] = []
    for name, value in found:
        if name == b"xmlns" or name[:6] == b"xmlns:":
            declared[name[6:]] = value
        elif _COLON in name:
            before, _, after = name.partition(b":")
            prefixed.append((_uri_of(before, declared, names, generated), after, value))
        else:
            plain.append((name, value))
    prefixed.sort(key=_order_qualified)
    plain.sort(key=_order_plain)

    parts: list[bytes] = []
    new: _Generated = {}
    namespace = _uri_of(prefix, declared, names, generated)
    for uri in (namespace, *(item[0] for item in prefixed)):
        if uri not in generated and uri not in new:
            new[uri] = b"ns%d" % (counter + len(new))
            parts.append(b' xmlns:%b="%b"' % (new[uri], _escaped_uri(uri)))
    known = generated | new
    parts += [b' %b:%b="%b"' % (known[uri], after, value) for uri, after, value in prefixed]
    parts += [b' %b="%b"' % item for item in plain]
    out += (b"<", known[namespace], b":", local, *parts, b">", text)
    if XML_NAMESPACE in new:  # the one prefix that is used and never declared
        declared[b"xml"] = XML_NAMESPACE
    return known[namespace], b":" + local, declared, new


def _uri_of(prefix: bytes, declared: dict[bytes, bytes], names: _Names, generated: _Generated) -> bytes:
    """The namespace of a source prefix. Raises Untransformable when it is none."""
    uri = declared.get(prefix)
    if uri is None and prefix == b"xml":
        return XML_NAMESPACE
    if uri is None and prefix in names:
        own = names[prefix][1:-1]
        uri = next(known for known, name in generated.items() if name == own)
    if not uri:
        raise _without_namespace()
    return uri


def _order_qualified(item: tuple[bytes, bytes, bytes]) -> tuple[bytes, bytes]:
    return _utf16(item[0]), _utf16(item[1])


def _order_plain(item: tuple[bytes, bytes]) -> bytes:
    return _utf16(item[0])


def _utf16(octets: bytes) -> bytes:
    """A sort key in the order of UTF-16 code units (step 4)."""
    return octets.decode().encode("utf-16-be")


def _escaped_uri(uri: bytes) -> bytes:
    """libxml2 prints namespace names raw: escape what XML forbids."""
    if b"&" in uri or b"\t" in uri or b"\n" in uri or b"\r" in uri:
        return uri.replace(b"&", b"&amp;").replace(b"\t", b"&#x9;").replace(b"\n", b"&#xa;").replace(b"\r", b"&#xd;")
    return uri


def _woodstox_text(match: re.Match[bytes]) -> bytes:
    """One text with a `&gt;` in it, escaped as Woodstox does (step 9). In: C14N escapes, but CR as `&#xd;`."""
    raw = match[1].decode().replace("&#xd;", "\r").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    units = raw.encode("utf-16-le")
    count = len(units) // 2
    if count < _SHORT_TEXT_UNITS:
        return b">" + _SINGLE.sub(_escape, raw).encode()
    # Chunks are cut between UTF-16 code units, as in Java: a surrogate pair may be cut in two.
    text = raw if count == len(raw) else "".join(map(chr, memoryview(units).cast("H")))
    escaped = "".join(
        _CHAINED.sub(_escape, text[start : start + _CHUNK_UNITS]) for start in range(0, count, _CHUNK_UNITS)
    )
    return b">" + escaped.encode("utf-16-le", "surrogatepass").decode("utf-16-le").encode()


def _escape(match: re.Match[str]) -> str:
    return "".join(map(_ESCAPES.__getitem__, match[0]))


def _not_canonical() -> Untransformable:
    return Untransformable(
        "Элемент не преобразуется по правилам СМЭВ: проверьте имена и пространства имён в подписываемом элементе."
    )


def _without_namespace() -> Untransformable:
    return Untransformable(
        "В подписываемом элементе есть элемент без пространства имён: СМЭВ такие не принимает, "
        "укажите xmlns по схеме вида сведений."
    )
