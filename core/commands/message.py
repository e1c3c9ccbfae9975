"""`omsbus message`: find, look, send again, drop, put."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import typer

from core import cards, message_card, operations, printing, reading, submission
from core.bus import Bus
from core.database import driver
from core.errors import ConfigError
from core.message import Message
from core.moments import moment
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.reading import MessageRow, Wanted
from core.search import finding

NAME = "message"
app = typer.Typer(
    help="Сообщения: список, карточка, повторная отправка, отклонение, команда вручную.", no_args_is_help=True
)

PAGE_MOST = 10_000
RESEND_PAGE = 100
"""Messages sent again in one transaction."""
_IDS = typer.Argument(None, help="Номер, id, начало id или внешний идентификатор сообщения")
_QUEUE = typer.Option("", "--queue", help="Очередь")
_STATE = typer.Option("", "--state", help=f"Состояние: {', '.join(reading.STATES)}")
_REASON_LIKE = typer.Option("", "--reason-like", help="Часть текста причины")


@app.command("list")
def list_(
    queue: str = _QUEUE,
    kind: str = typer.Option("", "--kind", help="Вид сведений"),
    state: str = _STATE,
    key: str = typer.Option("", "--key", help="Ключ порядка"),
    source: str = typer.Option("", "--source", help="Источник"),
    participant: str = typer.Option("", "--participant", help="Кто прислал: источник, мнемоника СМЭВ, партнёр токена"),
    external_id: str = typer.Option("", "--external-id", help="Внешний идентификатор (MessageID СМЭВ)"),
    reason_like: str = _REASON_LIKE,
    since: str = typer.Option("", "--since", help="Принятые не раньше: 24.11.2026 09:30, 2026-11-24T09:30 или 2ч"),
    until: str = typer.Option("", "--until", help="Принятые раньше"),
    limit: int = typer.Option(50, "--limit", min=1, max=PAGE_MOST, help="Сколько строк"),
    before: int | None = typer.Option(None, "--before", help="Только с номером меньше этого (следующая страница)"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Последние сообщения, новые сверху. Содержимого и персональных данных в списке нет."""
    wanted = Wanted(
        queue=queue,
        kind=kind,
        state=state,
        key=key,
        source=source,
        participant=participant,
        external_id=external_id,
        reason_like=reason_like,
        since=moment(since, printing.ZONE) if since else None,
        until=moment(until, printing.ZONE) if until else None,
        before=before,
    )
    with open_bus(config, data) as bus:
        rows = finding.messages(bus.database, wanted, limit)
    if as_json:
        printing.as_json([asdict(row) for row in rows])
        return
    if not rows:
        printing.say("Таких сообщений нет.")
        return
    printing.table(("№", "Принято", "Вид", "Очередь", "Состояние", "Причина"), [_line(row) for row in rows], right=(0,))
    if len(rows) == limit:
        printing.say(f"Дальше: --before {rows[-1].seq}. Карточка: omsbus message show НОМЕР")


@app.command()
def show(
    wanted: str = typer.Argument(help="Номер, id, начало id или внешний идентификатор"),
    body: bool = typer.Option(False, "--body", help="Показать тело (просмотр записывается в журнал)"),
    received: bool = typer.Option(False, "--received", help="Показать конверт, как он пришёл (записывается)"),
    detail: bool = typer.Option(False, "--detail", help="Подробности ошибок и результаты этапов (записывается)"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Карточка сообщения: ход обработки, попытки, причина и следствия, что ушло и что ответили."""
    with open_bus(config, data) as bus:
        message_id = cards.find(bus.database, wanted)
        contents = _contents(bus, message_id, body=body, received=received, detail=detail)
        card = cards.card(bus.database, message_id)
    if as_json:
        printing.as_json(message_card.plain(card, contents, detail=detail))
    else:
        message_card.show(card, contents, detail=detail)


@app.command()
def resend(
    wanted: list[str] | None = _IDS,
    queue: str = _QUEUE,
    state: str = _STATE,
    reason_like: str = _REASON_LIKE,
    limit: int = typer.Option(1000, "--limit", min=1, help="Не больше стольких"),
    yes: bool = typer.Option(False, "--yes", help="Не спрашивать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Отправить ещё раз: названные сообщения или отобранные по очереди, состоянию и причине."""
    with open_bus(config, data) as bus:
        if wanted:
            done = operations.resend(bus, [cards.find(bus.database, one) for one in wanted], actor=actor())
        else:
            done = _resend_chosen(bus, _chosen(queue, state, reason_like), limit, yes=yes)
    printing.say(f"Отправлено повторно: {printing.number(done)}.")


@app.command()
def drop(
    wanted: list[str] = typer.Argument(help="Номер, id, начало id или внешний идентификатор"),
    reason: str = typer.Option(..., "--reason", help="Почему: останется в журнале"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Отклонить: больше не обрабатывать; сообщения того же ключа пойдут дальше."""
    with open_bus(config, data) as bus:
        ids = [cards.find(bus.database, one) for one in wanted]
        done = operations.drop(bus, ids, actor=actor(), reason=reason)
    finished = len(ids) - done
    printing.say(f"Отклонено: {done}." + (f" Уже были завершены: {finished}." if finished else ""))


@app.command()
def put(
    kind: str = typer.Argument(help="Маршрут, например sfr.snils.ask"),
    body: str = typer.Option("{}", "--body", help="Тело: JSON или @файл"),
    key: str = typer.Option("", "--key", help="Ключ порядка"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Поставить в шину команду. Тело сразу проверяется так же, как при обработке."""
    with open_bus(config, data) as bus:
        message = Message(kind=kind, body=_octets(body), key=key, source="cli")
        made = submission.submit(bus, message, actor=actor())
    printing.say(f"Принято: {made}. Посмотреть: omsbus message show {made}")


def _octets(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"Файл {text[1:]} не читается ({error.strerror}): проверьте путь и права") from None


def _contents(bus: Bus, message_id: UUID, *, body: bool, received: bool, detail: bool) -> dict[str, Any]:
    """What was asked for of the contents; the look is in the journal before anything is shown."""
    names = {"тело": body, "конверт": received, "подробности": detail}
    asked = [name for name, wanted in names.items() if wanted]
    if not asked:
        return {}
    operations.viewed(bus, message_id, f"Просмотр: {', '.join(asked)}", actor=actor())
    contents: dict[str, Any] = {}
    with bus.database.transaction() as connection:
        db = driver(connection)
        if body:
            contents["body"] = bus.journal.load(db, [message_id])[0].body
        if received:
            contents["received"] = bus.journal.received(db, message_id)
    if detail:
        contents["outputs"] = cards.outputs(bus.database, bus.payloads, message_id)
    return contents


def _chosen(queue: str, state: str, reason_like: str) -> Wanted:
    if not queue or not state:
        raise ConfigError("Назовите сообщения (номер или id) либо отбор: --queue ОЧЕРЕДЬ --state quarantined")
    if state not in ("quarantined", "retry"):
        raise ConfigError("Отбором повторяют только quarantined и retry; завершённые называйте по одному")
    return Wanted(queue=queue, state=state, reason_like=reason_like)


def _resend_chosen(bus: Bus, chosen: Wanted, limit: int, *, yes: bool) -> int:
    count = sum(len(page) for page in finding.pages(bus.database, chosen, limit))
    if not count:
        return 0
    if not yes:
        typer.confirm(f"Отправить повторно сообщений: {count}?", abort=True)
    return sum(
        operations.resend(bus, [row.id for row in page], actor=actor())
        for page in finding.pages(bus.database, chosen, count, RESEND_PAGE)
    )


def _line(row: MessageRow) -> tuple[Any, ...]:
    kind = row.kind if row.outcome == "request" else f"{row.kind} ({message_card.OUTCOMES[row.outcome]})"
    return (
        row.seq,
        printing.date(row.accepted_at),
        kind,
        row.queue,
        printing.state(row.state),
        printing.short(row.reason),
    )
