"""Faults of СМЭВ: one exception, one catalogue (FACTS §10).

Each entry holds the number that goes into `SMEV-nnn:`, the Code and the text. Numbers 100, 403 and 501 were seen
in real answers; the others are placeholders of ours, good enough for a client that must not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """`family`: smev (Code and Description under xsi:type SmevFault) or typed (its own complex type)."""

    number: int
    code: str
    text: str
    family: str = "smev"


CATALOGUE: dict[str, Entry] = {
    "SMEVFailure": Entry(1, "TR:SYNC:GEN:1", "Внутренняя ошибка СМЭВ. Повторите запрос позже."),
    "SignatureVerificationFault": Entry(100, "TR:SYNC:SPS:4", "Ошибка проверки ЭП-ОВ.", "typed"),
    "SenderIsNotRegistered": Entry(101, "TR:SYNC:SPS:7", "Отправитель не зарегистрирован в СМЭВ."),
    "AccessDenied": Entry(200, "TR:SYNC:ACL:1", "Доступ к виду сведений запрещён."),
    "PersonalAccessDenied": Entry(201, "TR:SYNC:ACL:2", "Доступ запрещён по сертификату должностного лица."),
    "RecipientIsNotFound": Entry(202, "TR:SYNC:RTE:1", "Получатель сообщения не найден."),
    "DestinationOverflow": Entry(203, "TR:SYNC:RTE:2", "Очередь получателя переполнена.", "typed"),
    "UnknownMessageType": Entry(204, "TR:SYNC:RTE:3", "Вид сведений не зарегистрирован за участником."),
    "BusinessDataTypeIsNotSupported": Entry(400, "TR:SYNC:PP:10", "Вид сведений не зарегистрирован в СМЭВ.", "typed"),
    "IncorrectResponseContentType": Entry(401, "TR:SYNC:PP:11", "Тип содержимого зарегистрирован как запрос."),
    "TransactionCodeInvalid": Entry(402, "TR:SYNC:PP:12", "Код транзакции не прошёл проверку."),
    "InvalidContent": Entry(403, "TR:SYNC:PP:55", "Сообщение не соответствует схеме.", "typed"),
    "InvalidMessageIdFormat": Entry(404, "TR:SYNC:PP:20", "Идентификатор сообщения не является UUID версии 1."),
    "StaleMessageId": Entry(405, "TR:SYNC:PP:21", "Идентификатор сообщения устарел."),
    "MessageIsAlreadySent": Entry(406, "TR:SYNC:PP:22", "Сообщение с таким идентификатором уже отправлено."),
    "EndOfLifeReached": Entry(407, "TR:SYNC:PP:23", "Истёк срок жизни сообщения."),
    "AttachmentContentMiscoordination": Entry(
        410, "TR:SYNC:ATT:1", "Заголовки и содержимое вложений не соответствуют друг другу."
    ),
    "AttachmentSizeLimitExceeded": Entry(411, "TR:SYNC:ATT:2", "Превышен размер вложений.", "typed"),
    "QuoteLimitExceeded": Entry(412, "TR:SYNC:ATT:3", "Превышена квота файлового хранилища.", "typed"),
    "TargetMessageIsNotFound": Entry(501, "TR:SYNC:DAS:4", "Сообщение не найдено среди неподтверждённых."),
}
ASYNC_INVALID_CONTENT_CODE = "tsmev3:P:TSMEV3_ASYNC_CORE1:TR:ASYNC:PP:BSV:3"
CODE_AREA = "tsmev3:PRODUCTION_AREA:TSMEV3_CORE1 : "
CODE_AREA_1_1 = "tsmev3:P:TSMEV3_CORE1 : "
"""1.1 allows 50 characters in Code: the long area does not fit."""

REQUIRED_CHILDREN: dict[str, dict[str, str]] = {
    "SignatureVerificationFault": {"SignatureVerificationFault": "SignatureIsInvalid"},
    "DestinationOverflow": {"MessageBrokerAddress": "unknown", "DestinationName": "unknown"},
    "BusinessDataTypeIsNotSupported": {"RootElementLocalName": "unknown", "RootElementNamespaceURI": "unknown"},
    "AttachmentSizeLimitExceeded": {"PermittedTotalAttachmentSize": "0", "RealTotalAttachmentSize": "0"},
    "QuoteLimitExceeded": {"RemainedTotalQuoteSize": "0", "RealTotalAttachmentSize": "0"},
}


@dataclass(frozen=True)
class ValidationError:
    """One complaint of a schema; `position` is -1 when the validator gave none."""

    text: str
    position: int = -1


@dataclass
class SmevFault(Exception):
    """A refusal that the caller gets as soap:Fault. `name` is the element in the faults namespace.

    `text` is what stands in faultstring; Description is `SMEV-nnn:` before the same text. An empty `name` gives a
    fault without detail (FACTS §10.3), and then `client` says whose mistake it is.
    """

    name: str
    text: str = ""
    children: dict[str, str] = field(default_factory=dict)
    errors: tuple[ValidationError, ...] = ()
    client: bool = False
    injected: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.name, self.text)
        entry = CATALOGUE.get(self.name)
        if entry is not None and not self.text:
            self.text = entry.text
        for child, value in REQUIRED_CHILDREN.get(self.name, {}).items():
            self.children.setdefault(child, value)

    @property
    def entry(self) -> Entry:
        return CATALOGUE[self.name]

    @property
    def description(self) -> str:
        return f"SMEV-{self.entry.number}:{self.text}"

    def code(self, version_number: str) -> str:
        area = CODE_AREA_1_1 if version_number == "1.1" else CODE_AREA
        return area + self.entry.code


def invalid_content(text: str, errors: tuple[ValidationError, ...]) -> SmevFault:
    """InvalidContent with at least the one ValidationError that the schema asks for."""
    return SmevFault("InvalidContent", text, errors=errors or (ValidationError(text),))


def bad_signature(reason: str, text: str) -> SmevFault:
    """`reason` is a value of the SignatureVerificationFault list: NoSignatureFound, CertificateIsExpired…"""
    return SmevFault("SignatureVerificationFault", text, {"SignatureVerificationFault": reason})
