"""Which signature of a СМЭВ envelope belongs to which element (FACTS §3.1), and where it stands.

For the command line tools. A slot is the element that holds one `ds:Signature`; it is a sibling of what its
signature covers (PersonalSignature of a message: a sibling of the element that holds it).
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from core.signatures.xmldsig import DS

SLOTS: Final = {
    "CallerInformationSystemSignature": frozenset(
        {
            "SenderProvidedRequestData",
            "SenderProvidedResponseData",
            "MessageTypeSelector",
            "Timestamp",
            "AckTargetMessage",
        }
    ),
    "SMEVSignature": frozenset({"MessageMetadata", "Request", "Response", "AsyncProcessingStatusData"}),
    "SenderInformationSystemSignature": frozenset({"SenderProvidedRequestData", "SenderProvidedResponseData"}),
    "RoutingSignature": frozenset({"RoutingInformation"}),
    "RecordSignature": frozenset({"Record"}),
    "PersonalSignature": frozenset(),
}
"""Slot → what it covers; PersonalSignature covers RecordContent or the element inside of MessagePrimaryContent."""

_MESSAGES: Final = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/"
_HOLDER: Final = "MessagePrimaryContent"


def slot_for(element: etree._Element) -> etree._Element | None:
    """The empty slot in which the signature of `element` belongs, or None when the envelope has none.

    A slot that holds a signature already is not empty.
    """
    for place in _neighbourhood(element):
        for slot in place.itersiblings(preceding=False):
            if isinstance(slot.tag, str) and _fits(slot, element) and slot.find(f"{{{DS}}}Signature") is None:
                return slot
    return None


def is_signed(element: etree._Element) -> bool:
    """True when a slot for `element` holds a signature already."""
    return any(
        isinstance(slot.tag, str) and _fits(slot, element) and slot.find(f"{{{DS}}}Signature") is not None
        for place in _neighbourhood(element)
        for slot in place.itersiblings(preceding=False)
    )


def missing_slot(element: etree._Element) -> tuple[str, etree._Element] | None:
    """For a СМЭВ message without the slot: its name and the element after which the schema wants it."""
    parent = element.getparent()
    if parent is None or not str(parent.tag).startswith(f"{{{_MESSAGES}"):
        return None
    name, local = etree.QName(parent).localname, etree.QName(element).localname
    slot = next((slot for slot, covers in SLOTS.items() if local in covers), None)
    if slot in (None, "RecordSignature"):
        return None
    if slot == "CallerInformationSystemSignature" and not name.endswith("Request"):
        return None
    after = element
    for sibling in element.itersiblings(preceding=False):
        if isinstance(sibling.tag, str) and etree.QName(sibling).localname in (
            "AttachmentContentList",
            "RefAttachmentHeaderList",
        ):
            after = sibling
    return str(slot), after


def misplaced(signature: etree._Element, signed: etree._Element) -> str:
    """Why a СМЭВ signature does not stand where its element is (signature wrapping), in Russian; else empty.

    Judges only a `ds:Signature` inside of a slot of СМЭВ; any other placement is the partner's own affair.
    """
    slot = signature.getparent()
    if slot is None or not isinstance(slot.tag, str) or etree.QName(slot).localname not in SLOTS:
        return ""
    parent = slot.getparent()
    if parent is None:
        return ""
    holder = signed.getparent()
    beside = holder is parent or (
        etree.QName(slot).localname == "PersonalSignature" and holder is not None and holder.getparent() is parent
    )
    covers = SLOTS[etree.QName(slot).localname]
    if not beside or (covers and etree.QName(signed).localname not in covers):
        return (
            "Подпись стоит не рядом с подписанным элементом: возможна подмена содержимого, "
            "не доверяйте этому сообщению."
        )
    twins = [item for item in holder if item.tag == signed.tag] if holder is not None else []
    if len(twins) > 1 and covers:
        return (
            "Рядом с подписью несколько одинаковых элементов, подписан только один: возможна подмена содержимого, "
            "не доверяйте этому сообщению."
        )
    return ""


def _neighbourhood(element: etree._Element) -> list[etree._Element]:
    """The element itself, and MessagePrimaryContent around it: the slot of a person stands beside that."""
    parent = element.getparent()
    if parent is not None and etree.QName(parent).localname == _HOLDER:
        return [parent]
    return [element]


def _fits(slot: etree._Element, element: etree._Element) -> bool:
    name = etree.QName(slot).localname
    if name == "PersonalSignature":
        parent = element.getparent()
        return etree.QName(element).localname == "RecordContent" or (
            parent is not None and etree.QName(parent).localname == _HOLDER
        )
    return etree.QName(element).localname in SLOTS.get(name, ())
