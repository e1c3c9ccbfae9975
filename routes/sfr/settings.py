"""Settings of the СФР kinds: environment variables OMSBUS_SFR_*."""

from __future__ import annotations

import functools
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigError


class SfrSettings(BaseSettings):
    """reply_within_s: seconds to wait for the answer about a СНИЛС. sink: the connector that takes the question."""

    model_config = SettingsConfigDict(env_prefix="OMSBUS_SFR_", frozen=True)

    reply_within_s: Annotated[float, Field(gt=0)] = 5 * 86_400.0
    sink: str = "smev"


@functools.cache
def settings() -> SfrSettings:
    """Read once a process. Raises ConfigError that names the variable."""
    try:
        return SfrSettings()
    except ValidationError as error:
        names = ", ".join(f"OMSBUS_SFR_{str(one['loc'][0]).upper()}" for one in error.errors())
        raise ConfigError(f"Недопустимое значение в переменных {names}: исправьте и запустите снова") from None
