"""The published contract: WSDL and XSD of each version, and validation of an operation body against them.

The texts are templates of ours under wsdl/ (written from FACTS §2, §9, §10), one for all three versions with
the differences of §2.3 spelled out, so a difference can be read in one place.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from lxml import etree

from simulators.smev3.faults import ValidationError
from simulators.smev3.versions import VERSIONS, Version

_FOLDER = Path(__file__).parent / "wsdl"
_TEMPLATES = Environment(loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, autoescape=True)

_STATUSES_OF_ALL = (
    "doesNotExist", "requestIsQueued", "requestIsAcceptedBySmev", "requestIsRejectedBySmev", "underProcessing",
    "responseIsAcceptedBySmev", "cancelled",
)  # fmt: skip
STATUSES = {
    "1.1": (*_STATUSES_OF_ALL, "responseIsDelivered"),
    "1.2": (*_STATUSES_OF_ALL, "responseIsRejectedBySmev", "messageIsDelivered", "messageIsArchived"),
    "1.3": (
        *_STATUSES_OF_ALL, "responseIsRejectedBySmev", "messageIsDelivered", "messageIsArchived",
        "requestIsProcessed", "responseIsQueued", "responseIsProcessed",
    ),
}  # fmt: skip

_EVERYWHERE = ("SignatureVerificationFault", "InvalidContent", "SenderIsNotRegistered", "SMEVFailure")
_SENDING = (
    *_EVERYWHERE, "BusinessDataTypeIsNotSupported", "AttachmentContentMiscoordination", "AttachmentSizeLimitExceeded",
    "QuoteLimitExceeded", "RecipientIsNotFound", "DestinationOverflow", "MessageIsAlreadySent",
    "InvalidMessageIdFormat", "StaleMessageId",
)  # fmt: skip
_POLLING = (*_EVERYWHERE, "UnknownMessageType")


def faults_of(version: Version) -> dict[str, tuple[str, ...]]:
    """Which operation declares which faults (FACTS §10.1)."""
    personal = ("PersonalAccessDenied",) if version.is_1_3 else ()
    return {
        "SendRequest": (*_SENDING, "TransactionCodeInvalid", "AccessDenied", "EndOfLifeReached", *personal),
        "SendResponse": (*_SENDING, "IncorrectResponseContentType"),
        "GetRequest": _POLLING,
        "GetResponse": _POLLING,
        "GetStatus": _POLLING,
        "Ack": (*_EVERYWHERE, "TargetMessageIsNotFound"),
        "GetIncomingQueueStatistics": _EVERYWHERE,
    }


def schema_names(version: Version) -> tuple[str, ...]:
    """Parts of the contract that `?xsd=NAME` serves."""
    extra = ("routing", "directive") if version.is_1_3 else ()
    return ("types", "basic", "faults", *extra)


def schema(version: Version, name: str) -> str:
    """Text of one XSD, with imports by `ws?xsd=NAME`. KeyError for a name that the version does not have."""
    if name not in schema_names(version):
        raise KeyError(name)
    return _render(f"{name}.xsd.j2", version, statuses=STATUSES[version.number])


def wsdl(version: Version, address: str) -> str:
    """Text of the WSDL for the service at `address`."""
    faults = {operation: faults_of(version)[operation] for operation in version.operations}
    every = sorted({fault for names in faults.values() for fault in names} | {"RequestIsNotFound"})
    return _render("service.wsdl.j2", version, address=address, faults=faults, all_faults=every)


def _render(template: str, version: Version, **context: Any) -> str:
    return _TEMPLATES.get_template(template).render(v=version, location=lambda name: f"ws?xsd={name}", **context)


class _Imports(etree.Resolver):
    """Answers `ws?xsd=NAME` from the templates: validation reads no file and no network."""

    def __init__(self, version: Version) -> None:
        super().__init__()
        self.version = version

    def resolve(self, system_url: str, _public_id: str, context: Any) -> Any:  # type: ignore[override]
        name = system_url.rpartition("?xsd=")[2]
        return self.resolve_string(schema(self.version, name), context)  # type: ignore[call-arg]


@cache
def compiled(version: Version) -> etree.XMLSchema:
    """The types schema of a version, compiled once."""
    parser = etree.XMLParser()
    parser.resolvers.add(_Imports(version))
    return etree.XMLSchema(etree.fromstring(schema(version, "types").encode(), parser, base_url="ws"))


def complaints(validator: etree.XMLSchema, element: etree._Element) -> tuple[ValidationError, ...]:
    """What `validator` has against `element`, worded like the Java validator of СМЭВ (`cvc-…: …`)."""
    if validator.validate(element):
        return ()
    found = []
    for error in validator.error_log:  # type: ignore[attr-defined]
        kind = str(error.type_name).removeprefix("SCHEMAV_").lower().replace("_", "-")
        kind = kind if kind.startswith("cvc-") else "cvc-complex-type.2.4"
        found.append(ValidationError(f"{kind}: {error.message}"))
    return tuple(found)


def check_envelope(version: Version, operation_body: etree._Element) -> tuple[ValidationError, ...]:
    """Complaints about the body of one operation; empty when it fits the contract."""
    return complaints(compiled(version), operation_body)


def warm_up() -> None:
    """Compile the schemas before the first request comes."""
    for version in VERSIONS.values():
        compiled(version)
