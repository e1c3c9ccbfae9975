"""A file that only takes room, so that there is some when the disk is full.

PostgreSQL cannot even start on a disk without a free byte. A process that is about to start the embedded server there
throws half of the ballast out first: then commands and console start, and an operator sees what to do. Half, because
what is freed may be taken at once by whatever filled the disk. The running bus takes new ballast when there is room.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import structlog

FULL_BYTES = 16 * 1024 * 1024
"""Less than this is a full disk: a server may need a new segment of its log (16 MB) to recover."""
LEAST_BYTES = 1024 * 1024
_NAME = "ballast"
_log = structlog.get_logger(__name__)


def keep(data_dir: Path, size_bytes: int) -> None:
    """Have the file, of this size. The disk may refuse: then there is none."""
    path = data_dir / _NAME
    if not size_bytes or (path.exists() and path.stat().st_size == size_bytes):
        return
    temporary = data_dir / f".{_NAME}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)  # blocks of its own, not a hole
        temporary.replace(path)
    except OSError as error:
        _log.warning("no ballast", reason=str(error))
    finally:
        temporary.unlink(missing_ok=True)


def release_when_full(data_dir: Path) -> bool:
    """Throw half of it out when the disk is full; whether that was done."""
    path = data_dir / _NAME
    if not path.exists() or shutil.disk_usage(data_dir).free >= FULL_BYTES:
        return False
    half = path.stat().st_size // 2
    if half < LEAST_BYTES:
        path.unlink()
    else:
        os.truncate(path, half)
    _log.error("disk full, ballast thrown out", path=str(path), left_bytes=half)
    return True
