"""What a search may be narrowed by, as people call it: kinds of messages, queues."""

from __future__ import annotations

from typing import Final

from core.database import Driver
from core.discovery import Routes

_ENDINGS: Final = {"request": "запрос", "answer": "ответ", "refusal": "отказ", "status": "статус"}
_OWN: Final = {
    "smev.unreadable": "СМЭВ: ответ не разобран",
    "smev.unverified": "СМЭВ: подпись не принята",
    "smev.cancel": "СМЭВ: отмена запроса",
    "smev.rejection": "СМЭВ: отказ на наш запрос",
    "smev.status": "СМЭВ: статус нашего запроса",
    "smev.failure": "СМЭВ: запрос не доставлен",
    "files.refused": "Файл не принят",
}


def title_of(routes: Routes, kind: str) -> str:
    """The title of the route that takes it; of what goes out, of its family; else the kind itself, shortly."""
    if kind in _OWN:
        return _OWN[kind]
    if kind in routes.by_name:
        return routes.by_name[kind].title
    if kind in routes.by_root:
        return routes.by_root[kind][0].title
    family, _, ending = kind.rpartition(".")
    if family in routes.by_name:
        return f"{routes.by_name[family].title} ({_ENDINGS.get(ending, ending)})"
    return kind.rpartition("}")[2] or kind


def kinds_in_journal(db: Driver) -> list[str]:
    """Every kind that has a message, by hops over the index of (kind, seq)."""
    return [row[0] for row in db.execute(_KINDS)]


def queues_with_titles(db: Driver) -> list[tuple[str, str]]:
    """(name, title) of the queues that messages stand in."""
    rows = db.execute("SELECT name, coalesce(nullif(title, ''), name) FROM bus.queue WHERE side <> 'source' ORDER BY 2")
    return [(row[0], row[1]) for row in rows]


_KINDS: Final = """
WITH RECURSIVE hop (kind) AS (
    (SELECT kind FROM bus.message ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT m.kind FROM bus.message m WHERE m.kind > hop.kind ORDER BY m.kind LIMIT 1)
    FROM hop WHERE hop.kind IS NOT NULL
) SELECT kind FROM hop WHERE kind IS NOT NULL LIMIT 1000
"""
