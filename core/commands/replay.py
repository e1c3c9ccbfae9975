"""`omsbus replay`: the last real messages of a kind through a new schema or transformer, and what would change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from core import operations, printing
from core.errors import ConfigError
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.route import Format
from core.trial import run
from core.trial.candidate import UPLOAD_MOST_BYTES, Candidate, from_upload
from core.trial.comparing import STAGES
from core.trial.differences import Group

NAME = ""
app = typer.Typer()

GROUPS_SHOWN = 50
_VERDICTS = {
    "newly fails": "перестаёт проходить",
    "newly passes": "начинает проходить",
    "fails otherwise": "не проходит по другой причине",
}


@app.command("replay")
def replay(
    kind: str = typer.Argument(help="Вид сведений: имя маршрута, например zags.death"),
    candidate: list[Path] = typer.Option(
        ..., "--candidate", help="Новая версия: .xsl, .xsd, .zip или .py; для нескольких файлов повторите"
    ),
    version: str = typer.Option("", "--version", help="Версия документа, если их несколько; иначе новейшая"),
    last: int = typer.Option(100, "--last", min=1, max=run.LAST_MOST, help="Сколько последних сообщений"),
    values: bool = typer.Option(False, "--values", help="Показать значения (просмотр записывается в аудит)"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Пробный прогон сообщений через новую версию; ничего не меняется. Код возврата 1, если что-то изменится."""
    with open_bus(config, data) as bus:
        route, form = run.find(bus, kind, version)
        tried = _candidate(candidate, form)
        account = run.Account(last)
        run.note(bus, kind, form, tried, last, actor=actor())
        run.run(bus, route, form, tried, account)
        if values:
            shown = {one.message_id for group in account.differences() for one in group.examples}
            shown |= {message_id for failure in account.failed() for message_id, _ in failure.examples}
            for message_id in shown:
                operations.viewed(bus, message_id, "Просмотр: отличия в пробном прогоне", actor=actor())
    if as_json:
        printing.as_json(_plain(account, values=values))
    else:
        _say(account, values=values)
    if not account.clean:
        raise typer.Exit(1)


def _candidate(paths: list[Path], form: Format) -> Candidate:
    if any(path.suffix == ".py" for path in paths):
        if len(paths) > 1:
            raise ConfigError("Преобразование на Python проверяют одним файлом, без других --candidate")
        if not form.transform:
            raise ConfigError("У этого вида нет преобразования: документ получает сам обработчик")
        return Candidate({}, python=paths[0].resolve())
    given = []
    for path in paths:
        try:
            with path.open("rb") as file:
                given.append((path.name, file.read(UPLOAD_MOST_BYTES + 1)))
        except OSError as error:
            raise ConfigError(f"Файл {path} не читается: {error.strerror}") from None
    return from_upload(given, form)


def _say(account: run.Account, *, values: bool) -> None:
    if not account.done:
        printing.say("Сообщений этого вида и версии в журнале нет: сравнивать не с чем.")
        return
    printing.pairs(
        [
            ("Проверено", account.done),
            ("Без изменений", account.same),
            ("Результат другой", account.differ),
            ("Перестают проходить", account.newly_fails),
            ("Начинают проходить", account.newly_passes),
            ("Не проходят, как и раньше", account.fails_alike),
            ("Не проходят иначе", account.fails_otherwise),
            ("Пропущено (нет содержимого)", account.skipped or ""),
            ("Прерван", account.stopped_because),
        ]
    )
    groups = account.differences()
    if groups:
        printing.table(
            ("Где", "Что", "Сообщений", "Пример"),
            [
                (f"{one.path} ({one.part})", one.kind, one.messages, _example(one, values=values))
                for one in groups[:GROUPS_SHOWN]
            ],
            right=(2,),
        )
        if len(groups) > GROUPS_SHOWN:
            printing.say(f"И ещё отличий: {len(groups) - GROUPS_SHOWN}. Все — с --json.")
    for failure in account.failed():
        stage = STAGES.get(failure.stage, failure.stage)
        said = f"{_VERDICTS[failure.verdict]}: {failure.messages}, {stage}. {failure.reason}"
        printing.say(f"{said[:1].upper()}{said[1:]} Пример: сообщение {failure.examples[0][0]}")
        if values and failure.examples[0][1]:
            printing.say(f"  {failure.examples[0][1]}")


def _example(group: Group, *, values: bool) -> str:
    first = group.examples[0]
    if not values:
        return str(first.message_id)
    old, new = first.change.old, first.change.new
    return f"{first.message_id}\nбыло: {'—' if old is None else old}\nстало: {'—' if new is None else new}"


def _plain(account: run.Account, *, values: bool) -> dict[str, Any]:
    names = ("wanted", "done", "same", "differ", "newly_fails", "newly_passes", "fails_alike", "fails_otherwise")
    return {
        **{name: getattr(account, name) for name in names},
        "skipped": account.skipped,
        "stopped_because": account.stopped_because,
        "took_s": round(account.took_s, 3),
        "clean": account.clean,
        "differences": [
            {
                "part": group.part,
                "path": group.path,
                "change": group.kind,
                "messages": group.messages,
                "times": group.times,
                "examples": [
                    {"message": one.message_id, "path": one.change.path}
                    | ({"old": one.change.old, "new": one.change.new} if values else {})
                    for one in group.examples
                ],
            }
            for group in account.differences()
        ],
        "failures": [
            {
                "verdict": one.verdict,
                "stage": one.stage,
                "reason": one.reason,
                "messages": one.messages,
                "examples": [
                    {"message": message_id} | ({"detail": detail} if values else {})
                    for message_id, detail in one.examples
                ],
            }
            for one in account.failed()
        ],
    }
