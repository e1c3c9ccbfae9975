"""A short way to write elements."""

from __future__ import annotations

from lxml import etree


class Writer:
    """Adds elements of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def root(self, name: str, attributes: dict[str, str] | None = None, **prefixes: str) -> etree._Element:
        """A root element; `prefixes` are more namespaces to declare on it."""
        root = etree.Element(f"{{{self.namespace}}}{name}", nsmap={"ns": self.namespace, **prefixes})
        return _set(root, attributes)

    def add(
        self, parent: etree._Element, name: str, text: str | None = None, attributes: dict[str, str] | None = None
    ) -> etree._Element:
        """A child element."""
        child = etree.SubElement(parent, f"{{{self.namespace}}}{name}")
        child.text = text
        return _set(child, attributes)


def _set(element: etree._Element, attributes: dict[str, str] | None) -> etree._Element:
    for name, value in (attributes or {}).items():
        element.set(name, value)
    return element


def octets(root: etree._Element) -> bytes:
    """UTF-8 without a declaration, as it stands inside an envelope."""
    return etree.tostring(root, encoding="UTF-8", xml_declaration=False)
