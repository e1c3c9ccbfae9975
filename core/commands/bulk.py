"""`omsbus bulk`: the quarantine by reason, and jobs over many messages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from core import bulk, cards, printing, quarantine
from core.bulk import Job
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.quarantine import Chosen
from core.reading import Wanted
from core.search import finding

NAME = "bulk"
app = typer.Typer(
    help="Карантин по причинам и задания над многими сообщениями: ход, пауза, остановка.", no_args_is_help=True
)
_NUMBER = typer.Argument(help="Номер задания из omsbus bulk list")


@app.command()
def groups(
    queue: str = typer.Option("", "--queue", help="Только эта очередь"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Что в карантине, по причинам: с этим именем группы начинают задание."""
    with open_bus(config, data) as bus:
        found = quarantine.groups(bus.database, queue)
    if as_json:
        printing.as_json([asdict(one) | {"advice": one.advice} for one in found])
        return
    if not found:
        printing.say("Карантин пуст.")
        return
    rows = [(one.queue, one.name, _many(one.many, more=one.is_more), printing.short(one.reason)) for one in found]
    printing.table(("Очередь", "Группа", "Сообщений", "Причина"), rows, right=(2,))


@app.command()
def start(
    action: str = typer.Argument(help="resend (отправить повторно) или drop (отклонить)"),
    wanted: list[str] | None = typer.Argument(None, help="Номер, id, начало id или внешний идентификатор сообщения"),
    queue: str = typer.Option("", "--queue", help="Очередь"),
    group: str = typer.Option("", "--group", help="Группа из omsbus bulk groups (вместе с --queue)"),
    state: str = typer.Option("", "--state", help="Отбор по состоянию: quarantined или retry"),
    reason_like: str = typer.Option("", "--reason-like", help="Отбор по части текста причины"),
    rate: float = typer.Option(bulk.RATE_PER_S, "--rate", help="Сообщений в секунду, не больше"),
    errors: int = typer.Option(bulk.ERRORS_MOST, "--errors", help="Остановить после стольких ошибок; 0: никогда"),
    reason: str = typer.Option("", "--reason", help="Почему отклоняются: останется в журнале"),
    yes: bool = typer.Option(False, "--yes", help="Не спрашивать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Начать задание; выполняет его работающая шина."""
    with open_bus(config, data) as bus:
        chosen: list[object] | Wanted | Chosen
        if wanted:
            chosen = [cards.find(bus.database, one) for one in wanted]
            what = f"названных сообщений: {len(chosen)}"
        elif group:
            chosen = Chosen(queue, group)
            found = quarantine.group(bus.database, queue, group)
            what = f"{_many(found.many, more=found.is_more)} сообщений по причине «{printing.short(found.reason)}»"
        else:
            chosen = Wanted(queue=queue, state=state, reason_like=reason_like)
            count = sum(len(page) for page in finding.pages(bus.database, chosen, bulk.CHOSEN_MOST)) if state else 0
            what = f"по отбору сообщений: {count}"
        if not yes:
            typer.confirm(f"{bulk.ACTIONS.get(action, action)}: {what}?", abort=True)
        number = bulk.start(
            bus, chosen, action, actor=actor(), rate_per_s=rate, errors_most=errors, reason=reason  # type: ignore[arg-type]
        )  # fmt: skip
    printing.say(f"Задание № {number} начато. Ход: omsbus bulk show {number}")


@app.command("list")
def list_(
    before: int | None = typer.Option(None, "--before", help="Только с номером меньше этого (следующая страница)"),
    limit: int = typer.Option(20, "--limit", min=1, max=1000, help="Сколько строк"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Задания, новые сверху."""
    with open_bus(config, data) as bus:
        found = bulk.jobs(bus.database, before, limit)
    if as_json:
        printing.as_json([asdict(one) for one in found])
        return
    if not found:
        printing.say("Заданий ещё не было.")
        return
    printing.table(
        ("№", "Что", "Состояние", "Всего", "Сделано", "Успешно", "Ошибок", "Кто", "Начато"),
        [_line(one) for one in found],
        right=(0, 3, 4, 5, 6),
    )


@app.command()
def show(
    number: int = _NUMBER,
    state: str = typer.Option("", "--state", help=f"Только такие строки: {', '.join(bulk.ITEM_STATES)}"),
    after: int = typer.Option(0, "--after", help="Только строки после этой (следующая страница)"),
    limit: int = typer.Option(50, "--limit", min=1, max=10_000, help="Сколько строк"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Ход задания и итог каждого сообщения."""
    with open_bus(config, data) as bus:
        job = bulk.job(bus.database, number)
        rows = bulk.items(bus.database, number, after, limit, state)
    if as_json:
        printing.as_json({"job": asdict(job), "items": [asdict(one) for one in rows]})
        return
    printing.pairs(
        [
            ("Задание", f"№ {job.id}, {bulk.ACTIONS[job.action].lower()}: {job.title}"),
            ("Состояние", bulk.STATES[job.state]),
            ("Сделано", f"{job.sent} из {job.total}"),
            ("Успешно", job.succeeded),
            ("Ошибок", job.failed),
            ("В работе", job.under_way),
            ("Не понадобилось", job.skipped),
            ("Заметка", job.note),
        ]
    )
    printing.table(
        ("№", "Сообщение", "Итог", "Почему"),
        [(one.place, one.seq or one.message_id, bulk.ITEM_STATES[one.state], printing.short(one.note)) for one in rows],
        right=(0,),
    )
    if len(rows) == limit:
        printing.say(f"Дальше: --after {rows[-1].place}")


@app.command()
def pause(number: int = _NUMBER, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Больше ничего не отправлять, пока не продолжат; отправленное обрабатывается."""
    _change(number, "pause", config, data)


@app.command("continue")
def continue_(number: int = _NUMBER, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Продолжить после паузы или остановки из-за ошибок; ошибки считаются заново."""
    _change(number, "continue", config, data)


@app.command()
def cancel(number: int = _NUMBER, config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Отменить: остальное не трогать; отправленное не отзывается."""
    _change(number, "cancel", config, data)


def _change(number: int, what: str, config: Path | None, data: Path | None) -> None:
    with open_bus(config, data) as bus:
        bulk.change(bus, number, what, actor=actor())
    printing.say(f"Задание № {number} {bulk.CHANGES[what][3]}.")


def _many(count: int, *, more: bool) -> str:
    return printing.number(count) + ("+" if more else "")


def _line(job: Job) -> tuple[object, ...]:
    what = f"{bulk.ACTIONS[job.action]}: {printing.short(job.title, 60)}"
    numbers = (job.total, job.sent, job.succeeded, job.failed)
    return (job.id, what, bulk.STATES[job.state], *numbers, job.created_by, printing.date(job.created_at))
