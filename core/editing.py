"""Bodies as text that a person edits: laid out, checked as its route would, compared line by line."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from lxml import etree

from core import stages, xml
from core.discovery import Routes
from core.errors import BusError, MalformedXml, Permanent, SchemaViolation, UnknownKind
from core.message import Message
from core.xsd_words import in_russian

EDIT_MOST_BYTES: Final = 512 * 1024
"""A longer body is no work for a text box. A form of the console takes twice as much."""
ELEMENTS_A_LINE: Final = 3
"""A document with at least a line for so many elements was laid out by its author and stays so."""
CONTEXT_LINES: Final = 3
"""Equal lines shown around a difference."""
MATCHED_MOST: Final = 1500
"""Lines of a change that are matched one with another; a longer change is shown as a block for a block."""
SHOWN_MOST: Final = 4000
"""Rows of a difference."""
_DECLARATION: Final = re.compile(r"\A\ufeff?\s*<\?xml\b[^>]*?\?>", re.DOTALL)
_ENCODING: Final = re.compile(r"""(encoding\s*=\s*)(["'])([A-Za-z0-9._-]+)\2""")
_ERROR_LINE: Final = re.compile(r"(\d+): (.*)")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a difference, old on the left, new on the right; numbers from 1, None where a side has no line.

    kind: same, changed, removed, added, gap (so many equal lines `skipped`).
    left, right: the line in three pieces, of which the middle one differs.
    """

    kind: str
    left_no: int | None = None
    left: tuple[str, str, str] = ("", "", "")
    right_no: int | None = None
    right: tuple[str, str, str] = ("", "", "")
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text would not be taken. lines: (line, what is wrong there); they may quote the document."""

    reason: str
    lines: tuple[tuple[int, str], ...] = ()


def text_of(octets: bytes) -> str:
    """A body as text that a person can read: what has no lines gets them where that changes nothing.

    Raises Permanent for what is no text.
    """
    try:
        root = xml.parse(octets)
    except MalformedXml:
        return _lines(_json(_decoded(octets)))
    with contextlib.suppress(Permanent):  # an encoding that only the parser understands
        text = _lines(_as_utf8(_decoded(octets)))
        if text.count("\n") * ELEMENTS_A_LINE >= sum(1 for _ in root.iter("*")):
            return text
    etree.indent(root, space="  ")
    before = [*root.itersiblings(preceding=True)][::-1]
    pieces = [etree.tostring(one, encoding="unicode", with_tail=False) for one in (*before, root, *root.itersiblings())]
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', *pieces, ""])


def octets_of(text: str) -> bytes:
    """What a person wrote, as UTF-8; an XML declaration is made to say so. Raises Permanent."""
    text = _as_utf8(_lines(text))
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        raise Permanent("В тексте есть знаки, которых нет в Юникоде: удалите их") from None
    if len(octets) > EDIT_MOST_BYTES:
        raise too_long()
    return octets


def too_long() -> Permanent:
    most = EDIT_MOST_BYTES // 1024
    return Permanent(f"Содержимое больше {most} КБ: в редакторе такое не правят, попросите отправителя прислать новое")


def check(routes: Routes, queue: str, message: Message) -> Message:
    """The message as its queue would take it: kind and version by its root. Raises whatever the stages raise.

    queue "": by its root, for what no route has taken so far. A queue that is no route has no schema: only that XML is
    well-formed is checked.
    """
    if not queue:
        message = message.but(kind=str(xml.parse(message.body).tag), queue="")
        route, version = routes.of(message)
        if route is None:
            raise UnknownKind("Такой корневой элемент по-прежнему не принимает ни один вид сведений: исправьте его")
        message = message.but(version=version)
    else:
        route = routes.by_name.get(queue)
        if route is not None and route.formats and message.outcome in ("request", "answer"):
            message = message.but(version=stages.format_of(route, str(xml.parse(message.body).tag)).version)
    if route is None:
        if message.body.lstrip().startswith(b"<"):
            xml.parse(message.body)
        return message
    try:
        stages.apply(route, message)
    except BusError:
        raise
    except Exception as error:  # a transform's own program
        raise Permanent(
            f"Преобразование не справилось с этим содержимым ({type(error).__name__}): проверьте его или передайте "
            "разработчику"
        ) from error
    return message


def fault_of(error: BusError) -> Fault:
    """The sentence for the editor, without the advice that is for the sender, and the lines."""
    if isinstance(error, SchemaViolation):
        found = [_ERROR_LINE.fullmatch(one) for one in error.detail.splitlines()]
        lines = tuple((int(one[1]), in_russian(one[2])) for one in found if one)
        return Fault(error.reason.replace(" Отправитель должен исправить данные и прислать новое сообщение", ""), lines)
    return Fault(error.reason.replace(": исправьте документ у отправителя", ": исправьте документ"))


def difference(old: str, new: str) -> list[Row]:
    """Rows of the changed places with a few equal lines around each; at most SHOWN_MOST."""
    left, right = old.splitlines(), new.splitlines()
    rows: list[Row] = []
    for tag, i1, i2, j1, j2 in _opcodes(left, right):
        if tag == "equal":
            rows += [Row("same", i + 1, ("", left[i], ""), i - i1 + j1 + 1, ("", left[i], "")) for i in range(i1, i2)]
        else:
            rows += _changed(left[i1:i2], right[j1:j2], i1, j1)
    return _folded(rows)[:SHOWN_MOST]


def _opcodes(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Like SequenceMatcher's, which is only asked about what lies between the first and the last difference."""
    begin = _common(left, right)
    end = _common(left[begin:][::-1], right[begin:][::-1])
    middle_left, middle_right = left[begin : len(left) - end], right[begin : len(right) - end]
    yield "equal", 0, begin, 0, begin
    if max(len(middle_left), len(middle_right)) > MATCHED_MOST:
        yield "replace", begin, len(left) - end, begin, len(right) - end
    else:
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, middle_left, middle_right, autojunk=False).get_opcodes():
            yield tag, i1 + begin, i2 + begin, j1 + begin, j2 + begin
    yield "equal", len(left) - end, len(left), len(right) - end, len(right)


def _changed(left: Sequence[str], right: Sequence[str], left_at: int, right_at: int) -> Iterator[Row]:
    both = min(len(left), len(right))
    for place in range(both):
        yield Row("changed", left_at + place + 1, *_pieces(left[place], right[place], right_at + place + 1))
    for place in range(both, len(left)):
        yield Row("removed", left_at + place + 1, ("", left[place], ""))
    for place in range(both, len(right)):
        yield Row("added", None, ("", "", ""), right_at + place + 1, ("", right[place], ""))


def _pieces(old: str, new: str, right_no: int) -> tuple[tuple[str, str, str], int, tuple[str, str, str]]:
    begin = _common(old, new)
    end = _common(old[begin:][::-1], new[begin:][::-1])
    cut = [(one[:begin], one[begin : len(one) - end], one[len(one) - end :]) for one in (old, new)]
    return cut[0], right_no, cut[1]


def _folded(rows: list[Row]) -> list[Row]:
    near = {
        place + step
        for place, row in enumerate(rows)
        if row.kind != "same"
        for step in range(-CONTEXT_LINES, CONTEXT_LINES + 1)
    }
    folded: list[Row] = []
    skipped = 0
    for place, row in enumerate(rows):
        if place in near:
            if skipped:
                folded.append(Row("gap", skipped=skipped))
            skipped = 0
            folded.append(row)
        else:
            skipped += 1
    return [*folded, Row("gap", skipped=skipped)] if skipped else folded


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many are equal at the beginning."""
    for place, (mine, his) in enumerate(zip(one, other, strict=False)):
        if mine != his:
            return place
    return min(len(one), len(other))


def _as_utf8(text: str) -> str:
    """The same with a declaration, if there is one, that says UTF-8."""
    declared = _DECLARATION.match(text)
    if declared is None:
        return text
    return _ENCODING.sub(r"\1\2UTF-8\2", declared[0].lstrip("\ufeff").lstrip()) + text[declared.end() :]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(octets: bytes) -> str:
    """By the byte order mark, else by what an XML declaration says, else UTF-8."""
    encoding = "utf-8-sig"
    if octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif (declared := _DECLARATION.match(octets[:200].decode("latin-1"))) and (named := _ENCODING.search(declared[0])):
        encoding = "windows-1251" if named[3].lower() in ("windows-1251", "cp1251") else encoding
    try:
        text = octets.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Permanent("Содержимое не читается как текст, поправить его здесь нельзя: отклоните сообщение")
    return text


def _json(text: str) -> str:
    """Laid out, unless that would change a number's digits or lose a repeated name."""
    try:
        exact = json.loads(text, parse_float=str, object_pairs_hook=_pairs)
        made = json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"
        return made if json.loads(made, parse_float=str, object_pairs_hook=_pairs) == exact else text
    except (ValueError, RecursionError):
        return text


def _pairs(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return pairs
