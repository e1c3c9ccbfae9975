"""Filters of the journal that a person keeps: links with a title, each person's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.database import Database, driver, storable
from core.errors import ConfigError

SAVED_MOST: Final = 30


@dataclass(frozen=True, slots=True)
class Saved:
    """query: of the address of the list, without anything personal (core.search.asking.hidden)."""

    id: int
    title: str
    query: str


def saved(database: Database, login: str) -> list[Saved]:
    """By title."""
    with database.transaction() as connection:
        rows = driver(connection).execute(
            "SELECT id, title, query FROM bus.saved_search WHERE login = %s ORDER BY title", (login,)
        )
        return [Saved(*row) for row in rows]


def save(database: Database, login: str, title: str, query: str) -> None:
    """The same title again replaces. Raises ConfigError."""
    title = storable(title.strip())[:80]
    if not title or not query:
        raise ConfigError("Дайте отбору название и задайте хотя бы одно условие")
    with database.transaction() as connection:
        db = driver(connection)
        row = db.execute("SELECT count(*) FROM bus.saved_search WHERE login = %s", (login,)).fetchone()
        if row and row[0] >= SAVED_MOST:
            raise ConfigError(f"Сохранено уже {SAVED_MOST} отборов: удалите ненужные")
        db.execute(
            "INSERT INTO bus.saved_search (login, title, query) VALUES (%s, %s, %s) "
            "ON CONFLICT (login, title) DO UPDATE SET query = EXCLUDED.query",
            (login, title, storable(query)[:2000]),
        )


def forget(database: Database, login: str, saved_id: int) -> None:
    """Idempotent; only one's own."""
    with database.transaction() as connection:
        driver(connection).execute("DELETE FROM bus.saved_search WHERE id = %s AND login = %s", (saved_id, login))
