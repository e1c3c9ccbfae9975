"""A form made out of an XSD, and the document made out of the filled form.

    form = form_of("sfr/snils/v1/snils-by-additional-data.xsd", root)    a tree: Value, Group, Choice
    document = document_of(form, {"FamilyName": "Иванова", …})            names are the paths of the tree

A label is the Russian documentation of the element in the schema; where there is none, its name. What a form cannot
show (any element, substitution groups) is left out, and the schema says so when the document is checked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from core.errors import ConfigError
from core.settings import HOUSE

DEPTH_MOST: Final = 12
"""A type that holds itself is shown no deeper than this."""
CHOSEN: Final = "?"
"""`path?` holds the name of the chosen alternative, and "1" where an optional group is filled in."""


@dataclass(frozen=True, slots=True)
class Value:
    """One text. kind: text, date, datetime, number, flag. options: (value, label). pattern: as HTML takes it."""

    path: str
    tag: str
    label: str
    required: bool
    kind: str = "text"
    options: tuple[tuple[str, str], ...] = ()
    pattern: str = ""
    least: int = 0
    most: int = 0
    hint: str = ""
    attribute: bool = False
    fixed: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """An element with others in it (tag), or only some that stand together (tag ""). text: it has text of its own."""

    path: str
    tag: str
    label: str
    required: bool
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several; `path?` of the filled form names which."""

    path: str
    label: str
    required: bool
    parts: tuple[Node, ...]


Node = Value | Group | Choice


@functools.lru_cache(maxsize=32)
def form_of(schema: str, root: str) -> Group:
    """schema: a path below schemas/; root: a Clark name. Raises ConfigError when the schema does not declare it."""
    import xmlschema

    path = HOUSE / "schemas" / schema
    try:
        compiled = xmlschema.XMLSchema10(str(path), allow="local", defuse="always")
        element = compiled.maps.elements[root]
    except KeyError:
        raise ConfigError(f"В схеме {schema} нет элемента {root}: исправьте объявление запроса") from None
    except (xmlschema.XMLSchemaException, OSError) as error:
        raise ConfigError(f"Схема {schema} не читается: {error}. Исправьте её") from error
    made = _element(element, "", 0)
    return made if isinstance(made, Group) else Group("", "", made.label, True, (made,))


def document_of(form: Group, values: Mapping[str, str]) -> etree._Element:
    """The document: what is empty and need not be there is left out. It is not checked by its schema."""
    root = etree.Element(form.tag)
    for part in form.parts:
        _fill(root, part, values)
    etree.cleanup_namespaces(root)
    return root


def paths(node: Node) -> Iterator[str]:
    """Every name that the filled form may hold."""
    if isinstance(node, Value):
        yield node.path
        return
    if isinstance(node, Choice) or not node.required:
        yield node.path + CHOSEN
    for part in node.parts:
        yield from paths(part)


def _fill(parent: etree._Element, node: Node, values: Mapping[str, str]) -> None:
    if isinstance(node, Value):
        text = node.fixed or values.get(node.path, "").strip()
        if not text and not node.required:
            return
        if node.attribute:
            if text:
                parent.set(node.tag, text)
        elif node.tag:
            etree.SubElement(parent, node.tag).text = text
        else:
            parent.text = text
        return
    if isinstance(node, Choice):
        chosen = values.get(node.path + CHOSEN, "")
        for part in node.parts:
            if part.path == chosen or (not chosen and _is_filled(part, values)):
                _fill(parent, part, values)
                return
        return
    if not node.required and values.get(node.path + CHOSEN) != "1" and not _is_filled(node, values):
        return
    inside = etree.SubElement(parent, node.tag) if node.tag else parent
    for part in node.parts:
        _fill(inside, part, values)


def _is_filled(node: Node, values: Mapping[str, str]) -> bool:
    if isinstance(node, Value):
        return not node.fixed and bool(values.get(node.path, "").strip())
    return any(_is_filled(part, values) for part in node.parts)


def _element(element: Any, above: str, depth: int) -> Node:
    path = f"{above}/{element.local_name}" if above else element.local_name
    label, hint = _words(element)
    required = element.min_occurs > 0
    kind = element.type
    if kind.is_simple() or (kind.has_simple_content() and not element.attributes):
        return _value(path, element.name, label, required, _simple(kind), hint, element.fixed or "")
    if depth > DEPTH_MOST:
        return Group(path, element.name, label, False, ())
    own = "" if depth == 0 else path
    parts: list[Node] = [*_attributes(element, own)]
    if kind.has_simple_content():
        parts.append(_value(f"{path}#", "", label, True, _simple(kind), hint, ""))
    else:
        parts += _parts(kind.content, own, depth + 1)
    return Group(own, element.name, label, required or depth == 0, tuple(parts))


def _attributes(element: Any, above: str) -> Iterator[Value]:
    for name, attribute in element.attributes.items():
        if name is None or attribute.use == "prohibited":
            continue
        label, hint = _words(attribute)
        path = f"{above}/@{attribute.local_name}" if above else f"@{attribute.local_name}"
        found = _value(path, name, label, attribute.use == "required", attribute.type, hint, attribute.fixed or "")
        yield _as_attribute(found)


def _parts(group: Any, above: str, depth: int) -> Iterator[Node]:
    for particle in group:
        if getattr(particle, "model", None) in ("sequence", "all", "choice"):
            inner = tuple(_parts(particle, above, depth))
            if not inner or (particle.model != "choice" and particle.min_occurs > 0):
                yield from inner
            elif particle.model == "choice":
                yield _choice(inner, required=particle.min_occurs > 0)
            else:
                yield Group(f"({inner[0].path})", "", _together(inner), False, inner)
        elif getattr(particle, "local_name", None) and getattr(particle, "type", None) is not None:
            yield _element(particle, above, depth)


def _choice(parts: tuple[Node, ...], *, required: bool) -> Choice:
    """A choice among choices is one choice."""
    flat: list[Node] = []
    for part in parts:
        flat += part.parts if isinstance(part, Choice) else (part,)
    return Choice(f"({flat[0].path})", "", required, tuple(flat))


def _together(parts: tuple[Node, ...]) -> str:
    return ", ".join(part.label for part in parts if part.label)


def _simple(kind: Any) -> Any:
    return kind if kind.is_simple() else kind.content


_KINDS: Final = {
    "date": "date",
    "dateTime": "datetime",
    "boolean": "flag",
    **dict.fromkeys(("integer", "int", "long", "short", "decimal", "nonNegativeInteger", "positiveInteger"), "number"),
}


def _value(path: str, tag: str, label: str, required: bool, kind: Any, hint: str, fixed: str) -> Value:
    options = tuple(_options(kind))
    primitive = getattr(kind, "root_type", kind)
    named = _KINDS.get(getattr(kind, "local_name", "") or "") or _KINDS.get(getattr(primitive, "local_name", "") or "")
    patterns = getattr(getattr(kind, "patterns", None), "regexps", None) or ()
    length = getattr(kind, "length", None)
    return Value(
        path,
        tag,
        label,
        required,
        kind=named or "text",
        options=options,
        pattern="|".join(patterns) if not options else "",
        least=length or getattr(kind, "min_length", None) or 0,
        most=length or getattr(kind, "max_length", None) or 0,
        hint=hint,
        fixed=fixed,
    )


def _options(kind: Any) -> Iterator[tuple[str, str]]:
    """Allowed values with the documentation that the schema gives them."""
    described: dict[str, str] = {}
    for facet in getattr(kind, "facets", {}).values():
        for one in getattr(facet, "_elements", ()):
            described[one.get("value", "")] = " ".join("".join(one.itertext()).split())
    for value in getattr(kind, "enumeration", None) or ():
        yield str(value), described.get(str(value)) or str(value)


def _as_attribute(value: Value) -> Value:
    fields = {name: getattr(value, name) for name in Value.__dataclass_fields__}
    return Value(**(fields | {"attribute": True}))


def _words(component: Any) -> tuple[str, str]:
    """(label, hint): the first sentence of the documentation, and the rest of it."""
    for holder in (component, getattr(component, "type", None)):
        for text in _documentation(holder):
            head, _, rest = text.partition(". ")
            return head.rstrip("."), rest
    return component.local_name, ""


def _documentation(holder: Any) -> Iterator[str]:
    annotation = getattr(holder, "annotation", None)
    for one in getattr(annotation, "documentation", ()) or ():
        text = " ".join((one.text or "").split())
        if text:
            yield text
