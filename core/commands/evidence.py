"""`omsbus evidence`: make the package that proves what became of a message, and check one without a database."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import typer

from core import cards, evidence, printing
from core.access.permissions import PERMISSIONS
from core.access.person import Person
from core.errors import ConfigError
from core.opening import CONFIG, DATA, JSON, actor, open_bus
from core.seals import heads
from core.signatures.certificates import TrustStore

NAME = "evidence"
app = typer.Typer(help="Доказательный пакет сообщения: сделать, проверить без базы данных.", no_args_is_help=True)


@app.command()
def make(
    message: str = typer.Argument(help="Номер, id, начало id или внешний id сообщения"),
    out: Path = typer.Option(..., "--out", help="Куда записать zip; существующий файл не перезаписывается"),
    without_contents: bool = typer.Option(False, "--without-contents", help="Без тел и вложений: только их sha256"),
    head: int | None = typer.Option(None, "--head", min=1, help="Доказать до блока с этим номером, а не до последнего"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
) -> None:
    """Сделать пакет. Создание пишется в аудит."""
    with open_bus(config, data) as bus:
        found = cards.find(bus.database, message)
        allowed = set(PERMISSIONS) - ({"personal.read"} if without_contents else set())
        person = Person(actor(), actor(), frozenset(allowed))
        with _new_file(out) as file:
            evidence.pack(bus, found, person, file, up_to=head)
    printing.say(f"Пакет записан в {out}. Проверить: omsbus evidence verify {out}")


@app.command()
def verify(
    file: Path = typer.Argument(help="Файл пакета"),
    head: list[str] = typer.Option([], "--head", help="Записанный отдельно конец цепочки «номер:хеш» или файл с ними"),
    trust: Path | None = typer.Option(None, "--trust", help="Каталог доверия: сертификаты УЦ, которым вы верите"),
    most_gb: float = typer.Option(8.0, "--most-gb", min=0.001, help="Не проверять то, что распаковывается в большее"),
    as_json: bool = JSON,
) -> None:
    """Проверить пакет: ни база данных, ни настройки не нужны. Код 1 — пакет не цел или не подтверждён."""
    kept = [one for given in head for one in heads.wanted(given)]
    store = TrustStore.from_directory(trust) if trust else None
    try:
        with file.open("rb") as opened:
            verdict = evidence.check(opened, kept=kept, trust=store, most_bytes=int(most_gb * 1024**3))
    except OSError as error:
        raise ConfigError(f"Файл {file} не читается: {error.strerror}. Проверьте путь и права") from None
    if as_json:
        printing.as_json(verdict.plain())
    else:
        for one in verdict.said:
            printing.say(one)
        for one in verdict.problems:
            printing.say(f"НЕ СХОДИТСЯ: {one}")
        printing.say("Пакет цел." if verdict.ok else "ПАКЕТ НЕ ПОДТВЕРЖДЁН.")
    raise typer.Exit(0 if verdict.ok else 1)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears whole or not at all."""
    if path.exists():
        raise ConfigError(f"Файл {path} уже есть: укажите другое имя в --out")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".evidence-") as file:
            yield file
            file.flush()
            os.link(file.name, path)
    except FileExistsError:
        raise ConfigError(f"Файл {path} уже есть: укажите другое имя в --out") from None
    except OSError as error:
        raise ConfigError(f"Файл {path} не записать: {error.strerror}. Укажите другую папку в --out") from None
