"""A message's card on paper: for a person, and for a program."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from rich.text import Text
from rich.tree import Tree

from core import printing
from core.cards import Card, Departure, EventRow
from core.message import OUTCOME_WORDS
from core.payloads import REMOVED
from core.reading import MessageRow

OUTCOMES: Mapping[str, str] = {str(one): words for one, words in OUTCOME_WORDS.items()}

_REMOVED = "удалено по сроку хранения"

STAGES = {
    "acknowledged": "подтверждено источнику",
    "not acknowledged": "не подтверждено источнику",
    "refused": "отклонено источнику",
    "repeated": "пришло повторно",
    "handled": "обработано",
    "retry": "будет повтор",
    "quarantined": "карантин",
    "stopped": "очередь остановлена",
    "prepared": "подготовлено",
    "sent": "отправлено",
    "unavailable": "другая сторона недоступна",
    "resent": "отправлено повторно",
    "moved": "переведено",
    "dropped": "отклонено",
    "corrected": "исправлено",
    "put": "поставлено вручную",
    "viewed": "просмотр",
}


def show(card: Card, contents: dict[str, Any], *, detail: bool) -> None:
    """Print the card; of the contents only what is in `contents`."""
    row = card.row
    printing.pairs(
        [
            ("Сообщение", f"№ {row.seq}, {row.id}"),
            ("Вид", f"{row.kind} {row.version}".strip() + f" ({OUTCOMES.get(row.outcome, row.outcome)})"),
            ("Очередь", row.queue),
            ("Состояние", printing.state(row.state)),
            ("Причина", f"{row.reason} [{row.error}]" if row.error else row.reason),
            ("Попыток", row.attempts or ""),
            ("Следующая", printing.date(row.due_at)),
            ("Принято", printing.date(row.accepted_at)),
            ("Изменено", printing.date(row.changed_at)),
            ("Источник", row.source),
            ("Внешний id", row.external_id),
            ("Ответ на", card.in_reply_to),
            ("Ключ порядка", row.key),
            ("Размер", _REMOVED if card.body_removed else _size(card)),
            ("Отпечаток", card.fingerprint),
        ]
    )
    _events(card.events, detail=detail)
    if card.outgoing:
        _departure(card.outgoing)
    _headers(card.headers)
    _attachments(card.attachments)
    if card.causes or card.effects:
        _family(card)
    _contents(contents)


def plain(card: Card, contents: dict[str, Any], *, detail: bool) -> dict[str, Any]:
    """The card for a program. Bytes are text where they are UTF-8, else base64 under `<name>_base64`."""
    made = asdict(card)
    made |= made.pop("row")
    if not detail:
        for event in made["events"]:
            del event["detail"]
    made["effects"] = [{"depth": one.depth, "cause": one.cause, **asdict(one.row)} for one in card.effects]
    for name in ("body", "received"):
        if name in contents:
            made |= _octets(name, contents[name])
    if "outputs" in contents:
        made["outputs"] = [{"stage": stage, **_octets("output", octets)} for stage, octets in contents["outputs"]]
    return made


def _octets(name: str, octets: bytes | None) -> dict[str, str | None]:
    if octets is None:
        return {name: None}
    try:
        return {name: octets.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(octets).decode()}


def _size(card: Card) -> str:
    envelope = "" if card.received_bytes is None else f", конверт {printing.number(card.received_bytes)} Б"
    return f"тело {printing.number(card.body_bytes)} Б" + envelope


def _events(events: Iterable[EventRow], *, detail: bool) -> None:
    rows = []
    for one in events:
        what = Text(STAGES.get(one.stage, one.stage), style=printing.COLOURS.get(one.stage, ""))
        note = one.note if not one.actor else f"{one.actor}: {one.note}"
        if detail and one.detail:
            note = f"{note}\n{_REMOVED if one.detail.startswith(REMOVED) else one.detail}"
        rows.append(
            (printing.date(one.at), what, one.attempt or "", _ms(one.duration_ms), _ms(one.since_ms, "+"), note)
        )
    printing.table(
        ("Когда", "Что", "Попытка", "Заняло", "Прошло", "Подробности"), rows, right=(2, 3, 4), title="Ход обработки"
    )


def _ms(value: float | None, sign: str = "") -> str:
    if value is None:
        return ""
    return f"{sign}{value:.0f} мс" if value < 10_000 else sign + printing.lasting(value / 1000)


def _departure(one: Departure) -> None:
    if one.answered_at:
        answer = f"{OUTCOMES.get(one.answer, one.answer)}, {printing.date(one.answered_at)}"
    else:
        answer = f"ждём до {printing.date(one.answer_due_at)}" if one.answer_due_at else ""
    printing.say("Отправка")
    printing.pairs(
        [
            ("Куда", one.sink),
            ("Под id", one.external_id),
            ("Подготовлено", f"{printing.date(one.prepared_at)}, {printing.number(one.body_bytes)} Б"),
            ("Отправлялось", f"раз: {one.sends}"),
            ("Подтверждено", printing.date(one.confirmed_at)),
            ("Ответ", answer),
            ("Ответ примет", one.replies_to),
            *((f"  {name}", value) for name, value in sorted(one.headers.items())),
        ]
    )


def _headers(headers: dict[str, str]) -> None:
    """Signatures first: that is what they look for."""
    if not headers:
        return
    names = sorted(headers, key=lambda name: (not _is_signature(name), name))
    printing.table(("Заголовок", "Значение"), [(name, headers[name]) for name in names], title="Заголовки")


def _is_signature(name: str) -> bool:
    return "sign" in name


def _attachments(attachments: list[dict[str, Any]]) -> None:
    if attachments:
        printing.table(
            ("Вложение", "Тип", "Получено"),
            [(one["name"], one["media_type"], _stored(one["payload"])) for one in attachments],
            title="Вложения",
        )


def _stored(payload: str) -> str:
    if payload.startswith(REMOVED):
        return _REMOVED
    return payload[:12] or "нет, только заголовок"


def _family(card: Card) -> None:
    """From the first cause down to the last effect; this message is marked."""
    at: dict[UUID, Tree] = {}
    last: Tree | None = None
    for row in [*card.causes, card.row]:
        label = _leaf(row, style="bold" if row is card.row else "")
        last = at[row.id] = Tree(label) if last is None else last.add(label)
    assert last is not None
    for effect in card.effects:
        at[effect.row.id] = at.get(effect.cause, last).add(_leaf(effect.row))
    printing.say("Причина и следствия")
    printing.console().print(next(iter(at.values())))


def _leaf(row: MessageRow, style: str = "") -> Text:
    words = f"№ {row.seq} {row.kind} ({OUTCOMES.get(row.outcome, row.outcome)}) → {row.queue}: "
    label = Text(printing.harmless(words), style=style)
    return label.append_text(printing.state(row.state))


def _contents(contents: dict[str, Any]) -> None:
    for name, title in (("body", "Тело"), ("received", "Конверт")):
        if name in contents:
            octets = contents[name]
            printing.say(title)
            print("отдельного конверта не было" if octets is None else _readable(octets))
    for stage, octets in contents.get("outputs", ()):
        printing.say(f"Результат этапа «{STAGES.get(stage, stage)}»")
        print(_readable(octets))


def _readable(octets: bytes) -> str:
    return printing.harmless(octets.decode("utf-8", "backslashreplace").replace("\r\n", "\n"))
