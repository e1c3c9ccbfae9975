"""Settings of the ЗАГС kinds: environment variables OMSBUS_ZAGS_*, an unknown value is an error."""

from __future__ import annotations

import functools

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigError


class ZagsSettings(BaseSettings):
    """ask_snils: ask СФР for the СНИЛС of a child that a birth act brought into the registry.

    answer_codes: КодОбр by kind and version (FACTS §12.2); what other codes mean is not documented.
    """

    model_config = SettingsConfigDict(env_prefix="OMSBUS_ZAGS_", frozen=True)

    ask_snils: bool = True
    answer_codes: dict[str, str] = {"zags.birth/4.0.1": "1", "zags.death/4.0.1": "1"}

    def answer_code(self, kind: str, version: str) -> str:
        """Raises ConfigError."""
        code = self.answer_codes.get(f"{kind}/{version}")
        if code is None:
            raise ConfigError(
                f"Не задан КодОбр для {kind} версии {version}: добавьте ключ «{kind}/{version}» "
                "в OMSBUS_ZAGS_ANSWER_CODES"
            )
        return code


@functools.cache
def settings() -> ZagsSettings:
    """Read once a process. Raises ConfigError that names the variable."""
    try:
        return ZagsSettings()
    except ValidationError as error:
        names = ", ".join(f"OMSBUS_ZAGS_{str(one['loc'][0]).upper()}" for one in error.errors())
        raise ConfigError(f"Недопустимое значение в переменных {names}: исправьте и запустите снова") from None
