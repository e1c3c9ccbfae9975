"""The summary of a package for a person: made of the package's own files and nothing else, as text and as a page.

Whoever checks a package makes it again and compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final

from core import deeds
from core.message_card import OUTCOMES, STAGES
from core.printing import STATES, ZONE, harmless

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #ccc}
table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid #e3e3e3;overflow-wrap:anywhere}th{white-space:nowrap;font-weight:600}p{max-width:60rem}
"""
_HOW: Final = (
    "Проверить пакет вне шины: omsbus evidence verify ФАЙЛ. Так видно, что ни один файл не изменён, а строки журнала "
    "стоят в цепочке хешей, которая кончается блоком, названным выше.",
    "Что конец цепочки настоящий, доказывает только сравнение с тем, что записан отдельно от шины: "
    "omsbus evidence verify ФАЙЛ --head НОМЕР:ХЕШ (или файл со списком).",
    "Пакет доказывает то, что в нём есть: эти строки журнала таковы, какими их опечатали. Что других строк об этом "
    "сообщении не было, доказывает только проверка всей цепочки на самой базе: omsbus audit verify.",
    "Кому принадлежат сертификаты подписей и можно ли им доверять, решает проверяющий по своему каталогу доверия: "
    "omsbus evidence verify ФАЙЛ --trust КАТАЛОГ. Схемы и преобразования приложены такие, какие действовали, когда "
    "пакет сделан. Формат пакета описан в FORMAT.md.",
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a table, or with pairs where `columns` is ()."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""


def render(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    """(summary.txt, summary.html). files: rows/*, proof/proof.json, signatures.json, kind.json, family.json.

    Raises KeyError, TypeError, ValueError when they are not what a package has.
    """
    title = f"Доказательный пакет сообщения {manifest['message']}"
    sections = list(_sections(manifest, files))
    return _as_text(title, sections).encode(), _as_page(title, sections).encode()


def _sections(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Iterator[Section]:
    rows = [(name, json.loads(octets)) for name, octets in files.items() if name.startswith("rows/")]
    family, proof = json.loads(files["family.json"]), json.loads(files["proof/proof.json"])
    [message] = [row for _, row in rows if row["stream"] == "message"]
    yield _package(manifest, proof, len(rows))
    yield _message(message, family["message"])
    yield Section("Содержимое", ("Что", "sha256", "В пакете"), list(_contents(manifest, message)))
    events = [row for _, row in rows if row["stream"] == "event"]
    yield Section(
        "Ход обработки",
        ("№", "Когда", "Что", "Попытка", "Кто", "Примечание"),
        [
            (
                str(one["seq"]),
                _moment(one["at"]),
                STAGES.get(one["stage"], one["stage"]),
                "" if one["attempt"] == "0" else one["attempt"],
                one["actor"],
                one["note"],
            )
            for one in events
        ],
    )
    if "outgoing.json" in files:
        yield _departure(json.loads(files["outgoing.json"]))
    yield _signatures(json.loads(files["signatures.json"]))
    yield Section(
        "Действия и просмотры",
        ("№", "Когда", "Кто", "Откуда", "Что", "Примечание"),
        [
            (
                str(one["seq"]),
                _moment(one["at"]),
                one["actor"],
                deeds.VIAS.get(one["via"], one["via"]),
                deeds.title(one["action"]),
                one["note"],
            )
            for _, one in rows
            if one["stream"] == "audit"
        ],
    )
    yield _kind(json.loads(files["kind.json"]))
    yield _family(family)
    yield Section("Как проверить", (), [("", one) for one in _HOW])


def _package(manifest: Mapping[str, Any], proof: Mapping[str, Any], rows: int) -> Section:
    waiting = len(proof["unsealed"])
    return Section(
        "Пакет",
        (),
        [
            ("Сделан", f"{_moment(manifest['made_at'])}, {manifest['made_by']}, программа {manifest['program']}"),
            ("Содержимое", "полностью" if manifest["contents"] == "full" else "скрыто: названы только хеши sha256"),
            ("Строк журнала", f"{rows}, из них опечатано в цепочке хешей {rows - waiting}, ещё не опечатано {waiting}"),
            ("Конец цепочки", manifest["head"] or "цепочка пуста"),
            *([("Показано не всё", ", ".join(manifest["cut"]))] if manifest["cut"] else []),
        ],
    )


def _message(row: Mapping[str, Any], stands: Mapping[str, Any]) -> Section:
    state = STATES.get(stands["state"], stands["state"])
    return Section(
        "Сообщение",
        (),
        [
            ("Номер и id", f"{row['seq']}, {row['id']}"),
            ("Вид сведений", f"{row['kind']} {row['version']}".strip()),
            ("Что это", OUTCOMES.get(row["outcome"], row["outcome"])),
            ("Принято", _moment(row["accepted_at"])),
            ("Источник", row["source"]),
            ("Внешний id", row["external_id"]),
            ("Ответ на", row["in_reply_to"]),
            ("Отпечаток", row["fingerprint"]),
            ("Очередь", stands["queue"]),
            ("Состояние при создании пакета", f"{state}. {stands['reason']}".strip(". ")),
        ],
    )


def _contents(manifest: Mapping[str, Any], message: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    hidden = {one["name"] for one in manifest["withheld"]}
    removed = {one["name"] for one in manifest["removed"]}
    for key, words in (("body", "Тело"), ("received", "Конверт, как пришёл"), ("headers", "Заголовки"),
                       ("attachments", "Описание вложений")):  # fmt: skip
        if message[key] is None:
            continue
        name = f"contents/{key}" + (".json" if key in ("headers", "attachments") else "")
        there = "удалено по сроку хранения" if name in removed else "скрыто" if name in hidden else name
        yield words, message[key], there
    for title, named in (("Скрыто", manifest["withheld"]), ("Удалено по сроку", manifest["removed"])):
        for one in named:
            if one["name"].partition("-")[0] in ("contents/attachment", "contents/outgoing"):
                yield one["name"], one["sha256"], title.lower()


def _departure(one: Mapping[str, Any]) -> Section:
    return Section(
        "Отправка",
        (),
        [
            ("Куда", one["sink"]),
            ("Под id", one["external_id"]),
            ("Подготовлено", _moment(one["prepared_at"])),
            ("Отправлялось, раз", str(one["sends"])),
            ("Получение подтверждено", _moment(one["confirmed_at"])),
            ("Ответ получен", _moment(one["answered_at"])),
            ("Ответ", OUTCOMES.get(one["answer"], one["answer"])),
        ],
    )


def _signatures(found: Mapping[str, Any]) -> Section:
    return Section(
        "Подписи",
        ("Где", "Что подписано", "Верна", "Владелец", "Издатель", "Действует"),
        [
            (
                f"{one['file']}, {one['kind']} № {one['number']}",
                one.get("element", "").rpartition("}")[2],
                "да" if one["ok"] else f"НЕТ. {one['reason']}",
                one.get("subject", ""),
                one.get("issuer", ""),
                f"{_day(one['not_before'])} — {_day(one['not_after'])}" if "not_before" in one else "",
            )
            for one in found["signatures"]
        ],
        "; ".join(f"{name}: {value}" for name, value in sorted(found["recorded"].items())),
    )


def _kind(described: Mapping[str, Any]) -> Section:
    rows = [
        (one["version"], one["root"], ", ".join((*one["schemas"], *one["transformers"])) or "—")
        for one in described["formats"]
        if one["applies"]
    ]
    route = f"Маршрут {described['route']}: {described['title']}." if described["route"] else "Маршрута у вида нет."
    return Section("Схема и преобразование", ("Версия", "Корневой элемент", "Файлы"), rows, route)


def _family(found: Mapping[str, Any]) -> Section:
    rows = [
        (
            words,
            one["id"],
            one["kind"],
            one["queue"],
            STATES.get(one["state"], one["state"]),
            _moment(one["accepted_at"]),
        )
        for words, several in (("причина", found["causes"]), ("следствие", found["effects"]))
        for one in several
    ]
    return Section("Причины и следствия", ("", "id", "Вид", "Очередь", "Состояние", "Принято"), rows)


def _moment(text: str | None) -> str:
    if not text:
        return ""
    return f"{datetime.fromisoformat(text).astimezone(ZONE):%d.%m.%Y %H:%M:%S} МСК"


def _day(text: str) -> str:
    return f"{datetime.fromisoformat(text):%d.%m.%Y}"


def _as_text(title: str, sections: Sequence[Section]) -> str:
    lines = [title, "=" * len(title)]
    for one in sections:
        lines += ["", one.title, "-" * len(one.title)]
        if one.note:
            lines.append(one.note)
        if one.columns and not one.rows:
            lines.append("нет")
        for row in one.rows:
            named = zip(one.columns, row, strict=True) if one.columns else [(row[0], row[1])]
            parts = [f"{name}: {value}" if name else value for name, value in named if value]
            if parts:
                lines.append("; ".join(parts))
    return "\n".join(harmless(line).replace("\n", " ") for line in lines) + "\n"


def _as_page(title: str, sections: Sequence[Section]) -> str:
    parts = [
        '<!DOCTYPE html><html lang="ru"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
    ]
    for one in sections:
        parts.append(f"<h2>{escape(one.title)}</h2>")
        if one.note:
            parts.append(f"<p>{escape(one.note)}</p>")
        if one.columns and not one.rows:
            parts.append("<p>нет</p>")
        elif all(not row[0] for row in one.rows) and not one.columns:
            parts += [f"<p>{escape(row[1])}</p>" for row in one.rows]
        else:
            parts.append(_as_table(one))
    return "\n".join([*parts, "</body></html>\n"])


def _as_table(one: Section) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in one.columns)
    rows = [
        "".join(
            f'<th scope="row">{escape(cell)}</th>' if not one.columns and not place else f"<td>{escape(cell)}</td>"
            for place, cell in enumerate(row)
        )
        for row in one.rows
        if one.columns or row[1]
    ]
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
