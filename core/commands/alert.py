"""`omsbus alert`: what the bus warns of, and whether the warnings arrive."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.text import Text

from core import opening, printing
from core.alerting import book
from core.alerting.book import Alert
from core.alerting.bulletin import trial
from core.alerting.channels import channels
from core.errors import BusError, ConfigError
from core.opening import CONFIG, DATA, JSON, open_bus

NAME = "alert"
app = typer.Typer(help="Оповещения: что не в порядке, доходят ли письма и вызовы.", no_args_is_help=True)

_WORDS = {"critical": Text("критично", style="red"), "warning": Text("внимание", style="yellow")}


@app.command("list")
def list_(
    over: int = typer.Option(10, "--over", min=0, max=1000, help="Сколько последних закончившихся показать"),
    config: Path | None = CONFIG,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """Что не в порядке сейчас, что было, и какие каналы не принимают оповещений."""
    with open_bus(config, data) as bus:
        alerts = book.alerts(bus.database, over_most=over)
        troubles = book.troubles(bus.database)
    if as_json:
        stuck = [{"channel": name, "waiting": count, "reason": reason} for name, count, reason in troubles]
        printing.as_json({"alerts": [asdict(alert) for alert in alerts], "channels": stuck})
        return
    if not any(alert.over_at is None for alert in alerts):
        printing.say("Сейчас всё в порядке.")
    if alerts:
        printing.table(("Важность", "Что", "Началось", "Закончилось"), [_line(alert) for alert in alerts])
    for alert in alerts:
        if alert.over_at is None:
            printing.say(f"{alert.rule} {alert.subject}: {alert.advice}.")
    for name, count, reason in troubles:
        printing.say(f"Канал {name} не принимает оповещений (ждут: {count}): {reason}")


@app.command("test")
def try_out(config: Path | None = CONFIG, data: Path | None = DATA) -> None:
    """Послать пробное оповещение каждым каналом из настроек и сказать, что вышло. Шина для этого не нужна."""
    settings = opening.load(config, data)
    found = channels(settings.alerts)
    if not found:
        raise ConfigError("Каналов нет: задайте в настройках [alerts.mail] или [alerts.webhooks.<имя>]")
    failed = 0
    for channel in found:
        now = datetime.now(UTC)
        try:
            channel.send(trial(channel.name, now, console_url=settings.console_url), now)
        except BusError as error:
            failed += 1
            printing.say(f"{channel.name}: не вышло. {error.reason}")
        else:
            printing.say(f"{channel.name}: принято другой стороной. Проверьте, что оповещение пришло")
    if failed:
        raise typer.Exit(1)


def _line(alert: Alert) -> tuple[str | Text, ...]:
    ended = printing.date(alert.over_at) if alert.over_at else ""
    return _WORDS[alert.severity], alert.text, printing.date(alert.since), ended
