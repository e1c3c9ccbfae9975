"""Ends of the chain that are kept elsewhere: the only protection from whoever rewrites or cuts off the whole of it.

A head is written `number:hash`, a file of heads has one a line, anything before it on the line is for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ConfigError
from core.seals.blocks import Block

_WRITTEN: Final = re.compile(r"\b([0-9]{1,18}):([0-9a-f]{64})\b")
_FILE_MOST_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """Number and hash (hex) of a block."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


def head_of(block: Block) -> Head:
    return Head(block.number, block.hash.hex())


def wanted(given: str) -> list[Head]:
    """What `--head` names: a head, or a file of heads. Raises ConfigError when there is none in it."""
    if match := _WRITTEN.fullmatch(given.strip()):
        return [Head(int(match[1]), match[2])]
    path = Path(given)
    try:
        if path.stat().st_size > _FILE_MOST_BYTES:
            raise ConfigError(f"Файл {path} слишком велик для списка голов цепочки: укажите другой в --head")
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "Голова цепочки не читается: укажите в --head «номер:хеш» из omsbus audit head или файл с такими строками",
            detail=str(error),
        ) from None
    found = {Head(int(match[1]), match[2]) for match in map(_last_match, text.splitlines()) if match}
    if not found:
        raise ConfigError(f"В файле {path} нет ни одной головы цепочки («номер:хеш»): укажите другой в --head")
    return sorted(found, key=lambda one: (one.number, one.hash))


def _last_match(line: str) -> re.Match[str] | None:
    return next(reversed(list(_WRITTEN.finditer(line))), None)


def append(path: Path, block: Block) -> None:
    """Note the head at the end of the file. Raises OSError."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{block.header['sealed_at']} {head_of(block)}\n")
