"""What СФР answers to a question about a СНИЛС (snils-by-additionalData 1.0.1, FACTS §12.9)."""

from __future__ import annotations

import random
from typing import Final

from lxml import etree

from simulators.payloads.markup import octets
from simulators.payloads.people import snils

NAMESPACE: Final = "http://kvs.pfr.com/snils-by-additionalData/1.0.1"
COMMONS: Final = "urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1"
NO_DATA: Final = ("NO_DATA", "Сведения о застрахованном лице не найдены в СФР")
"""Code and text of the usual refusal."""


def answer(request: bytes, *, number: str = "") -> bytes:
    """SnilsByAdditionalDataResponse to the payload of a question: the same data with a СНИЛС after the name.

    `number` "" gives one that depends on the question only, so a repeated question gets the same answer.
    """
    asked = etree.fromstring(request)
    root = etree.Element(f"{{{NAMESPACE}}}SnilsByAdditionalDataResponse", nsmap={"ns": NAMESPACE, "c": COMMONS})
    root.extend(list(asked))
    names = [child for child in root if etree.QName(child).namespace == COMMONS and _is_name(child)]
    found = etree.Element(f"{{{NAMESPACE}}}Snils")
    found.text = number or snils(random.Random("|".join(map(str, root.itertext()))))
    root.insert(len(names), found)
    return octets(root)


def _is_name(element: etree._Element) -> bool:
    return etree.QName(element).localname in ("FamilyName", "FirstName", "Patronymic")
