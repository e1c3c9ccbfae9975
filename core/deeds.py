"""What the audit calls things: the Russian title of every action and of every kind of object.

An action is `<object>.<deed>`. A test finds every action that the program records and asks for its title here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from core.access import permissions

ACTIONS: Final[Mapping[str, str]] = {
    "message.viewed": "Просмотр содержимого сообщения",
    "message.resent": "Повторная отправка",
    "message.dropped": "Отклонение сообщений",
    "message.put": "Постановка сообщения вручную",
    "request.sent": "Запрос отправлен вручную",
    "correction.proposed": "Правка: подготовлена",
    "correction.approved": "Правка: утверждена",
    "correction.rejected": "Правка: отклонена",
    "correction.withdrawn": "Правка: отозвана",
    "bulk.started": "Массовое задание: начато",
    "bulk.paused": "Массовое задание: пауза",
    "bulk.continued": "Массовое задание: продолжено",
    "bulk.cancelled": "Массовое задание: отменено",
    "bulk.stopped": "Массовое задание: остановлено из-за ошибок",
    "bulk.done": "Массовое задание: закончено",
    "trial.run": "Пробный прогон",
    "messages.searched": "Поиск по персональным данным",
    "messages.exported": "Выгрузка списка сообщений",
    "search.declared": "Ключ поиска: объявлен",
    "search.removed": "Ключ поиска: удалён",
    "queue.paused": "Очередь: пауза",
    "queue.resumed": "Очередь: пуск",
    "queue.polled": "Очередь: опрос источника",
    "queue.moved": "Очередь: перевод сообщений в другую",
    "queue.dropped": "Очередь: отклонение всех сообщений",
    "queue.drained": "Очередь: разбор без отдыха",
    "queue.tuned": "Очередь: изменены числа",
    "queue.untuned": "Очередь: числа как в настройках",
    "connector.checked": "Коннектор: проверка связи",
    "schedule.run": "Расписание: запуск вручную",
    "schedule.paused": "Расписание: пауза",
    "schedule.resumed": "Расписание: пуск",
    "schedule.created": "Расписание: создано",
    "schedule.changed": "Расписание: изменено",
    "schedule.reset": "Расписание: изменения отменены",
    "schedule.removed": "Расписание: удалено",
    "calendar.imported": "Календарь: загружен",
    "calendar.removed": "Календарь: удалён",
    "registry.listed": "Реестр: просмотр списка",
    "registry.viewed": "Реестр: просмотр карточки",
    "registry.exported": "Реестр: выгрузка",
    "registry.created": "Реестр: запись создана",
    "registry.changed": "Реестр: запись изменена",
    "registry.deleted": "Реестр: запись удалена",
    "registry.imported": "Реестр: загрузка из файла",
    "session.began": "Вход",
    "session.refused": "Неудачный вход",
    "session.ended": "Выход",
    "session.closed": "Сеанс завершён принудительно",
    "account.locked": "Вход закрыт после неверных паролей",
    "account.created": "Пользователь: создан",
    "account.renamed": "Пользователь: изменено имя",
    "account.roles": "Пользователь: изменены роли",
    "account.blocked": "Пользователь: заблокирован",
    "account.unblocked": "Пользователь: разблокирован",
    "account.password": "Пользователь: новый пароль",
    "account.password_refused": "Пользователь: пароль не изменён",
    "account.subject": "Пользователь: учётная запись организации",
    "account.profile": "Пользователь: профиль",
    "role.created": "Роль: создана",
    "role.changed": "Роль: изменена",
    "role.removed": "Роль: удалена",
    "token.issued": "Токен: выпущен",
    "token.revoked": "Токен: отозван",
    "webhook.created": "Вебхук: подписка создана",
    "webhook.changed": "Вебхук: подписка изменена",
    "webhook.paused": "Вебхук: пауза",
    "webhook.resumed": "Вебхук: пуск",
    "webhook.secret_renewed": "Вебхук: новый секрет",
    "webhook.removed": "Вебхук: подписка удалена",
    "webhook.tested": "Вебхук: проверка",
    "webhook.failed": "Вебхук: доставка прекращена",
    "audit.exported": "Выгрузка аудита",
    "chain.verified": "Проверка цепочки хешей",
    "evidence.made": "Доказательный пакет",
}
LOOKS: Final = (
    "message.viewed",
    "messages.searched",
    "messages.exported",
    "registry.listed",
    "registry.viewed",
    "registry.exported",
    "evidence.made",
)
"""Actions that are looks at what may hold personal data."""
SIGN_INS: Final = ("session.began", "session.refused", "session.ended", "session.closed", "account.locked")
"""What a person is shown of his own account."""
OBJECTS: Final[Mapping[str, str]] = {
    "message": "Сообщение",
    "queue": "Очередь",
    "schedule": "Расписание",
    "kind": "Вид сведений",
    "connector": "Коннектор",
    "webhook": "Вебхук",
    "calendar": "Календарь",
    "bulk": "Массовое задание",
    "account": "Пользователь",
    "role": "Роль",
    "token": "Токен",
    "audit": "Аудит",
    "chain": "Цепочка хешей",
    "journal": "Журнал сообщений",
    "search": "Ключ поиска",
}
VIAS: Final[Mapping[str, str]] = {
    "console": "консоль",
    "api": "REST API",
    "cli": "командная строка",
    "bus": "сама шина",
}

DETAILS: Final[Mapping[str, str]] = {
    "added": "добавлено",
    "removed": "убрано",
    "roles": "роли",
    "scopes": "права",
    "expires_at": "срок",
    "count": "сколько",
    "messages": "сообщения",
    "message": "сообщение",
    "to": "куда",
    "before": "было",
    "after": "стало",
    "timezone": "часовой пояс",
    "theme": "оформление",
    "actor": "кто",
    "action": "действие",
    "object_kind": "вид объекта",
    "object_id": "объект",
    "via": "откуда",
    "since": "с",
    "until": "до",
    "looks": "только просмотры",
    "reason": "почему",
}

_RIGHTS: Final = ("scopes", "roles", "added", "removed")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:")


def title(action: str) -> str:
    """In Russian; the action itself when nobody has given it a title."""
    return ACTIONS.get(action, action)


def object_title(kind: str) -> str:
    """In Russian; the kind itself when nobody has given it a title."""
    return OBJECTS.get(kind, kind)


def detail_title(name: str) -> str:
    """In Russian; the name itself when nobody has given it a title."""
    return DETAILS.get(name, name)


def told(value: Any, name: str = "") -> str:
    """A value of the detail as a person reads it. name: what it is; rights and roles are called by their titles."""
    if isinstance(value, bool):
        return "да" if value else "нет"
    if isinstance(value, list):
        return ", ".join(told(one, name) for one in value) or "ничего"
    if isinstance(value, dict):
        return ", ".join(f"{detail_title(key)}: {told(one, key)}" for key, one in value.items()) or "ничего"
    if value in (None, ""):
        return "ничего"
    if isinstance(value, str) and name in _RIGHTS:
        role = permissions.roles().get(value)
        return permissions.permissions().get(value) or (f"«{role.title}»" if role else value)
    if isinstance(value, str) and _MOMENT.match(value):
        return _moment(value)
    return str(value)


def _moment(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%d.%m.%Y %H:%M UTC%z}"
    except ValueError:
        return text
