"""Names of files: which names of the far side may be used at all, and how names of ours are made.

A name is judged as the octets that the far side gave. It may be no path, hold no control character (a line end in a
name is a command to an FTP server) and must be text in the encoding of the settings.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

NAME_MOST_BYTES: Final = 255
"""What usual file systems allow."""
OWN_MOST_BYTES: Final = 200
"""Of a name that we make: a temporary name or a time stamp must still fit around it."""
FIELD: Final = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
_TEMPORARY: Final = (b".tmp", b".part", b".filepart")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069/\\:*?"<>|]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_TAKEN: Final = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}\.taken", re.DOTALL)


def judge(raw: bytes, encoding: str) -> tuple[str, str]:
    """(name, ""), or (how to show it, why it can't be used: Russian)."""
    shown = _CONTROL.sub("�", raw[:NAME_MOST_BYTES].decode(encoding, "replace"))
    if len(raw) > NAME_MOST_BYTES:
        return shown, f"имя длиннее {NAME_MOST_BYTES} байт"
    try:
        name = raw.decode(encoding)
        back = name.encode(encoding)
    except UnicodeError:
        return shown, f"имя не читается в кодировке {encoding}: исправьте имя или настройку encoding"
    if back != raw:
        return shown, f"имя не записывается обратно в кодировке {encoding}"
    if _CONTROL.search(name):
        return shown, "в имени управляющие знаки"
    if not name.strip() or name in (".", "..") or "/" in name or "\\" in name:
        return shown, "вместо имени файла — путь"
    return name, ""


def temporary(raw: bytes) -> bool:
    """A file that somebody is still writing, or one of ours: `.x`, `x~`, `x.tmp`, `x.part`, `x.filepart`."""
    if b"/" in raw or b"\\" in raw:
        return False
    return raw.startswith((b".", b"~")) or raw.lower().endswith((*_TEMPORARY, b"~"))


def encodable(name: str, encoding: str) -> bool:
    """Can the far side's encoding write this name?"""
    try:
        name.encode(encoding)
    except UnicodeError:
        return False
    return True


def filled(template: str, value_of: Callable[[str], str]) -> str:
    """The template with cleaned values: never a path, never a hidden or temporary name, nothing that any system of
    files refuses. Raises whatever `value_of` raises."""
    name = _UNSAFE.sub("_", FIELD.sub(lambda found: _UNSAFE.sub("_", value_of(found[1])), template))
    name = name.strip(" .")
    if temporary(name.encode("utf-8", "replace")) or _RESERVED.match(name):
        name = f"_{name.rstrip('~')}_"
    return name


def stamped(name: str, encoding: str, now: datetime) -> str:
    """A unique name that begins with the time and ends with the name: `20261124T120309-1a2b3c4d_name.xml`."""
    stamp = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}_"
    room = NAME_MOST_BYTES - len(stamp)
    return stamp + name.encode(encoding)[-room:].decode(encoding, "ignore")


def shortened(name: str, encoding: str) -> str:
    """Its beginning, so that a suffix fits behind it."""
    return name.encode(encoding)[:OWN_MOST_BYTES].decode(encoding, "ignore")


def taken(name: str) -> str:
    """The hidden name of a file that is about to be deleted."""
    return f".{name}.{secrets.token_hex(6)}.taken"


def before_taken(name: str) -> str:
    """The name that such a file had; "" for any other file."""
    found = _TAKEN.fullmatch(name)
    return found["name"] if found else ""
