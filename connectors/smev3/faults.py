"""Every fault of СМЭВ and what the connector does about it: ONE table, `FAULTS` (FACTS §10).

`of_sending`, `of_polling` and `of_acknowledging` turn a fault into the error that tells the bus what to do next,
or into None where the fault is in truth a success. `of_loss` does the same for an answer that never came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from connectors.smev3.client import Lost, Why
from connectors.smev3.settings import Settings
from core.errors import BusError, ConfigError, Permanent, Retryable, Unavailable

TEXT_MOST_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """A soap:Fault or SmevFault as it came.

    name    local name of the element in `detail` ("" for a fault without detail)
    code    `tsmev3:…`; text: faultstring; description: `SMEV-403:…`
    values  local name → text of the specific children (RealTotalAttachmentSize, SignatureVerificationFault…)
    errors  texts of ValidationError
    """

    name: str
    text: str = ""
    code: str = ""
    description: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """`SMEV-403`, or "" when the description names none."""
        number = self.description.partition(":")[0].strip()
        return number if number.startswith("SMEV-") and number[5:].isdigit() else ""

    @property
    def detail(self) -> str:
        """Everything СМЭВ said, for the journal (it may hold personal data)."""
        parts = [self.name, self.code, self.description or self.text, *self.errors]
        parts += [f"{name}={value}" for name, value in self.values.items()]
        return "; ".join(part for part in parts if part)[: 4 * TEXT_MOST_CHARACTERS]


class Action(Enum):
    """What the bus does next."""

    DONE = "успех: повторять нечего"
    AWAY = "СМЭВ не работает: очередь отдыхает и повторяет без ограничения"
    AGAIN = "те же байты ещё раз, позже"
    RENEW = "новый MessageID, новая подпись, отправка"
    QUARANTINE = "сообщение в карантин: решает оператор"
    STOP = "этот отправитель (опрос) останавливается: решает администратор"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. The reason is Russian, names the remedy, and may use {values} of the fault.

    polling, acknowledging   None → the same as `sending`, where that is possible there
    fresh                    what a first, unrepeated send does, when that differs
    pause                    the setting that holds the pause before a repeat
    """

    sending: Action
    reason: str
    polling: Action | None = None
    acknowledging: Action | None = None
    fresh: Action | None = None
    pause: str = ""


FAULTS: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "SMEVFailure": Rule(
            Action.AWAY,
            "Внутренний сбой СМЭВ: шина повторяет сама. Если сбой длится больше {alert} мин, сообщите в поддержку СМЭВ",
        ),
        "DestinationOverflow": Rule(
            Action.AGAIN,
            "Очередь получателя {DestinationName} переполнена: шина повторяет, пока место не появится. "
            "Сообщите получателю и в поддержку СМЭВ",
            pause="overflow_pause_s",
        ),
        "EndOfLifeReached": Rule(
            Action.RENEW,
            "Срок жизни запроса истёк раньше, чем СМЭВ его приняла: запрос подписан заново с новым сроком",
            pause="renew_pause_s",
        ),
        "MessageIsAlreadySent": Rule(
            Action.DONE,
            "СМЭВ уже знает этот MessageID, хотя шина отправляет его впервые: ошибка выдачи идентификаторов. "
            "Проверьте, что узлы шины не скопированы друг с друга вместе с памятью, и отправьте сообщение заново",
            fresh=Action.QUARANTINE,
        ),
        "StaleMessageId": Rule(
            Action.RENEW,
            "СМЭВ считает MessageID устаревшим: делается новый. Если это повторяется, проверьте часы сервера (NTP): "
            "они не должны расходиться с московским временем",
        ),
        "InvalidMessageIdFormat": Rule(
            Action.QUARANTINE,
            "СМЭВ не приняла вид MessageID: ошибка шины. Передайте разработчику байты сообщения из журнала",
        ),
        "InvalidContent": Rule(
            Action.QUARANTINE,
            "СМЭВ не приняла содержание: данные или конверт не соответствуют схеме ({errors}). "
            "Исправьте данные и отправьте новое сообщение",
            polling=Action.STOP,
            acknowledging=Action.STOP,
        ),
        "BusinessDataTypeIsNotSupported": Rule(
            Action.QUARANTINE,
            "Вид сведений {RootElementLocalName} ({RootElementNamespaceURI}) в СМЭВ не зарегистрирован: "
            "проверьте версию вида сведений и контур",
        ),
        "TransactionCodeInvalid": Rule(
            Action.QUARANTINE,
            "СМЭВ не приняла код транзакции (TransactionCode): исправьте его и отправьте новое сообщение",
        ),
        "SignatureVerificationFault": Rule(Action.STOP, "СМЭВ не приняла подпись: {signature}"),
        "AttachmentContentMiscoordination": Rule(
            Action.QUARANTINE,
            "Заголовки вложений не соответствуют содержимому: передайте разработчику и отправьте новое сообщение",
        ),
        "AttachmentSizeLimitExceeded": Rule(
            Action.QUARANTINE,
            "Вложения больше разрешённого ({RealTotalAttachmentSize} байт при пределе {PermittedTotalAttachmentSize}): "
            "передайте их через файловое хранилище или уменьшите и отправьте новое сообщение",
        ),
        "QuoteLimitExceeded": Rule(
            Action.RENEW,
            "Квота хранилища исчерпана (осталось {RemainedTotalQuoteSize} байт, нужно {RealTotalAttachmentSize}): "
            "шина повторит позже. Если квоты не хватает постоянно, запросите её увеличение",
            pause="quota_pause_s",
        ),
        "AccessDenied": Rule(
            Action.QUARANTINE,
            "СМЭВ запретила отправку этого вида сведений: проверьте в личном кабинете участника (ЛК УВ) право на него "
            "и отправьте сообщение снова",
            polling=Action.AGAIN,
            acknowledging=Action.AGAIN,
            pause="polling_penalty_s",
        ),
        "PersonalAccessDenied": Rule(
            Action.QUARANTINE,
            "Доступ запрещён по сертификату должностного лица: проверьте его полномочия в ЛК УВ "
            "и отправьте сообщение снова",
        ),
        "SenderIsNotRegistered": Rule(
            Action.STOP,
            "СМЭВ не знает отправителя по сертификату: обычно сертификат заменён, а в ЛК УВ не обновлён. "
            "Зарегистрируйте сертификат в ЛК УВ и запустите коннектор снова",
        ),
        "RecipientIsNotFound": Rule(
            Action.QUARANTINE,
            "СМЭВ не нашла получателя: у ответа неверен адрес To, у запроса нет маршрута. "
            "Проверьте регистрацию вида сведений",
        ),
        "IncorrectResponseContentType": Rule(
            Action.QUARANTINE,
            "Документ зарегистрирован в СМЭВ как запрос, а отправлен как ответ: исправьте обработчик вида сведений",
        ),
        "UnknownMessageType": Rule(
            Action.QUARANTINE,
            "Вид сведений из отбора опроса не зарегистрирован или не ваш: исправьте namespace и root этого опроса",
            polling=Action.STOP,
        ),
        "TargetMessageIsNotFound": Rule(
            Action.QUARANTINE,
            "СМЭВ не нашла сообщение среди неподтверждённых",
            polling=Action.AGAIN,
            acknowledging=Action.DONE,
        ),
        "RequestIsNotFound": Rule(
            Action.QUARANTINE,
            "СМЭВ не нашла запрос, на который ссылается сообщение: проверьте его по журналу",
            polling=Action.AGAIN,
        ),
    }
)

UNKNOWN_FAULT: Final = Rule(
    Action.AGAIN,
    "СМЭВ ответила неизвестной ошибкой {name}: шина повторит те же байты. Если не пройдёт, сообщите в поддержку СМЭВ",
)

SIGNATURE_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PoorSOAPEnvelopeFormat": "конверт не по форме. Передайте разработчику байты сообщения из журнала",
        "NoSignatureFound": "подпись не найдена. Передайте разработчику байты сообщения из журнала",
        "IncorrectSignatureTarget": "подписан не тот элемент. Передайте разработчику байты сообщения из журнала",
        "SignatureIsInvalid": "подпись не сходится. Проверьте её командой omsbus smev verify",
        "CertificateIsNotFound": "сертификат СМЭВ неизвестен. Обратитесь в поддержку СМЭВ",
        "CertificateIsExpired": "срок сертификата истёк. Получите новый и зарегистрируйте его в ЛК УВ",
    }
)


def of_sending(fault: Fault, settings: Settings, *, repeated: bool) -> BusError | None:
    """What a fault means for a message that we send; None: СМЭВ has it."""
    rule = FAULTS.get(fault.name, UNKNOWN_FAULT)
    action = rule.fresh if rule.fresh is not None and not repeated else rule.sending
    if fault.name == "SignatureVerificationFault" and "вложени" in (fault.text + fault.description).lower():
        return Permanent(
            "СМЭВ не приняла подпись вложения этого сообщения: подпишите вложение заново и отправьте новое сообщение",
            detail=fault.detail,
        )
    return _error(action, rule, fault, settings)


def of_polling(fault: Fault, settings: Settings) -> BusError:
    """What a fault means for a poll: it can rest or stop, nothing else."""
    rule = FAULTS.get(fault.name, UNKNOWN_FAULT)
    action = rule.polling or rule.sending
    if action in (Action.QUARANTINE, Action.RENEW, Action.DONE):
        action = Action.AGAIN
    error = _error(action, rule, fault, settings)
    assert error is not None
    if fault.name == "AccessDenied":
        return Retryable(
            "СМЭВ отказала в опросе очереди (обычно из-за слишком частого опроса): опрос отдохнёт. "
            "Если отказ повторяется, увеличьте интервал опроса и проверьте права в ЛК УВ",
            detail=fault.detail,
            pause_s=settings.polling_penalty_s,
        )
    return error


def of_acknowledging(fault: Fault, settings: Settings) -> BusError | None:
    """What a fault means for an Ack; None: there is nothing left to acknowledge."""
    rule = FAULTS.get(fault.name, UNKNOWN_FAULT)
    action = rule.acknowledging or rule.sending
    if action in (Action.QUARANTINE, Action.RENEW):
        action = Action.AGAIN
    return _error(action, rule, fault, settings)


def of_loss(lost: Lost, settings: Settings) -> Retryable:
    """What a missing answer means. Only UNREACHABLE says that nothing arrived; all else is an unknown outcome."""
    match lost.why:
        case Why.UNREACHABLE:
            return Unavailable(
                "СМЭВ недоступна: нет соединения. Проверьте адрес в настройках, сеть и защищённый канал",
                detail=lost.detail,
            )
        case Why.TIMEOUT:
            return Unavailable(
                f"СМЭВ не ответила за {settings.answer_timeout_s:g} с, исход неизвестен: шина повторит те же байты",
                detail=lost.detail,
            )
        case Why.TOO_LARGE:
            return Retryable(
                f"Ответ СМЭВ больше {settings.spool_most_bytes or settings.answer_most_bytes} байт и не прочитан, шина "
                "повторит. Увеличьте spool_most_bytes (и answer_most_bytes) или попросите отправителя передать данные "
                "вложением",
                detail=lost.detail,
                pause_s=settings.polling_penalty_s,
            )
        case Why.NOT_SOAP:
            return Unavailable(
                "Вместо СМЭВ ответил посредник (страница или код HTTP), исход неизвестен: шина повторит те же байты. "
                "Если не пройдёт, проверьте шлюз и адрес",
                detail=lost.detail,
            )
        case Why.CUT_OFF:
            return Retryable("Ответ СМЭВ оборвался, исход неизвестен: шина повторит те же байты", detail=lost.detail)


def explain(fault: Fault) -> str:
    """The fault in one Russian sentence without personal data: for asynchronous refusals too."""
    rule = FAULTS.get(fault.name, UNKNOWN_FAULT)
    return rule.reason.format_map(_Words(fault, 30))


class _Words(dict[str, str]):
    """What a reason may mention; a value that СМЭВ left out becomes a dash."""

    def __init__(self, fault: Fault, alert_minutes: int) -> None:
        signature = fault.values.get("SignatureVerificationFault", "")
        super().__init__(
            {
                **{name: value[:200] for name, value in fault.values.items()},
                "name": fault.name or "без названия",
                "alert": str(alert_minutes),
                "errors": "подробности в журнале" if fault.errors else "СМЭВ не уточнила",
                "signature": SIGNATURE_REMEDIES.get(signature, "причина в журнале. Проверьте сертификат и ключ"),
            }
        )

    def __missing__(self, key: str) -> str:
        return "—"


def _error(action: Action, rule: Rule, fault: Fault, settings: Settings) -> BusError | None:
    reason = rule.reason.format_map(_Words(fault, max(1, int(settings.failure_alert_s // 60))))
    if fault.number:
        reason = f"{reason} ({fault.number})"
    pause_s = float(getattr(settings, rule.pause)) if rule.pause else None
    match action:
        case Action.DONE:
            return None
        case Action.AWAY:
            return Unavailable(reason, detail=fault.detail, pause_s=pause_s)
        case Action.AGAIN:
            return Retryable(reason, detail=fault.detail, pause_s=pause_s)
        case Action.RENEW:
            return Retryable(reason, detail=fault.detail, pause_s=0.0 if pause_s is None else pause_s, renew=True)
        case Action.QUARANTINE:
            return Permanent(reason, detail=fault.detail)
        case Action.STOP:
            return ConfigError(reason, detail=fault.detail)
