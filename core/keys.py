"""Order keys: what of a document must stay in order, without the personal data it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from lxml import etree

from core import xml
from core.message import Message


def hashed(*parts: str) -> str:
    """32 hex characters that stand for the parts; letter case, ё/е and spaces make no difference."""
    normal = "|".join(" ".join(part.upper().replace("Ё", "Е").split()) for part in parts)
    return hashlib.blake2b(normal.encode(), digest_size=16).hexdigest()


def document_key(*paths: str) -> Callable[[Message], str]:
    """A `Route.key` made of the texts or attributes that these XPaths find in the document.

    Use `*[local-name()='…']` steps: prefixes are not known here. A document where nothing is found, and a
    message that is no document (an answer's rejection), have the key "": no order.
    """
    compiled = [etree.XPath(f"string({path})") for path in paths]

    def key(message: Message) -> str:
        if message.body.lstrip()[:1] != b"<":
            return ""
        document = xml.parse(message.body)
        found: Iterable[str] = [str(path(document)).strip() for path in compiled]
        return hashed(*found) if any(found) else ""

    return key
