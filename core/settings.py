"""Settings of the process: one TOML file, overridden by OMSBUS_* variables. An unknown key is an error.

Order, last wins: defaults here, the file (`--config`, OMSBUS_CONFIG, else config/embedded.toml), environment
(`OMSBUS_DATABASE_URL`, `OMSBUS_BROKER_URL`, `OMSBUS_DATA_DIR`, …). Secrets are named, never held: a connector's
settings say which variable or file has the password.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.errors import ConfigError

HOUSE = Path(__file__).resolve().parent.parent
"""The checkout: schemas/, transformers/, config/ lie here."""


class RouteSettings(BaseModel):
    """What operators may override of a route: the numbers, never the logic."""

    model_config = ConfigDict(extra="forbid")

    concurrency: int | None = Field(default=None, ge=1, le=64)
    attempts: int | None = Field(default=None, ge=1, le=100)
    first_s: float | None = Field(default=None, gt=0)
    factor: float | None = Field(default=None, ge=1)
    most_s: float | None = Field(default=None, gt=0)


class ScheduleSettings(BaseModel):
    """A schedule declared in the file; see core.schedule."""

    model_config = ConfigDict(extra="forbid")

    cron: str
    queue: str
    title: str = ""
    body: str = "{}"
    timezone: str = "Europe/Moscow"
    missed: str = "once"


class Settings(BaseSettings):
    """Everything a process of the bus needs to know."""

    model_config = SettingsConfigDict(env_prefix="OMSBUS_", env_nested_delimiter="__", extra="forbid")

    database_url: str | None = None
    broker_url: str | None = None
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
    route_modules: list[str] | None = Field(default=None, description="modules whose routes to serve; default: routes/")
    connectors: dict[str, dict[str, Any]] = {}
    routes: dict[str, RouteSettings] = {}
    schedules: dict[str, ScheduleSettings] = {}

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
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"Файл настроек {path} не читается: {error}. Исправьте его и запустите снова") from None
    elif named:
        raise ConfigError(f"Нет файла настроек {path}. Проверьте путь в --config или OMSBUS_CONFIG")
    try:
        settings = Settings(**values)
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_russian(e)}" for e in error.errors())
        raise ConfigError(f"Настройки {path} (или переменные OMSBUS_*): {places}") from None
    given = {name: value for name, value in overrides.items() if value is not None}
    return settings.model_copy(update=given)


def _russian(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "неизвестный ключ, удалите его или исправьте опечатку"
    return f"недопустимое значение ({error['msg']})"
