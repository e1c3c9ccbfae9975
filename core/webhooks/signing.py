"""Secrets and signatures of webhooks, by Standard Webhooks (www.standardwebhooks.com), scheme v1.

No secret is kept: each is made of the key of the bus (a file or a variable) and the subscription's salt. Whoever has
another key cannot sign: `mark` tells the keys of two processes apart.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from core.errors import ConfigError
from core.settings import Settings
from core.signatures.keys import read_password

KEY_BYTES: Final = 32
PREFIX: Final = "whsec_"


def key_of(settings: Settings) -> bytes:
    """The key of this bus; its own file is made when there is none. Raises ConfigError."""
    wanted = settings.webhooks
    if wanted.key_env or wanted.key_file:
        given = (read_password(wanted.key_env or None, wanted.key_file) or "").strip()
        if len(given) < KEY_BYTES:
            place = wanted.key_env or wanted.key_file
            raise ConfigError(f"Ключ подписи вебхуков {place}: нужно не меньше {KEY_BYTES} случайных знаков")
        return given.encode()
    file = settings.data_dir / "webhooks.key"
    try:
        if not file.exists():
            _make(file)
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Ключ подписи вебхуков {file} не читается ({error.strerror}): проверьте права на папку данных"
        ) from None


def _make(file: Path) -> None:
    """Whole or not at all, and never over one that another process made meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
        made.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)))
        made.flush()
        os.fsync(made.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(fresh, file)
    finally:
        fresh.unlink()


def mark(key: bytes) -> bytes:
    """Tells whether two keys are the same, and nothing else."""
    return hmac.digest(key, b"omsbus webhooks: mark", hashlib.sha256)[:8]


def secret(key: bytes, salt: bytes) -> str:
    """What the receiver of one subscription checks signatures with."""
    return PREFIX + base64.b64encode(hmac.digest(key, b"omsbus webhooks: secret" + salt, hashlib.sha256)).decode()


def headers(secret_: str, delivery: str, moment_s: int, body: bytes) -> dict[str, str]:
    """webhook-id, webhook-timestamp, webhook-signature of one POST."""
    own = base64.b64decode(secret_.removeprefix(PREFIX))
    signed = hmac.digest(own, f"{delivery}.{moment_s}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(moment_s),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
