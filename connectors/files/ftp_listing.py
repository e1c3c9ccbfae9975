"""What FTP servers say of files: the facts of MLSD and MLST (RFC 3659), and the two usual forms of LIST."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from connectors.files.client import Entry, What
from connectors.files.names import judge

_UNIX: Final = re.compile(
    rb"(?P<type>[-dlbcps])[-rwxsStTlL]{9}\S*\s+\d+\s+(?:\S+\s+){1,3}?(?P<size>\d+)(?:,\s*\d+)?\s+"
    rb"(?P<date>[A-Za-z]{3}\s+\d{1,2}\s+(?:\d{1,2}:\d{2}|\d{4})|\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2})\s(?P<name>.+)",
    re.DOTALL,
)
_DOS: Final = re.compile(
    rb"(?P<date>\d{2}-\d{2}-\d{2,4}\s+\d{2}:\d{2}(?:[AP]M)?)\s+(?P<size><DIR>|\d+)\s(?P<name>.+)", re.DOTALL
)
_KINDS: Final[dict[bytes, What]] = {b"-": "file", b"d": "folder", b"l": "link"}


def of_facts(line: bytes, encoding: str) -> Entry | None:
    """One line of MLSD or MLST; None for `.` and `..` and for what is no such line."""
    facts, gap, raw = line.partition(b" ")
    if not gap:
        return None
    values = {key.lower(): value for key, _, value in (fact.partition(b"=") for fact in facts.split(b";"))}
    kind = values.get(b"type", b"").lower()
    if kind in (b"cdir", b"pdir") or raw in (b".", b".."):
        return None
    what: What = "other"
    if kind in (b"file", b"dir"):
        what = "file" if kind == b"file" else "folder"
    elif b"link" in kind:
        what = "link"
    name, problem = judge(raw, encoding)
    size, modified = values.get(b"size", b""), values.get(b"modify", b"")
    mark = f"{size.decode('latin-1')}-{modified.decode('latin-1')}" if size or modified else ""
    return Entry(name, raw, what, number(size), moment_s(modified), mark, problem)


def of_list(lines: list[bytes], encoding: str) -> tuple[list[Entry], list[bytes]]:
    """(entries, lines that are of no known form). The marks are what LIST shows: minutes, or days for old files."""
    found, strange = [], []
    for line in lines:
        unix, dos = _UNIX.fullmatch(line), _DOS.fullmatch(line)
        parts = unix or dos
        if parts is None:
            if not re.match(rb"total \d+$", line):
                strange.append(line)
            continue
        raw, size = parts["name"], parts["size"]
        if unix:
            what = _KINDS.get(unix["type"], "other")
            raw = raw.partition(b" -> ")[0] if what == "link" else raw
        else:
            what = "folder" if size == b"<DIR>" else "file"
        if raw in (b".", b".."):
            continue
        name, problem = judge(raw, encoding)
        mark = b"-".join((size, *parts["date"].split())).decode("latin-1")
        found.append(Entry(name, raw, what, number(size), None, mark, problem))
    return found, strange


def number(digits: bytes | str) -> int:
    """A size; 0 for what is none."""
    text = digits.decode("latin-1") if isinstance(digits, bytes) else digits
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def moment_s(digits: bytes | str) -> float | None:
    """YYYYMMDDHHMMSS in UTC as seconds since 1970; None for what is none."""
    text = digits.decode("latin-1") if isinstance(digits, bytes) else digits
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
