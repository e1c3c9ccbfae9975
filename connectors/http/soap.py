"""SOAP 1.1 and 1.2 for both sides: envelopes, faults, the WSDL of a queue. No bus types; octets and elements.

HTTP statuses of faults: SOAP 1.1 says 500 (WS-I Basic Profile 1.1, R1126), SOAP 1.2 says 400 for Sender and 500 for
Receiver (SOAP 1.2 part 2, 7.5.2.2). What HTTP itself must understand (who are you, wrong method, too long, come later)
keeps its status, with the fault as its content.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

NAMESPACES: Final = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
CONTENT_TYPES: Final = {"1.1": b"text/xml; charset=utf-8", "1.2": b"application/soap+xml; charset=utf-8"}
INTAKE: Final = "urn:omsbus:intake:1"
_VERSIONS: Final = {f"{{{namespace}}}Envelope": version for version, namespace in NAMESPACES.items()}
_PARTS: Final = {f"{{{space}}}Envelope": (f"{{{space}}}Header", f"{{{space}}}Body") for space in NAMESPACES.values()}
_OF_HTTP: Final = frozenset({401, 403, 404, 405, 413, 415, 503})


class Broken(Exception):
    """Not an envelope as SOAP wants it. The argument is Russian and says what to do."""

    def __init__(self, words: str, *, code: str = "envelope") -> None:
        super().__init__(words)
        self.words = words
        self.code = code


def version_of(root: etree._Element) -> str:
    """ "1.1", "1.2"; "" when the document is no envelope of either."""
    return _VERSIONS.get(str(root.tag), "")


def status_of(version: str, status: int) -> int:
    """HTTP status under which a fault for `status` goes to a SOAP client."""
    if status in _OF_HTTP:
        return status
    return 400 if version == "1.2" and status < 500 else 500


def content(root: etree._Element) -> etree._Element:
    """The one element in the Body of an envelope. Raises Broken."""
    tags = _PARTS.get(str(root.tag))
    if tags is None:
        if etree.QName(root).localname == "Envelope":
            raise Broken("Версия SOAP не поддерживается: отправьте конверт SOAP 1.1 или 1.2", code="version")
        raise Broken("Нужен конверт SOAP (Envelope) версии 1.1 или 1.2")
    header, body = tags
    children = list(root.iterchildren("*"))
    if children and children[0].tag == header:
        del children[0]
    if not children or children[0].tag != body:
        raise Broken("В конверте SOAP нет Body: он должен идти сразу после Header")
    if len(children) > 1:
        raise Broken("В конверте SOAP после Body стоит ещё элемент: в нём может быть один Header и один Body")
    inside = list(children[0].iterchildren("*"))
    if len(inside) != 1:
        raise Broken("В Body должен быть ровно один документ: разделите сообщение или заполните его")
    return inside[0]


def accepted(version: str, message_id: str, *, repeated: bool) -> bytes:
    """The answer of Submit."""
    word = "true" if repeated else "false"
    return _ACCEPTED[version] % (message_id.encode(), word.encode())


def fault(version: str, status: int, code: str, words: str) -> bytes:
    """An envelope with a Fault: the client's fault below 500, else ours; detail `IntakeFault`."""
    ours = status >= 500
    wrong_version = code == "version"
    detail = f'<IntakeFault xmlns="{INTAKE}" code={quoteattr(code)}>{escape(words)}</IntakeFault>'
    if version == "1.2":
        name = "VersionMismatch" if wrong_version else "Receiver" if ours else "Sender"
        inside = (
            f"<s:Fault><s:Code><s:Value>s:{name}</s:Value></s:Code>"
            f'<s:Reason><s:Text xml:lang="ru">{escape(words)}</s:Text></s:Reason>'
            f"<s:Detail>{detail}</s:Detail></s:Fault>"
        )
    else:
        name = "VersionMismatch" if wrong_version else "Server" if ours else "Client"
        inside = (
            f"<s:Fault><faultcode>s:{name}</faultcode><faultstring>{escape(words)}</faultstring>"
            f"<detail>{detail}</detail></s:Fault>"
        )
    return enveloped(version, inside.encode())


def read_fault(root: etree._Element) -> tuple[str, str] | None:
    """(code: Client, Server, Sender, Receiver…, without what follows a dot; words) of a fault; None: it is none.

    Raises Broken when the document is no envelope.
    """
    version = version_of(root)
    if not version:
        raise Broken("Ответ — не конверт SOAP")
    space = {"s": NAMESPACES[version]}
    fault = root.find("s:Body/s:Fault", space)
    if fault is None:
        return None
    if version == "1.2":
        code, words = _whole(fault.find("s:Code/s:Value", space)), _whole(fault.find("s:Reason/s:Text", space))
    else:
        code, words = _whole(fault.find("faultcode")), _whole(fault.find("faultstring"))
    return code.strip().rpartition(":")[2].partition(".")[0][:100] or "?", words.strip()[:1000]


def _whole(element: etree._Element | None) -> str:
    """The text of an element: a comment in the middle does not end it."""
    return "" if element is None else "".join(map(str, element.itertext()))


def enveloped(version: str, octets: bytes) -> bytes:
    """An envelope with these octets of one element in its Body."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="%b"><s:Body>%b</s:Body></s:Envelope>' % (
        NAMESPACES[version].encode(),
        octets,
    )


_ACCEPTED: Final = {
    version: enveloped(version, b'<Accepted xmlns="%b" messageId="%%b" repeated="%%b"/>' % INTAKE.encode())
    for version in NAMESPACES
}
