"""Passwords: the rules for a new one, its hash (argon2id), and a check that takes equally long whatever is wrong."""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
from functools import cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.access.settings import AccessSettings
from core.errors import ConfigError

MOST: Final = 256
"""Characters: nobody types more, and a hash of megabytes would be an attack."""
DIFFERENT_LEAST: Final = 5
"""Different characters of a password."""
NAME_PART_LEAST: Final = 4
"""Shorter parts of a person's name may be in a password: they are in every second word."""
_AT_ONCE: Final = threading.Semaphore(2)
"""A check takes 64 MiB and a processor: a crowd at the entrance must not take the machine."""
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_hasher = PasswordHasher()

_RUNS: Final = (
    "01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm",
    "йцукенгшщзхъфывапролджэячсмитьбю", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
)  # fmt: skip


def refuse_weak(password: str, login: str, name: str, rules: AccessSettings) -> None:
    """Raises ConfigError that says what is wrong and what to do.

    Refused: too short or too long, few different characters, the login or a part of the person's name in it, a common
    password (also with digits and signs around it), a run of the keyboard.
    """
    plain = password.casefold()
    if len(password) < rules.password_least:
        raise ConfigError(f"Пароль короче {rules.password_least} знаков. Удобно взять несколько слов подряд")
    if len(password) > MOST:
        raise ConfigError(f"Пароль длиннее {MOST} знаков: возьмите короче")
    if len(set(plain)) < DIFFERENT_LEAST:
        raise ConfigError("В пароле слишком мало разных знаков. Удобно взять несколько слов подряд")
    if login and login.casefold() in plain:
        raise ConfigError("В пароле есть имя для входа: придумайте другой")
    parts = re.findall(rf"\w{{{NAME_PART_LEAST},}}", name.casefold())
    if any(part in plain for part in parts):
        raise ConfigError("В пароле есть ваше имя или фамилия: придумайте другой")
    stem = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)
    if {plain, stem, re.sub(r"[\W_]", "", plain)} & _common() or any(plain in run for run in _RUNS):
        raise ConfigError("Такой пароль подбирают первым: придумайте другой. Удобно взять несколько слов подряд")


def made(login: str, name: str, rules: AccessSettings) -> str:
    """A password for somebody else to begin with: groups of signs that nobody confuses, 79 bits or more."""
    groups = max(4, -(-(rules.password_least + 1) // 5))
    while True:
        password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(groups))
        with contextlib.suppress(ConfigError):  # by chance a part of the name is in it
            refuse_weak(password, login, name, rules)
            return password


def hashed(password: str) -> str:
    """What the database keeps."""
    with _AT_ONCE:
        return _hasher.hash(_bytes(password))


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the password of this hash. None or "" (nobody, no password) takes as long, and is False."""
    with _AT_ONCE:
        try:
            return _hasher.verify(kept or _nobody(), _bytes(password)) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(kept: str) -> bool:
    """The hash was made with weaker parameters than those of today: to be made anew while the password is at hand."""
    return _hasher.check_needs_rehash(kept)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@cache
def _common() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("common_passwords.txt").read_text("utf-8").split())


@cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
