"""Settings of the process: one TOML file, overridden by OMSBUS_* variables. An unknown key is an error.

Order, last wins: defaults here, the file (`--config`, OMSBUS_CONFIG, else config/embedded.toml), environment
(`OMSBUS_DATABASE_URL`, `OMSBUS_BROKER_URL`, `OMSBUS_DATA_DIR`, …). A variable OMSBUS_* that nothing reads is an error
too: a typo there would start the bus on another database. Secrets are named, never held: a connector's settings say
which variable or file has the password.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.access.settings import AccessSettings
from core.alerting.settings import AlertSettings
from core.errors import ConfigError
from core.seals.settings import SealSettings
from core.webhooks.settings import WebhooksSettings

_OTHER_VARIABLES = ("OMSBUS_CONFIG", "OMSBUS_CRASH_AT")
_FREE_ENDINGS = ("_PASSWORD", "_SECRET", "_TOKEN")
"""Variables that settings name (`password_env`) end so."""
HOUSE = Path(__file__).resolve().parent.parent
"""The checkout: schemas/, transformers/, config/ lie here."""
PAUSE_MOST_S: Final = 7 * 86_400.0
"""Longest pause between two attempts that may be set."""


class RouteSettings(BaseModel):
    """What operators may override of a route: the numbers, never the logic."""

    model_config = ConfigDict(extra="forbid")

    concurrency: int | None = Field(default=None, ge=1, le=64)
    attempts: int | None = Field(default=None, ge=1, le=100)
    first_s: float | None = Field(default=None, gt=0, le=PAUSE_MOST_S)
    factor: float | None = Field(default=None, ge=1, le=100)
    most_s: float | None = Field(default=None, gt=0, le=PAUSE_MOST_S)


class ScheduleSettings(BaseModel):
    """A schedule declared in the file; see core.schedule."""

    model_config = ConfigDict(extra="forbid")

    cron: str
    queue: str
    title: str = ""
    body: str = "{}"
    timezone: str = "Europe/Moscow"
    missed: str = "once"
    calendar: str = ""
    rule: str = "skip"


_Days = Annotated[float, Field(gt=0)] | Literal["never"]
_Term = _Days | dict[Literal["handled", "sent", "dropped"], _Days]


class Terms(BaseModel):
    """How long contents stay after the message was finished: days, "never" taken away, or either by state.

    body    bodies, envelopes, attachments, what the stages made of them, details of errors
    record  the message itself with everything that happened to it
    """

    model_config = ConfigDict(extra="forbid")

    body_days: _Term | None = None
    record_days: _Term | None = None


class RetentionSettings(Terms):
    """Terms of every queue, and of single ones; without a term things stay for ever. See core.retention."""

    queues: dict[str, Terms] = {}
    remember_days: float | None = Field(default=None, gt=0, description="ids of removed messages; None: for ever")
    cron: str = "15 3 * * *"
    timezone: str = "Europe/Moscow"
    share: float = Field(default=0.2, gt=0, le=1, description="of the time that a run may keep the database busy")


class Settings(BaseSettings):
    """Everything a process of the bus needs to know."""

    model_config = SettingsConfigDict(env_prefix="OMSBUS_", env_nested_delimiter="__", extra="forbid")

    database_url: str | None = None
    broker_url: str | None = None
    broker_queue: str = Field(default="omsbus", min_length=1, description="one a cluster, when clusters share a broker")
    data_dir: Path = Path("var")
    workers: int = Field(default=2, ge=1, le=64, description="threads of a process that drain the queues")
    worker_processes: int = Field(default=1, ge=0, le=64, description="children of `omsbus run`; 0: its own threads")
    inline_payload_bytes: int = Field(default=64 * 1024, description="larger bodies go to the payload store")
    blob_payload_bytes: int = Field(default=1024 * 1024, description="larger payloads lie outside the tables")
    blobs: str | None = Field(default=None, description="fsspec URL of the blob store; default: data_dir/blobs")
    sweep_s: float = Field(default=1.0, gt=0)
    batch_most: int = Field(default=256, ge=1)
    log_level: str = "INFO"
    intake_threads: int = Field(default=1, ge=1, le=16, description="commits of pushed messages under way at once")
    disk_budget_bytes: int | None = Field(
        default=None, gt=0, description="journal and payloads together; intake stops near it; None: no limit"
    )
    disk_free_least_bytes: int = Field(
        default=1024**3, ge=0, description="intake stops when a disk of the bus has less than this free"
    )
    ballast_bytes: int = Field(
        default=64 * 1024**2, ge=0, description="kept beside the embedded database for the day when the disk is full"
    )
    console_url: str = Field(default="", description="where people open the console; stands in alerts")
    metrics_token_env: str = Field(default="", description="variable with the token for /metrics from elsewhere")
    metrics_token_file: Path | None = Field(default=None, description="the same in a file")
    alerts: AlertSettings = AlertSettings()
    access: AccessSettings = AccessSettings()
    seals: SealSettings = SealSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    route_modules: list[str] | None = Field(default=None, description="modules whose routes to serve; default: routes/")
    rolling: bool = Field(default=False, description="join processes with another configuration: an update under way")
    clock_most_s: float = Field(default=60.0, gt=0, description="how far this clock may be from the database's")
    connectors: dict[str, dict[str, Any]] = {}
    routes: dict[str, RouteSettings] = {}
    schedules: dict[str, ScheduleSettings] = {}
    retention: RetentionSettings = RetentionSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The file is given as init values, and the environment must win over it.
        return env_settings, init_settings

    @property
    def blob_url(self) -> str:
        return self.blobs or str((self.data_dir / "blobs").resolve())


def load(config: Path | None = None, **overrides: Any) -> Settings:
    """Read the file and the environment. Raises ConfigError that names the key and the file."""
    named = config or (Path(os.environ["OMSBUS_CONFIG"]) if "OMSBUS_CONFIG" in os.environ else None)
    path = named or HOUSE / "config" / "embedded.toml"
    values: dict[str, Any] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:  # TOMLDecodeError and whatever else tomllib says
            raise ConfigError(f"Файл настроек {path} не читается: {error}. Исправьте его и запустите снова") from None
    elif named:
        raise ConfigError(f"Нет файла настроек {path}. Проверьте путь в --config или OMSBUS_CONFIG")
    try:
        settings = Settings(**values)
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_russian(e)}" for e in error.errors())
        raise ConfigError(f"Настройки {path} (или переменные OMSBUS_*): {places}") from None
    check_variables()
    given = {name: value for name, value in overrides.items() if value is not None}
    return settings.model_copy(update=given)


def check_variables() -> None:
    """Raises ConfigError when the environment has a variable OMSBUS_* that nothing reads.

    Those of a subsystem (OMSBUS_<SUBSYSTEM>_*) are known once its routes are loaded; until then they are let through.
    """
    prefixes, known = {"OMSBUS_TEST_"}, {*_OTHER_VARIABLES}
    waiting = {f"OMSBUS_{folder.name.upper()}_" for folder in (HOUSE / "routes").iterdir() if folder.is_dir()}
    for settings in _classes(BaseSettings):
        prefix = settings.model_config.get("env_prefix", "").upper()
        if prefix.startswith("OMSBUS_"):
            waiting.discard(prefix)
            known |= {f"{prefix}{name.upper()}" for name in settings.model_fields}
            if delimiter := settings.model_config.get("env_nested_delimiter"):
                prefixes |= {
                    f"{prefix}{name.upper()}{delimiter}"
                    for name, field in settings.model_fields.items()
                    if isinstance(field.default, dict | BaseModel)
                }
    free = (*prefixes, *waiting)
    for name in map(str.upper, sorted(os.environ)):
        if not name.startswith("OMSBUS_") or name in known or name.startswith(free) or name.endswith(_FREE_ENDINGS):
            continue
        near = difflib.get_close_matches(name, known, 1)
        raise ConfigError(
            f"Переменной окружения {name} нет: удалите её или исправьте опечатку"
            + (f" (может быть, {near[0]})" if near else "")
        )


def _classes(root: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for one in root.__subclasses__():
        yield one
        yield from _classes(one)


def _russian(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "неизвестный ключ, удалите его или исправьте опечатку"
    return f"недопустимое значение ({error['msg']})"
