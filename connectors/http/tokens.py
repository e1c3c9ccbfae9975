"""Tokens: read from where the settings say, told apart by their hashes in constant time, never shown."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from connectors.http.settings import Sender
from core.errors import ConfigError

REREAD_S: Final = 10.0
"""A replaced token file counts after this long at most, without a restart."""
TOKEN_LEAST: Final = 16
_log = structlog.get_logger(__name__)


def read_token(file: Path | None, variable: str, whose: str) -> str:
    """The token; "" when none is named. Raises ConfigError when it is named and cannot be had."""
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"Токен ({whose}) не читается из файла {file}: проверьте путь и права", detail=type(error).__name__
            ) from None
        where = f"файл {file}"
    elif variable:
        token, where = os.environ.get(variable, "").strip(), f"переменная {variable}"
    else:
        return ""
    if not token:
        raise ConfigError(f"Токен ({whose}) пуст: заполните {where}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"Токен ({whose}): только печатные знаки ASCII без пробелов, проверьте {where}")
    return token


class Senders:
    """Who is behind a token. Nothing is read before the first question; hashes only are kept."""

    def __init__(self, senders: Mapping[str, Sender]) -> None:
        self._senders = senders
        self._hashes: list[tuple[str, bytes]] = []
        self._read_at = -REREAD_S
        self.complete = True
        """False while some token cannot be read: then nobody can be told to be a stranger."""

    def load(self) -> None:
        """Read every token now. Raises ConfigError for those that cannot be read, are short or equal."""
        hashes: dict[bytes, str] = {}
        errors: list[ConfigError] = []
        for name, sender in self._senders.items():
            try:
                token = read_token(sender.token_file, sender.token_env, f"отправитель {name}")
                if len(token) < TOKEN_LEAST:
                    raise ConfigError(f"Токен отправителя {name} короче {TOKEN_LEAST} знаков: замените его случайным")
                other = hashes.setdefault(_hash(token.encode()), name)
                if other != name:
                    raise ConfigError(f"У отправителей {other} и {name} один токен: дайте каждому свой")
            except ConfigError as error:  # the others go on
                errors.append(error)
        self._hashes = [(name, value) for value, name in hashes.items()]
        if errors:
            raise ConfigError(". ".join(error.reason for error in errors), detail=errors[0].detail)

    def of(self, token: bytes) -> str | None:
        """The sender's name; None for an unknown token. Takes as long for one as for the other."""
        now = time.monotonic()
        if now - self._read_at >= REREAD_S:
            self._read_at = now
            try:
                self.load()
                self.complete = True
            except ConfigError as error:
                self.complete = False
                _log.error("tokens not read", reason=error.reason)
        given = _hash(token)
        found = None
        for name, known in self._hashes:
            if hmac.compare_digest(known, given):
                found = name
        return found


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
