"""What can be allowed, and the roles that come with the bus (DESIGN §6). Nothing is allowed that is not named here.

A permission is `<part>.<deed>`. A subsystem has three, of its own name: `erz.read`, `erz.write`, `erz.approve`.
Personal data is masked everywhere for whoever lacks `personal.read`; it can be added to any role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from core.discovery import subsystem_title
from core.settings import HOUSE

PERMISSIONS: Final[Mapping[str, str]] = {
    "desk.read": "Рабочий стол и карта потоков",
    "queues.read": "Очереди: смотреть",
    "queues.operate": "Очереди: пауза, пуск, опрос",
    "messages.read": "Журнал сообщений: список и ход обработки",
    "messages.content": "Содержимое сообщений (персональные данные скрыты)",
    "personal.read": "Персональные данные без маски",
    "messages.resend": "Повторная отправка и отклонение сообщений",
    "messages.edit": "Правка и отправка: подготовить",
    "messages.approve": "Правка и отправка: утвердить чужую",
    "search.write": "Ключи поиска по журналу: объявлять",
    "trial.run": "Пробный прогон преобразований и схем",
    "schedules.read": "Расписания: смотреть",
    "schedules.operate": "Расписания: запуск сейчас, пауза",
    "schedules.write": "Расписания и календари: создавать и менять",
    "connectors.read": "Коннекторы и виды сведений: смотреть",
    "connectors.test": "Коннекторы: проверка связи",
    "messages.send": "Отправка запросов (СМЭВ и другие)",
    "evidence.make": "Доказательный пакет сообщения",
    "audit.read": "Аудит действий, проверка цепочки хешей",
    "audit.export": "Выгрузка аудита",
    "people.write": "Пользователи, роли, токены",
    "webhooks.write": "Вебхуки: подписки на события шины",
}
_DEEDS: Final = {"read": "смотреть", "write": "вводить и менять", "approve": "утверждать"}


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions."""

    name: str
    title: str
    permissions: frozenset[str]


_READING: Final = {"desk.read", "queues.read", "messages.read", "schedules.read", "connectors.read"}
_OPERATING: Final = _READING | {
    *("queues.operate", "messages.content", "messages.resend", "messages.edit", "trial.run"),
    *("schedules.operate", "connectors.test", "messages.send", "evidence.make"),
}


@cache
def permissions() -> Mapping[str, str]:
    """Every permission with its Russian title, those of the subsystems too."""
    known = dict(PERMISSIONS)
    for subsystem in subsystems():
        title = subsystem_title(subsystem)
        known |= {f"{subsystem}.{deed}": f"Реестры {title}: {words}" for deed, words in _DEEDS.items()}
    return known


@cache
def subsystems() -> tuple[str, ...]:
    """Names of the folders below routes/."""
    return tuple(sorted(one.parent.name for one in (HOUSE / "routes").glob("*/__init__.py")))


@cache
def roles() -> Mapping[str, Role]:
    """The roles that come with the bus, by name. The fund's own ones are in bus.role (core.access.accounts)."""
    administrator = set(PERMISSIONS) - {"personal.read"}
    built = [
        Role("administrator", "Администратор", frozenset(administrator)),
        Role("operator", "Оператор", frozenset(_OPERATING)),
        Role("approver", "Утверждающий правки", frozenset({*_READING, "messages.content", "messages.approve"})),
        Role(
            "auditor",
            "Аудитор",
            frozenset({*_READING, "messages.content", "evidence.make", "audit.read", "audit.export"}),
        ),
        Role("personal", "Доступ к персональным данным", frozenset({"messages.content", "personal.read"})),
    ]
    for one in subsystems():
        title = f"Реестры {subsystem_title(one)}"
        built += [
            Role(f"{one}.reader", f"{title}: просмотр", frozenset({f"{one}.read"})),
            Role(f"{one}.writer", f"{title}: ввод", frozenset({f"{one}.read", f"{one}.write"})),
            Role(f"{one}.approver", f"{title}: утверждение", frozenset({f"{one}.read", f"{one}.approve"})),
        ]
    return {role.name: role for role in built}
