"""`omsbus retention`: what is kept how long, how much room there is, and a run at once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from core import disk, printing
from core.bus import Bus
from core.database import driver
from core.disk import Forecast
from core.errors import ConfigError
from core.keeper import LOCK
from core.locks import ClusterLocks
from core.opening import CONFIG, DATA, JSON, open_bus
from core.retention import CONTENTS, FINISHED, Outcome, Retention

NAME = "retention"
app = typer.Typer(help="Место на диске и сроки хранения: прогноз, что пора удалить, удаление.", no_args_is_help=True)


@app.command()
def status(config: Path | None = CONFIG, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Сколько занято и свободно, на сколько дней хватит, идёт ли приём, каковы сроки."""
    with open_bus(config, data) as bus:
        found = _status(bus)
    if as_json:
        printing.as_json({**found, "forecast": asdict(found["forecast"]) if found["forecast"] else None})
    else:
        _show(found)


@app.command()
def run(
    dry_run: bool = typer.Option(False, "--dry-run", help="Только сосчитать, что пора удалить"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Удалить то, чей срок вышел, не дожидаясь расписания. Можно прервать: следующий запуск продолжит."""
    with open_bus(config, data) as bus:
        retention = Retention(bus.database, bus.payloads, bus.settings.retention)
        locks = ClusterLocks(bus.database)
        try:
            if not dry_run and not locks.hold(LOCK):
                raise ConfigError("Удаление по срокам уже идёт в другом процессе: дождитесь его конца")
            done = retention.run(dry=dry_run)
        finally:
            locks.close()
    if as_json:
        printing.as_json(_plain(done))
        return
    _counts(done, dry=dry_run)


def _counts(done: Outcome, *, dry: bool) -> None:
    queues = sorted(done.bodies.keys() | done.records.keys())
    if queues:
        printing.table(
            ("Очередь", "Содержимое", "Записи целиком"),
            [(queue, printing.number(done.bodies[queue]), printing.number(done.records[queue])) for queue in queues],
            right=(1, 2),
            title="Пора удалить" if dry else "Удалено",
        )
    else:
        printing.say("По срокам хранения удалять нечего.")
    if not dry:
        swept = done.garbage
        printing.say(
            f"Больших тел, на которые никто не ссылается: {printing.number(swept.payloads)}, брошенных файлов: "
            f"{printing.number(swept.files)}, вместе {disk.size(swept.packed_bytes)}."
        )
        if not done.complete:
            printing.say("Удалено не всё: в базе идёт долгая транзакция. Остальное удалит следующий запуск.")


def _plain(done: Outcome) -> dict[str, Any]:
    return {
        "bodies": dict(done.bodies),
        "records": dict(done.records),
        "forgotten": done.forgotten,
        "payloads": done.garbage.payloads,
        "files": done.garbage.files,
        "packed_bytes": done.garbage.packed_bytes,
        "complete": done.complete,
    }


def _status(bus: Bus) -> dict[str, Any]:
    settings = bus.settings
    used = disk.used(bus.database)
    on = disk.volumes(settings, bus.database)
    left = disk.left(used, settings, on)
    retention = Retention(bus.database, bus.payloads, settings.retention)
    with bus.database.transaction(durable=False) as connection:
        last = (
            driver(connection)
            .execute(
                "SELECT started_at, finished_at, bodies, records, payloads, note FROM bus.retention_run "
                "ORDER BY started_at DESC LIMIT 1"
            )
            .fetchone()
        )
    return {
        "intake": bus.pressure.look(),
        "database_bytes": used.database_bytes,
        "reusable_bytes": used.reusable_bytes,
        "blob_bytes": used.blob_bytes,
        "budget_bytes": settings.disk_budget_bytes,
        "volumes": [
            {"holds": one.holds, "path": str(one.path), "free_bytes": one.room()[0], "bytes": one.room()[1]}
            for one in on
        ],
        "free_least_bytes": settings.disk_free_least_bytes,
        "left_bytes": left,
        "forecast": disk.forecast(bus.database, left),
        "terms": {content: retention.terms(content) for content in CONTENTS},
        "last_run": dict(zip(_LAST, last, strict=True)) if last else None,
    }


_LAST = ("started_at", "finished_at", "bodies", "records", "payloads", "note")


def _show(found: dict[str, Any]) -> None:
    reusable = found["reusable_bytes"]
    inner = (
        "неизвестно: администратору базы — CREATE EXTENSION pg_freespacemap и GRANT pg_stat_scan_tables пользователю "
        "шины; пока в бюджет идут файлы целиком"
        if reusable is None
        else disk.size(reusable)
    )
    budget = found["budget_bytes"]
    printing.pairs(
        [
            ("Приём", found["intake"] or "идёт"),
            ("База данных", disk.size(found["database_bytes"])),
            ("  свободно внутри неё", inner),
            ("Вложения", disk.size(found["blob_bytes"])),
            ("Отведено всего", disk.size(budget) if budget else "без ограничения (disk_budget_bytes)"),
            *(
                (
                    f"Диск: {one['holds']}",
                    f"свободно {disk.size(one['free_bytes'])} из {disk.size(one['bytes'])}, {one['path']}",
                )
                for one in found["volumes"]
            ),
            ("Приём остановится при", f"{disk.size(found['free_least_bytes'])} свободных (disk_free_least_bytes)"),
            ("Прогноз", _forecast(found["forecast"], found["left_bytes"])),
            ("Последнее удаление", _last(found["last_run"])),
        ]
    )
    rows = []
    for queue in sorted({queue for terms in found["terms"].values() for queue in terms}):
        rows.append((queue, *(_term(found["terms"][content].get(queue, {})) for content in CONTENTS)))
    if rows:
        printing.table(("Очередь", "Содержимое, дней", "Запись, дней"), rows, title="Сроки после завершения")
    else:
        printing.say("Сроки не заданы: всё хранится всегда ([retention] в настройках).")


def _forecast(found: Forecast | None, left_bytes: int | None) -> str:
    if found is None:
        return f"ещё не накоплен (нужно {disk.FORECAST_LEAST_H} ч работы)"
    if found.days_left is None:
        return "места занято не прибавляется" if found.bytes_a_day < 1 else f"{disk.size(found.bytes_a_day)} в сутки"
    left = disk.size(left_bytes or 0)
    return f"{disk.size(found.bytes_a_day)} в сутки; места ({left}) хватит на {found.days_left:.0f} дн"


def _last(found: dict[str, Any] | None) -> str:
    if found is None:
        return "ещё не было"
    if found["finished_at"] is None:
        return f"начато {printing.date(found['started_at'])}, не закончено"
    counts = f"содержимое {found['bodies']}, записи {found['records']}, большие тела {found['payloads']}"
    return f"{printing.date(found['finished_at'])}: {counts}" + (f" ({found['note']})" if found["note"] else "")


def _term(states: dict[str, float]) -> str:
    if not states:
        return "всегда"
    if len(set(states.values())) == 1 and len(states) == len(FINISHED):
        return f"{next(iter(states.values())):g}"
    return ", ".join(f"{printing.STATES[state]}: {days:g}" for state, days in states.items())
