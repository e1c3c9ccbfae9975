"""The pure stages of a message: document → XSD → transform → body. No database, no network, no state kept."""

from __future__ import annotations

import functools
import importlib.util
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from lxml import etree
from pydantic import BaseModel, ValidationError

from core import xml
from core.errors import ConfigError, Permanent, SchemaViolation, UnknownKind
from core.message import Message, Outcome
from core.replies import Reply
from core.route import Format, Route
from core.settings import HOUSE

NAME_MOST = 300
"""Characters of a foreign name that a reason quotes."""
Transform = Callable[[etree._Element], etree._Element | dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Body:
    """What the handler gets, and what the transform made (for the journal)."""

    value: Any
    output: bytes | None = None


def apply(route: Route, message: Message) -> Body:
    """The body for the route's handler. Raises MalformedXml, SchemaViolation, UnknownKind, ConfigError."""
    if message.outcome not in (Outcome.REQUEST, Outcome.ANSWER):
        return Body(Reply.from_body(message.body))
    if not route.formats:
        return Body(_from_json(route, message.body))
    document = xml.parse(message.body)
    form = format_of(route, str(document.tag))
    if form.schema:
        validate(form, document)
    if not form.transform:
        return Body(document)
    made = transformer(form.transform)(document)
    output = etree.tostring(made, encoding="UTF-8") if isinstance(made, etree._Element) else None
    return Body(bind(made, route.body) if route.body else made, output)


def format_of(route: Route, root: str) -> Format:
    """The format by the root element's Clark name."""
    for form in route.formats:
        if form.root == root:
            return form
    known = ", ".join(f"{form.root} ({form.version})" for form in route.formats)
    raise UnknownKind(f"Маршрут {route.name} не принимает корневой элемент {root[:NAME_MOST]}. Известны: {known}")


def validate(form: Format, document: etree._Element) -> None:
    """Check against the format's XSD. Raises SchemaViolation that names the place."""
    check_by(_compiled(form.schema), form.schema, document)


def check_by(schema: etree.XMLSchema, name: str, document: etree._Element) -> None:
    """Check against a schema of this name. Raises SchemaViolation that names the place."""
    if schema.validate(document):
        return
    errors = list(schema.error_log)  # type: ignore[call-overload]
    first = errors[0]
    place = _place(document, _path_of(first))
    more = f" и ещё {len(errors) - 1}" if len(errors) > 1 else ""
    raise SchemaViolation(
        f"Документ не соответствует схеме {name}: строка {first.line}, {place}{more}. "
        "Отправитель должен исправить данные и прислать новое сообщение",
        detail="\n".join(f"{e.line}: {e.message}" for e in errors[:20]),
    )


def bind(made: etree._Element | dict[str, Any], model: type[BaseModel]) -> BaseModel:
    """Element or dict → model. Raises SchemaViolation."""
    values = made if isinstance(made, dict) else _to_dict(made, model)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise SchemaViolation(
            f"Поля документа не приводятся к виду {model.__name__}: {places}. Проверьте преобразование и данные",
            detail=str(error.errors(include_url=False, include_input=False)),
        ) from None


def transformer(path: str) -> Transform:
    """The compiled transformer `path` below transformers/ for this thread."""
    cache = _cache()
    found = cache.get(path)
    if found is None:
        found = cache[path] = load_transformer(HOUSE / "transformers" / path)
    return found


NOTHING = etree.XSLTAccessControl.DENY_ALL  # type: ignore[attr-defined]
"""What a running transform may touch besides its document."""


def load_transformer(path: Path) -> Transform:
    """A transformer of any place. Raises ConfigError when it does not load or compile."""
    if not path.is_file():
        raise ConfigError(f"Нет преобразования {path}: верните файл или исправьте Format.transform")
    if path.suffix == ".py":
        spec = importlib.util.spec_from_file_location(f"transformers.{path.parent.name}.{path.stem}", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            return module.transform  # type: ignore[no-any-return]
        except Exception as error:  # whatever stands in that file
            raise ConfigError(f"Преобразование {path} не загружается: {error}. Исправьте файл") from error
    try:
        style = etree.XSLT(etree.parse(path, _house_parser()), access_control=NOTHING)
    except (etree.XSLTParseError, etree.XMLSyntaxError) as error:
        raise ConfigError(f"Преобразование {path} не компилируется: {error}") from error

    def run(document: etree._Element) -> etree._Element:
        try:
            root = style(document).getroot()
        except etree.XSLTApplyError as error:
            raise Permanent(f"Преобразование {path.name} не выполнилось: {error}") from error
        if root is None:
            raise Permanent(f"Преобразование {path.name} ничего не дало: документ не того вида")
        return root

    return run


def _compiled(path: str) -> etree.XMLSchema:
    cache = _cache()
    found = cache.get(path)
    if found is None:
        file = HOUSE / "schemas" / path
        if not file.is_file():
            raise ConfigError(f"Нет схемы {file}: верните файл или исправьте Format.schema")
        try:
            found = etree.XMLSchema(etree.parse(file, _house_parser()))
        except (etree.XMLSchemaParseError, etree.XMLSyntaxError) as error:
            raise ConfigError(f"Схема {file} не компилируется: {error}") from error
        cache[path] = found
    return found


_local = threading.local()


def _cache() -> dict[str, Any]:
    """Compiled schemas and transforms of this thread: libxml2 keeps the last errors inside them."""
    try:
        return _local.cache  # type: ignore[no-any-return]
    except AttributeError:
        _local.cache = {}
        return _local.cache  # type: ignore[no-any-return]


def _house_parser() -> etree.XMLParser:
    """For our own files only: they may import each other from the disk, never from a network."""
    return etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False)


def _from_json(route: Route, body: bytes) -> Any:
    if route.body is None:
        return body
    try:
        return route.body.model_validate_json(body)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) or "тело" for one in error.errors())
        raise SchemaViolation(f"Команда {route.name}: неверные поля: {places}") from None


@functools.cache
def _plan(model: type[BaseModel]) -> dict[str, tuple[bool, type[BaseModel] | None]]:
    """Field → (is it a list, the nested model)."""
    plan = {}
    for name, field in model.model_fields.items():
        annotation = _without_none(field.annotation)
        is_list = get_origin(annotation) in (list, tuple)
        inner = _without_none(get_args(annotation)[0]) if is_list else annotation
        nested = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
        plan[field.alias or name] = (is_list, nested)
    return plan


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (types.UnionType, Union):
        rest = [one for one in get_args(annotation) if one is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _to_dict(element: etree._Element, model: type[BaseModel]) -> dict[str, Any]:
    plan = _plan(model)
    values: dict[str, Any] = {}
    for child in element.iterchildren("*"):
        name = str(child.tag)
        is_list, nested = plan.get(name, (False, None))
        value: Any = _to_dict(child, nested) if nested is not None and len(child) else (_text(child) or None)
        if is_list:
            if value is not None:
                values.setdefault(name, []).append(value)
        elif value is not None:
            # A second one where the model wants one is not silently dropped: two values bind to no field but a list.
            values[name] = [values[name], value] if name in values else value
    return values


def _text(element: etree._Element) -> str | None:
    """The text up to the first element in it; a comment in the middle does not end it."""
    if not len(element):
        return element.text
    pieces = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str):
            break
        pieces.append(child.tail or "")
    return "".join(pieces)


def _path_of(entry: Any) -> str | None:
    """libxml2 cuts a name with a prefix after 99 octets, also in the middle of a Russian letter."""
    try:
        return entry.path  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        return None


def _place(document: etree._Element, path: str | None) -> str:
    """The last steps of the way to an element by local names: what an operator can read."""
    element = document
    steps = [_local_name(document)]
    for step in (path or "").split("/")[2:]:  # libxml2 writes `*[2]` for the second child of a default namespace
        name, _, place = step.rstrip("]").partition("[")
        name = name.split(":")[-1]
        children = [one for one in element.iterchildren("*") if name in ("*", _local_name(one))]
        if not children:
            break
        parent, element = element, children[min(int(place or 1), len(children)) - 1]
        twins = list(parent.iterchildren(str(element.tag)))
        steps.append(_local_name(element) + (f"[{twins.index(element) + 1}]" if len(twins) > 1 else ""))
    return "/".join(steps[-3:])


def _local_name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]
