"""Russian names of the settings of connectors, for people who do not know the file by heart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

TYPES: Final[Mapping[str, str]] = {
    "smev3": "СМЭВ 3",
    "http": "HTTP и SOAP",
    "files": "Папки обмена (FTP, SFTP, сетевые папки)",
}
OPERATIONS: Final[Mapping[str, str]] = {
    "requests": "Запросы к нам",
    "responses": "Ответы на наши запросы",
    "status": "Статусы наших сообщений",
    "statistics": "Статистика входящих очередей",
}
LABELS: Final[Mapping[str, str]] = {
    "type": "Тип",
    "enabled": "Включён",
    "endpoints": "Адрес версии",
    "versions": "Версия для вида",
    "default_version": "Версия по умолчанию",
    "key_file": "Файл ключа",
    "certificate_file": "Файл сертификата",
    "password_env": "Переменная с паролем",
    "password_file": "Файл с паролем",
    "next_key_file": "Файл следующего ключа",
    "next_certificate_file": "Файл следующего сертификата",
    "next_password_env": "Переменная с паролем следующего ключа",
    "next_password_file": "Файл с паролем следующего ключа",
    "next_from": "Следующий ключ действует с",
    "trust_dir": "Хранилище доверия",
    "sender_trust_dir": "Хранилище доверия отправителей",
    "pin": "Отпечатки сертификатов оператора",
    "operator_subject": "Владелец сертификата оператора",
    "accept_stale_lists": "Работать с просроченным списком отозванных",
    "escaping": "Запись знаков при подписи",
    "bad_signature": "Неверная подпись СМЭВ",
    "sender_signature": "Подпись отправителя",
    "acknowledge_status": "Подтверждать статусы",
    "verify_outgoing_first": "Проверять своих подписей после запуска",
    "poll_interval_s": "Пауза между опросами, с",
    "poll_floor_s": "Опрашивать не чаще, с",
    "polling_penalty_s": "Пауза после жалобы на частый опрос, с",
    "connect_timeout_s": "Ждать соединения, с",
    "answer_timeout_s": "Ждать ответа, с",
    "answer_most_bytes": "Ответ не больше, байт",
    "spool_most_bytes": "Длинный ответ сохранять до, байт",
    "envelope_most_bytes": "Конверт не больше, байт",
    "connections": "Соединений",
    "overflow_pause_s": "Пауза, когда очередь получателя полна, с",
    "quota_pause_s": "Пауза, когда исчерпана квота хранилища, с",
    "renew_pause_s": "Пауза перед новым идентификатором, с",
    "failure_alert_s": "Звать поддержку СМЭВ после, с",
    "end_of_life_s": "Новый срок жизни запроса, с",
    "certificate_warning_days": "Предупреждать о сертификате за, дней",
    "path": "Путь приёма",
    "public_url": "Адрес приёма для отправителей",
    "open_queues": "Очереди без токена",
    "senders": "Отправитель",
    "soap_queues": "Очереди только для SOAP",
    "check_xml": "Проверять XML при приёме",
    "body_most_bytes": "Тело не больше, байт",
    "request_most_bytes": "Запрос не больше, байт",
    "spool_dir": "Папка для длинных запросов",
    "spool_folder": "Папка для длинных файлов",
    "url": "Адрес",
    "method": "Метод",
    "content_type": "Тип содержимого",
    "headers": "Заголовок",
    "token_file": "Файл с токеном",
    "token_env": "Переменная с токеном",
    "soap": "Версия SOAP",
    "soap_action": "SOAPAction",
    "conflict_means_repeated": "Ответ 409 значит «уже принято»",
    "ca_file": "Файл удостоверяющих центров",
    "client_certificate_file": "Файл нашего сертификата",
    "client_key_file": "Файл нашего ключа",
    "user": "Имя для входа",
    "host_key": "Отпечаток ключа сервера",
    "passive": "Пассивный режим",
    "telnet_iac": "Удваивать байт 0xFF",
    "encoding": "Кодировка имён файлов",
    "inbox": "Входящая папка",
    "outbox": "Исходящая папка",
    "folder": "папка",
    "pattern": "имена файлов",
    "queue": "очередь",
    "queues": "очереди",
    "kind": "вид сведений",
    "interval_s": "пауза, с",
    "cron": "расписание",
    "done": "после приёма",
    "done_folder": "папка принятых",
    "bad_folder": "папка негодных",
    "settle_s": "файл не меняется, с",
    "ready_suffix": "знак готовности",
    "batch_most": "файлов за раз",
    "name": "имя файла",
    "register": "папка учёта отправленного",
    "register_days": "помнить отправленное, дней",
}


def label(name: str) -> str:
    """«Входящая папка: папка» for `inbox.folder`; the name itself where it is not known."""
    head, _, rest = name.partition(".")
    words = LABELS.get(re.sub(r"\[\d+\]", "", head), head)
    if not rest:
        return words
    last = rest.rpartition(".")[2]
    return f"{words}: {LABELS[last]}" if last in LABELS and head in ("inbox", "outbox") else f"{words} {_sender(rest)}"


def _sender(rest: str) -> str:
    name, _, key = rest.rpartition(".")
    return f"{name}: {LABELS[key].lower()}" if name and key in LABELS else rest
