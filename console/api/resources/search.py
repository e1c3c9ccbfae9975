"""Search in the journal by keys and words, and the keys themselves. What is looked for never stands in an address."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from console.api.problems import Refusal, named
from console.api.resource import Asked, Resource
from console.api.resources.messages import MessageLine, State
from console.api.values import (
    PAGE_MOST,
    PAGE_USUAL,
    CursorField,
    Given,
    Line,
    Moment,
    Name,
    NonEmptyLine,
    Paged,
    Shown,
    pack,
    sane,
    unpack,
)
from core.contents import PERSONAL
from core.database import driver
from core.reading import Wanted
from core.search import asking, rules

search = Resource("Поиск", "По ключам, участникам и словам документов; объявление ключей")


class Search(Given):
    """Which messages: every value that is given must hold."""

    model_config = ConfigDict(extra="forbid", title="Поиск")

    queue: Line = Field(default="", title="Очередь")
    kind: Line = Field(default="", title="Вид сведений")
    state: State | None = Field(default=None, title="Состояние")
    participant: Line = Field(default="", title="Участник", description="Источник, мнемоника СМЭВ, партнёр")
    search_key: Line = Field(default="", title="Ключ поиска", description="Имя из /search-keys")
    value: Line = Field(default="", title="Значение ключа")
    words: Line = Field(default="", title="Слова документа", description="Нужно право personal.read")
    reason_like: Line = Field(default="", title="Часть причины")
    since: Moment | None = Field(default=None, title="Принятые не раньше")
    until: Moment | None = Field(default=None, title="Принятые раньше")
    limit: int = Field(default=PAGE_USUAL, title="Сколько строк", ge=1, le=PAGE_MOST)
    cursor: CursorField = None


class Found(Paged):
    """A page, the newest first."""

    model_config = ConfigDict(title="Найденное")

    items: list[MessageLine] = Field(title="Сообщения")
    complete: bool = Field(title="Просмотрено всё", description="false: время вышло, продолжите с next")
    about: int = Field(title="Примерно всего")
    is_exact: bool = Field(title="Число точное")


@search.act("/messages/search", "messages.read", "Найти сообщения", response_model=Found)
def search_messages(call: Asked, given: Search) -> Any:
    """POST, чтобы СНИЛС и фамилии не стояли в адресах. Ключи с персональными данными — с правом personal.read."""
    wanted = Wanted(
        **given.model_dump(exclude={"limit", "cursor", "since", "until", "state"}),
        state=given.state or "",
        since=sane(given.since),
        until=sane(given.until),
        before=unpack(given.cursor, before=int).get("before"),
    )
    if asking.is_personal(call.bus, wanted):
        call.need(PERSONAL)
    found = asking.search(call.bus, wanted, given.limit, call.person)
    return {
        "items": found.rows,
        "next": None if found.next is None else pack(before=found.next),
        "complete": found.complete,
        "about": found.about,
        "is_exact": found.is_exact,
    }


class Key(Shown):
    """A key."""

    model_config = ConfigDict(title="Ключ поиска", from_attributes=True)

    name: str = Field(title="Имя")
    title: str = Field(title="Название")
    what: str = Field(title="Что это", description="participant, key, xpath, words")
    kind: str = Field(title="Вид сведений")
    xpath: str = Field(title="Путь XPath")
    personal: bool = Field(title="Персональные данные", description="Искать можно с правом personal.read")
    share: float = Field(title="Доля проиндексированного", ge=0, le=1)
    declared_at: datetime = Field(title="Объявлен")
    declared_by: str = Field(title="Кем")


class Keys(Shown):
    """All of them."""

    model_config = ConfigDict(title="Ключи поиска")

    items: list[Key] = Field(title="Ключи")


class NewKey(Given):
    """A key by XPath."""

    model_config = ConfigDict(extra="forbid", title="Новый ключ поиска")

    name: str = Field(title="Имя", pattern="^[a-z][a-z0-9_]{1,40}$", examples=["snils"])
    title: NonEmptyLine = Field(title="Название", examples=["СНИЛС"])
    kind: NonEmptyLine = Field(title="Вид сведений", examples=["zags.death"])
    xpath: str = Field(title="Путь XPath", min_length=1, max_length=1000, examples=["//d:СНИЛС"])
    namespaces: dict[str, str] = Field(default={}, title="Префикс → пространство имён", max_length=20)
    personal: bool = Field(default=True, title="Персональные данные")
    sample: str = Field(default="", title="Образец документа", description='"" — последние сообщения вида')


@search.look("/search-keys", "messages.read", "Ключи поиска", response_model=Keys)
def list_search_keys(call: Asked) -> Any:
    """Встроенные и объявленные."""
    with call.bus.database.transaction(durable=False) as connection:
        return {"items": rules.rules(driver(connection))}


@search.act("/search-keys", "search.write", "Объявить ключ", response_model=Key, status=201, repeatable=False)
def declare_search_key(call: Asked, given: NewKey) -> Any:
    """Новые сообщения получают ключ сразу, прежние — постепенно: смотрите share."""
    try:
        sample = given.sample.encode()
    except UnicodeEncodeError:
        raise Refusal(422, "values", "Неверные значения", "Образец не читается как Unicode") from None
    values = given.model_dump(exclude={"sample", "name"})
    return rules.declare_key(call.bus, given.name, **values, sample=sample, actor=call.actor)


@search.remove("/search-keys/{name}", "search.write", "Удалить ключ")
def remove_search_key(call: Asked, name: Name) -> None:
    """Встроенные не удаляются."""
    with named():
        _rule(call, name)
    rules.remove(call.bus, name, actor=call.actor)


def _rule(call: Asked, name: str) -> rules.Rule:
    with call.bus.database.transaction(durable=False) as connection:
        return rules.rule(driver(connection), name)
