"""The contract of a kind: what every route with documents promises, checked from its files without a database.

    findings = kinds.check(route)                       documents: schema, samples, transform, key
    findings += kind_handlers.check(route, database)    effects: see core.testing.kind_handlers

A kind keeps its samples beside its schema: `schemas/<…>/samples/valid/*.xml` and `…/invalid/*.xml`. A valid sample
whose root no format of the route takes is a document of ours that goes out: the schema alone must accept it.
`RULES` maps a rule's name to the function that looks for violations; the names are what a finding quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlparse

from lxml import etree
from pydantic import BaseModel

from core import stages, xml
from core.errors import BusError, MalformedXml, Permanent
from core.message import Message, Outcome
from core.route import Format, Route
from core.settings import HOUSE

VALID_LEAST: Final = 3
INVALID_LEAST: Final = 4
QUOTED_LEAST_CHARACTERS: Final = 4
"""A value of the document this long, found in a reason, a key or a note, is personal data that leaked."""

REPLY_OUTCOMES: Final = (Outcome.ANSWER, Outcome.REJECTION, Outcome.STATUS, Outcome.FAILURE, Outcome.TIMEOUT)
_XSD: Final = "{http://www.w3.org/2001/XMLSchema}"
_CYRILLIC: Final = re.compile("[а-яё]{3}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation. `text` is Russian and says what to mend."""

    route: str
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.route}: {self.text} [{self.rule}]"


def check(route: Route) -> list[Finding]:
    """Every violation that the route's declaration and files show. Raises nothing."""
    return [Finding(route.name, name, text) for name, rule in RULES.items() for text in rule(route)]


def samples(form: Format, sort: str) -> list[Path]:
    """Samples of a format's folder: sort is `valid` or `invalid`. Absolute schema paths are taken as they are."""
    folder = (HOUSE / "schemas" / form.schema).parent / "samples" / sort if form.schema else None
    return sorted(folder.glob("*.xml")) if folder else []


def valid_samples(route: Route) -> Iterator[tuple[Path, bytes, bool]]:
    """(file, bytes, does a format of the route take it) of every valid sample, each once."""
    roots = {form.root for form in route.formats}
    for path in sorted({path for form in route.formats for path in samples(form, "valid")}):
        body = path.read_bytes()
        root = _root(body)
        yield path, body, root in roots


def values_of(document: etree._Element) -> set[str]:
    """Texts and attribute values of a document that are long enough to tell who it is about."""
    found = {text.strip() for text in document.itertext() if isinstance(text, str)}
    for element in document.iter():
        found |= {str(value).strip() for value in element.attrib.values()}
    return {value for value in found if len(value) >= QUOTED_LEAST_CHARACTERS}


def _schema_compiles(route: Route) -> Iterator[str]:
    """The schema compiles, and everything it includes or imports lies in schemas/: no network, no other folder."""
    for form in route.formats:
        if not form.schema:
            yield f"у формата {form.version} нет схемы: положите XSD в schemas/ и назовите её в Format.schema"
            continue
        file = HOUSE / "schemas" / form.schema
        outside = list(_outside(file, set()))
        yield from outside
        if outside:
            continue
        try:
            etree.XMLSchema(etree.parse(file, etree.XMLParser(no_network=True, resolve_entities=False)))
        except (etree.XMLSchemaParseError, etree.XMLSyntaxError, OSError) as error:
            yield f"схема {form.schema} не компилируется: {error}"


def _outside(file: Path, seen: set[Path]) -> Iterator[str]:
    if file in seen or not file.is_file():
        return
    seen.add(file)
    try:
        tree = etree.parse(file, etree.XMLParser(no_network=True, resolve_entities=False))
    except etree.XMLSyntaxError:
        return  # the compiler says it better
    home = HOUSE / "schemas" if file.is_relative_to(HOUSE / "schemas") else file.parent
    for element in tree.iter(f"{_XSD}import", f"{_XSD}include", f"{_XSD}redefine"):
        location = element.get("schemaLocation")
        if location is None:
            continue
        target = (file.parent / location).resolve()
        if urlparse(location).scheme or not target.is_relative_to(home.resolve()):
            yield f"{file.name} ссылается на {location}: схемы берутся только из schemas/, скопируйте её туда"
        elif not target.is_file():
            yield f"{file.name} ссылается на {location}, такого файла нет"
        else:
            yield from _outside(target, seen)


def _root_is_declared(route: Route) -> Iterator[str]:
    """Format.root is a global element of its schema: a slip in a namespace would make the kind deaf."""
    for form in route.formats:
        file = HOUSE / "schemas" / form.schema
        if not form.schema or not file.is_file():
            continue
        try:
            schema = etree.parse(file, etree.XMLParser(no_network=True, resolve_entities=False)).getroot()
        except etree.XMLSyntaxError:
            continue
        if form.root not in _roots_of(schema):
            yield f"корень {form.root} не объявлен в {form.schema}: исправьте Format.root или схему"


def _samples_are_there(route: Route) -> Iterator[str]:
    """Enough samples of both sorts, and for each root at least one valid."""
    folders = {(HOUSE / "schemas" / form.schema).parent: form for form in route.formats if form.schema}
    for form in folders.values():
        for sort, least in (("valid", VALID_LEAST), ("invalid", INVALID_LEAST)):
            count = len(samples(form, sort))
            if count < least:
                yield f"рядом с {form.schema} образцов {sort}: {count}, нужно не меньше {least}"
    roots = {_root(body) for _, body, _ in valid_samples(route)}
    for form in route.formats:
        if form.schema and form.root not in roots:
            yield f"нет ни одного правильного образца с корнем {form.root}"


def _valid_samples_pass(route: Route) -> Iterator[str]:
    """Every valid sample goes through validation, transform and binding."""
    for path, body, is_taken in valid_samples(route):
        try:
            if is_taken:
                stages.apply(route, _message(route, body))
            else:
                stages.validate(route.formats[0], xml.parse(body))
        except Exception as error:
            yield f"правильный образец {path.name} не принят: {_words(error)}"


def _invalid_samples_are_refused(route: Route) -> Iterator[str]:
    """Every invalid sample is refused with a Russian reason that names the place and quotes no data."""
    roots = {form.root for form in route.formats}
    for path in sorted({path for form in route.formats for path in samples(form, "invalid")}):
        body = path.read_bytes()
        root = _root(body)
        if root is not None and root not in roots and _belongs_to_another(route, root):
            continue
        try:
            stages.apply(route, _message(route, body))
        except Permanent as error:
            yield from (f"образец {path.name}: {text}" for text in _bad_reason(error, body, _fields(route.body)))
        except Exception as error:
            yield f"неправильный образец {path.name} вызвал не ошибку шины, а {_words(error)}"
        else:
            yield f"неправильный образец {path.name} принят"


def _belongs_to_another(route: Route, root: str) -> bool:
    """Two routes may share a schema (a notice and its records): each answers for its own roots."""
    file = HOUSE / "schemas" / route.formats[0].schema
    if not file.is_file():
        return False
    try:
        schema = etree.parse(file, etree.XMLParser(no_network=True, resolve_entities=False)).getroot()
    except etree.XMLSyntaxError:
        return False
    return root in _roots_of(schema)


def _roots_of(schema: etree._Element) -> set[str]:
    """Clark names of the global elements of an XSD; without a target namespace, plain names."""
    namespace = schema.get("targetNamespace", "")
    prefix = f"{{{namespace}}}" if namespace else ""
    return {f"{prefix}{one.get('name')}" for one in schema.iterfind(f"{_XSD}element")}


def _fields(model: type[BaseModel] | None) -> set[str]:
    """Names of a model's fields: a document that passes the schema but not the binding is explained by them."""
    return set(model.model_fields) if model else set()


def _bad_reason(error: Permanent, body: bytes, fields: set[str]) -> Iterator[str]:
    if not _CYRILLIC.search(error.reason):
        yield f"причина не по-русски: {error.reason}"
    if isinstance(error, MalformedXml):
        return
    document = xml.parse(body)
    names = {etree.QName(one).localname for one in document.iter(etree.Element)} | fields
    if not re.search(r"строка \d+", error.reason) and not any(name in error.reason for name in names):
        yield f"причина не называет места: {error.reason}"
    for value in values_of(document):
        if value in error.reason:
            yield "причина цитирует данные документа: перенесите их в detail"
            return


def _transform_is_deterministic(route: Route) -> Iterator[str]:
    """The same document gives the same result: no clock, no chance, nothing kept from the document before."""
    bodies = [(path, body) for path, body, is_taken in valid_samples(route) if is_taken]
    first = [_output(route, body) for _, body in bodies]
    again = [_output(route, body) for _, body in reversed(bodies)][::-1]
    for (path, _), one, two in zip(bodies, first, again, strict=True):
        if one != two:
            yield f"преобразование образца {path.name} в два приёма дало разное: уберите время и случайность"


def _output(route: Route, body: bytes) -> object:
    try:
        made = stages.apply(route, _message(route, body))
    except Exception:
        return None  # another rule tells
    if made.output is not None:
        return made.output
    return etree.tostring(made.value, encoding="UTF-8") if isinstance(made.value, etree._Element) else repr(made.value)


def _key_tells_nothing(route: Route) -> Iterator[str]:
    """The order key is stable, says nothing of the document, and never fails in a way the intake does not expect."""
    if route.key is None:
        return
    for path, body, is_taken in valid_samples(route):
        if not is_taken:
            continue
        message = _message(route, body)
        try:
            key, again = route.key(message), route.key(message.but(body=body))
        except Exception as error:
            yield f"ключ образца {path.name} не вычислен: {_words(error)}"
            continue
        if key != again:
            yield f"ключ образца {path.name} каждый раз разный"
        if any(value in key for value in values_of(xml.parse(body))):
            yield f"ключ образца {path.name} содержит данные документа: возьмите core.keys.hashed"
    for garbage in (b"", b"<", b"{}", b"<a/>"):
        try:
            route.key(_message(route, garbage))
        except Permanent:
            pass
        except Exception as error:
            yield f"ключ негодного документа вызвал не ошибку шины, а {_words(error)}"


def _outcomes_are_whole(route: Route) -> Iterator[str]:
    """Whoever takes one sort of reply takes them all; otherwise the reply nobody thought of ends in quarantine."""
    if not route.handlers:
        yield "нет обработчика: объявите его @route.handler"
    special = set(route.handlers) & {Outcome.REJECTION, Outcome.STATUS, Outcome.FAILURE, Outcome.TIMEOUT}
    missing = [str(one) for one in REPLY_OUTCOMES if one not in route.handlers]
    if special and missing:
        yield f"маршрут принимает ответы, но не знает исходов: {', '.join(missing)}"


RULES: Final[dict[str, Callable[[Route], Iterator[str]]]] = {
    "schema-compiles": _schema_compiles,
    "root-is-declared": _root_is_declared,
    "samples-are-there": _samples_are_there,
    "valid-samples-pass": _valid_samples_pass,
    "invalid-samples-are-refused": _invalid_samples_are_refused,
    "transform-is-deterministic": _transform_is_deterministic,
    "key-tells-nothing": _key_tells_nothing,
    "outcomes-are-whole": _outcomes_are_whole,
}


def _message(route: Route, body: bytes) -> Message:
    return Message(kind=route.name, body=body)


def _root(body: bytes) -> str | None:
    try:
        return str(xml.parse(body).tag)
    except MalformedXml:
        return None


def _words(error: Exception) -> str:
    return error.reason if isinstance(error, BusError) else f"{type(error).__name__}: {error}"
