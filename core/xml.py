"""The one door by which XML enters the bus: `parse` reads octets with a parser that grants nothing.

Promises: no DTD (a DOCTYPE is refused, so there are no entities, no default attributes, no external
subsets), no network, no XInclude, encodings UTF-8, UTF-16 and windows-1251 only, a document of at most
`MAX_DOCUMENT_BYTES`, nesting of at most `MAX_DEPTH`, a text node of at most `MAX_TEXT_BYTES`, at most
`MAX_ATTRIBUTES` an element, at most `MAX_NAMESPACES` in scope. Depth and text limits are libxml2's own
(`huge_tree=False`), so they cost nothing.
One parser a thread.

A document that breaks off is told apart (`TruncatedXml`): for an answer of the far side it means
"outcome unknown", not "refused".
"""

from __future__ import annotations

import contextlib
import re
import threading
from typing import Final

from lxml import etree

from core.errors import MalformedXml

MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 256
MAX_TEXT_BYTES: Final = 10_000_000
MAX_ATTRIBUTES: Final = 1000
MAX_NAMESPACES: Final = 1000
"""Declarations in scope at one place: libxml2's C14N looks through all of them at every element."""
MAX_MARKS: Final = 3_000_000
"""Marks `<` in one document. A tree takes some hundred bytes an element, however short its name is."""

_ENCODINGS: Final = frozenset(
    {None, "UTF-8", "UTF8", "US-ASCII", "ASCII", "UTF-16", "UTF-16LE", "UTF-16BE", "WINDOWS-1251", "CP1251"}
)
_PROLOG_DOCTYPE: Final = re.compile(rb"\A(?:\xef\xbb\xbf)?(?>\s|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
_ROOT_NAME: Final = re.compile(r"\A\ufeff?(?>\s|<\?.*?\?>|<!--.*?-->)*+<([^\s/>!?]+)", re.DOTALL)
_AFTER_ROOT: Final = re.compile(r"\s*+(?>\s|<\?.*?\?>|<!--.*?-->)*+\Z", re.DOTALL)
_END_OF_TAG: Final = re.compile(r"\s*+>")
_SELF_CLOSED: Final = re.compile(r"<[^<>]*/>")
# libxml2's C14N sorts attributes in quadratic time: 100,000 of them in 1 MB cost half a minute
_ATTRIBUTES_CHECKED_FROM_BYTES: Final = 32 * 1024
_LONG_TAG: Final = re.compile(rb"<[^<]{%d}" % (5 * MAX_ATTRIBUTES))
_MANY_ATTRIBUTES: Final = etree.XPath(f"boolean(//*[@*[{MAX_ATTRIBUTES + 1}]])")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_LOCAL: Final = threading.local()


class TruncatedXml(MalformedXml):
    """Документ обрывается раньше, чем закрыт его корневой элемент."""


def parse(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> etree._Element:
    """Read one whole XML document and return its root element.

    data: the octets as received; a byte order mark and an XML declaration are welcome.
    max_bytes: refuse anything longer before it is looked at.
    Raises TruncatedXml (the document ends too early) or MalformedXml (anything else); the reason is Russian,
    names the remedy and quotes nothing from the document (libxml2's words are in `detail`).
    """
    if len(data) > max_bytes:
        raise MalformedXml(
            f"Документ больше {max_bytes // 1024 // 1024 or 1} МБ: передавайте большие данные вложением, "
            "а не внутри XML."
        )
    if data.count(b"<") > MAX_MARKS:
        raise MalformedXml(
            "В документе слишком много элементов: разделите его на несколько сообщений или передайте вложением."
        )
    try:
        root: etree._Element = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise _explain(data, error) from None
    except (ValueError, LookupError) as error:
        raise MalformedXml(
            "Документ не разобран как XML: проверьте кодировку и содержимое.", detail=str(error)
        ) from None
    info = root.getroottree().docinfo
    if info.internalDTD is not None:
        raise _doctype()
    if info.encoding is not None and info.encoding.upper() not in _ENCODINGS:
        raise MalformedXml(
            f"Кодировка {info.encoding[:40]} не принимается: отправьте документ в UTF-8 (или UTF-16, windows-1251)."
        )
    if len(data) > _ATTRIBUTES_CHECKED_FROM_BYTES and _may_have_many_attributes(data) and _MANY_ATTRIBUTES(root):
        raise MalformedXml(f"У одного элемента больше {MAX_ATTRIBUTES} атрибутов: такой документ не принимается.")
    if len(data) > _ATTRIBUTES_CHECKED_FROM_BYTES and _may_have_many_namespaces(data) and _has_many_namespaces(root):
        raise MalformedXml(
            f"В документе действует больше {MAX_NAMESPACES} пространств имён сразу: такой документ не принимается."
        )
    return root


def _may_have_many_attributes(data: bytes) -> bool:
    """A cheap look at the octets that spares most documents the look at the tree."""
    return data[:2] in _UTF16_MARKS or b"\x00" in data[:8] or _LONG_TAG.search(data) is not None


def _may_have_many_namespaces(data: bytes) -> bool:
    return data[:2] in _UTF16_MARKS or b"\x00" in data[:8] or data.count(b"xmlns") > MAX_NAMESPACES


def _has_many_namespaces(root: etree._Element) -> bool:
    in_scope = 0
    for event, _ in etree.iterwalk(root, events=("start-ns", "end-ns")):
        in_scope += 1 if event == "start-ns" else -1
        if in_scope > MAX_NAMESPACES:
            return True
    return False


def _parser() -> etree.XMLParser:
    parser: etree.XMLParser | None = getattr(_LOCAL, "parser", None)
    if parser is None:
        parser = _LOCAL.parser = _new_parser()
    return parser


def _new_parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        collect_ids=False,
    )


def _doctype() -> MalformedXml:
    return MalformedXml("Документ содержит DOCTYPE (DTD): уберите его, сущности и DTD в обмене не принимаются.")


def _explain(data: bytes, error: etree.XMLSyntaxError) -> MalformedXml:
    """Sort a syntax error into words. Runs only on refused documents, so it may take its time."""
    detail = str(error)
    if _PROLOG_DOCTYPE.match(data[:65536]) or any(words in detail for words in ("DTD", "amplification", "entity ref")):
        return _doctype()
    if "nsupported encoding" in detail:
        return MalformedXml(
            "Кодировка документа не принимается: отправьте его в UTF-8 (или UTF-16, windows-1251).", detail=detail
        )
    if "xcessive depth" in detail:
        return MalformedXml(
            f"Вложенность элементов больше {MAX_DEPTH}: такой документ не принимается, уменьшите вложенность.",
            detail=detail,
        )
    if any(words in detail for words in ("uge text node", "too long", "uge input", "size limit", "uge attribute")):
        return MalformedXml(
            f"Текст или имя в документе длиннее {MAX_TEXT_BYTES // 1_000_000} МБ: передавайте "
            "большие данные вложением.",
            detail=detail,
        )
    if "not a valid URI" in detail:
        return MalformedXml(
            "Пространство имён в документе не является URI: исправьте xmlns у отправителя.", detail=detail
        )
    if _broken_off(data):
        return TruncatedXml(
            "Документ обрывается: получена только часть XML. Если это ответ, исход отправки неизвестен: "
            "повторите с тем же идентификатором.",
            detail=detail,
        )
    if "ncoding" in detail or "UTF-8" in detail or "bytes in character" in detail:
        return MalformedXml(
            "Байты документа не соответствуют его кодировке: укажите настоящую кодировку "
            "в объявлении XML (UTF-8, UTF-16 или windows-1251).",
            detail=detail,
        )
    line, column = error.position
    return MalformedXml(
        f"Это не правильный XML (строка {line}, позиция {column}): исправьте документ у отправителя.", detail=detail
    )


def _broken_off(data: bytes) -> bool:
    """True when nothing is wrong up to the last octet except that more should follow."""
    if not data.strip():
        return True
    push = _new_parser()
    try:
        push.feed(data)
    except etree.XMLSyntaxError:
        return False
    finally:
        with contextlib.suppress(etree.XMLSyntaxError):
            push.close()
    # The push parser waits for the rest of anything doubtful ("a & b"), so look at the end as well:
    # a document that closes its root has not broken off.
    text = data.decode(_guess(data), "replace")
    name = _ROOT_NAME.match(text)
    if name is None:
        return True
    end = text.rfind(f"</{name[1]}")
    # The sender's name is no part of a pattern: compiled ones are remembered, and his names are as long as he likes.
    closing = (
        _END_OF_TAG.match(text, end + 2 + len(name[1])) if end >= 0 else _SELF_CLOSED.match(text, name.start(1) - 1)
    )
    return closing is None or _AFTER_ROOT.match(text, closing.end()) is None


def _guess(data: bytes) -> str:
    if data[:2] in _UTF16_MARKS:
        return "utf-16"
    return "cp1251" if b"1251" in data[:200] else "utf-8"
