"""The three versions of the exchange service: their namespaces and what sets each apart (FACTS §1, §2.3)."""

from __future__ import annotations

from dataclasses import dataclass

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XMLDSIG = "http://www.w3.org/2000/09/xmldsig#"
XOP = "http://www.w3.org/2004/08/xop/include"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
ROOT_NAMESPACE = "urn://x-artefacts-smev-gov-ru/services/message-exchange"


@dataclass(frozen=True)
class Version:
    """One version of the service. `number` is "1.1", "1.2" or "1.3"."""

    number: str

    @property
    def wsdl(self) -> str:
        return f"{ROOT_NAMESPACE}/{self.number}"

    @property
    def types(self) -> str:
        return f"{ROOT_NAMESPACE}/types/{self.number}"

    @property
    def basic(self) -> str:
        return f"{ROOT_NAMESPACE}/types/basic/{self.number}"

    @property
    def faults(self) -> str:
        return f"{ROOT_NAMESPACE}/types/faults/{self.number}"

    @property
    def routing(self) -> str:
        return f"{ROOT_NAMESPACE}/types/routing/{self.number}"

    @property
    def directive(self) -> str:
        return f"{ROOT_NAMESPACE}/types/directive/{self.number}"

    @property
    def path(self) -> str:
        return f"/smev/v{self.number}/ws"

    @property
    def is_1_1(self) -> bool:
        return self.number == "1.1"

    @property
    def is_1_3(self) -> bool:
        return self.number == "1.3"

    @property
    def delivered_status(self) -> str:
        """Status of a message handed out: 1.1 says responseIsDelivered even of requests."""
        return "responseIsDelivered" if self.is_1_1 else "messageIsDelivered"

    @property
    def response_rejected_status(self) -> str:
        """1.1 has no value for a refused response: the nearest that its list holds."""
        return "requestIsRejectedBySmev" if self.is_1_1 else "responseIsRejectedBySmev"

    @property
    def response_queued_status(self) -> str:
        """Only 1.3 has responseIsQueued."""
        return "responseIsQueued" if self.is_1_3 else "requestIsQueued"

    @property
    def operations(self) -> tuple[str, ...]:
        return OPERATIONS + (("GetIncomingQueueStatistics",) if self.is_1_1 else ())


OPERATIONS = ("SendRequest", "SendResponse", "GetRequest", "GetResponse", "GetStatus", "Ack")
VERSIONS = {number: Version(number) for number in ("1.1", "1.2", "1.3")}

SIGNED_BY_SMEV = "SIGNED_BY_SMEV"
SIGNED_ASYNC_BY_SMEV = "SIGNED_ASYNC_BY_SMEV"
SMEV_MNEMONIC = "smev"
