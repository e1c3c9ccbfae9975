"""How much room the bus takes and how much there is: measured cheaply, remembered hourly, extrapolated.

What is measured never reads a table from end to end: sizes of files, the free-space map by samples, one small index.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psycopg
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from core.database import Database, Driver, driver
from core.settings import Settings

SAMPLED_PAGES: Final = 300
"""Pages of each table and index whose free space is looked up."""
SAMPLED_FROM_PAGES: Final = 128
FORECAST_DAYS: Final = 7
FORECAST_LEAST_H: Final = 6
"""No forecast before there are samples over so many hours."""
SAMPLES_KEPT_DAYS: Final = 400


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes that the bus takes.

    database_bytes  files of the whole database, as they lie on the disk
    reusable_bytes  of these, room inside of the files that new messages will fill; None: PostgreSQL does not tell
                    (the extension pg_freespacemap is missing or not permitted), so nothing is subtracted
    blob_bytes      packed files of the payload store
    """

    database_bytes: int
    reusable_bytes: int | None
    blob_bytes: int

    @property
    def total_bytes(self) -> int:
        """What counts against the budget."""
        return self.database_bytes - (self.reusable_bytes or 0) + self.blob_bytes


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system that the bus writes to. `holds` is Russian: «база данных», «вложения»."""

    holds: str
    path: Path

    def room(self) -> tuple[int, int]:
        """(free, whole) bytes, as a user without privileges may use them."""
        usage = shutil.disk_usage(self.path)
        return usage.free, usage.total


@dataclass(frozen=True, slots=True)
class Forecast:
    """bytes_a_day: growth over the last week, never negative. days_left: None without growth or without a limit."""

    bytes_a_day: float
    days_left: float | None


def used(database: Database) -> Used:
    """Raises Unavailable."""
    with database.transaction(durable=False) as connection:
        db = driver(connection)
        row = db.execute(_USED).fetchone()
        assert row is not None
        return Used(row[0], _reusable(db), row[1])


def _reusable(db: Driver) -> int | None:
    found = db.execute(_FREESPACE).fetchone()
    if found is None:
        return None
    try:
        with db.transaction():
            row = db.execute(
                _REUSABLE.format(schema=found[0]), {"pages": SAMPLED_PAGES, "least": SAMPLED_FROM_PAGES}
            ).fetchone()
    except psycopg.Error:  # not permitted, or a table went away under the look
        return None
    return int(row[0]) if row else 0


def volumes(settings: Settings, database: Database) -> list[Volume]:
    """The file systems of this machine that fill up as messages come, each once."""
    found: dict[int, Volume] = {}
    places = [("база данных", place) for place in _database_places(settings, database)]
    files, root = url_to_fs(settings.blob_url)
    if isinstance(files, LocalFileSystem):
        places.append(("вложения", Path(root)))
    for holds, place in places:
        path = place.absolute()
        while not path.exists():
            path = path.parent
        found.setdefault(os.stat(path).st_dev, Volume(holds, path))
    return list(found.values())


def _database_places(settings: Settings, database: Database) -> list[Path]:
    if settings.database_url is None:
        return [settings.data_dir]
    parts = urlsplit(database.url)
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    if host not in ("", "localhost", "127.0.0.1", "::1") and not host.startswith("/"):
        return []
    try:
        with database.transaction(durable=False) as connection:
            row = driver(connection).execute("SELECT current_setting('data_directory')").fetchone()
    except psycopg.errors.InsufficientPrivilege:  # only for members of pg_read_all_settings
        return []
    place = Path(row[0]) if row else Path("/")
    return [place] if place.exists() else []


def note(database: Database, settings: Settings) -> None:
    """Keep a sample for the forecast. Raises Unavailable."""
    found = used(database)
    with database.transaction(durable=False) as connection:
        db = driver(connection)
        db.execute(
            "INSERT INTO bus.disk_sample (used_bytes, left_bytes) VALUES (%s, %s)",
            (found.total_bytes, left(found, settings, volumes(settings, database))),
        )
        db.execute("DELETE FROM bus.disk_sample WHERE at < now() - make_interval(days => %s)", (SAMPLES_KEPT_DAYS,))


def left(found: Used, settings: Settings, on: list[Volume]) -> int | None:
    """Bytes that may still come before intake stops; None: no limit is known."""
    limits = [volume.room()[0] - settings.disk_free_least_bytes for volume in on]
    if limits:
        # New rows fill the room inside of the files first.
        limits = [limit + (found.reusable_bytes or 0) for limit in limits]
    if settings.disk_budget_bytes is not None:
        limits.append(settings.disk_budget_bytes - found.total_bytes)
    return max(0, min(limits)) if limits else None


def forecast(database: Database, left_bytes: int | None) -> Forecast | None:
    """From the samples of the last week; None while there are too few. Raises Unavailable."""
    with database.transaction(durable=False) as connection:
        row = driver(connection).execute(_GROWTH, {"days": FORECAST_DAYS}).fetchone()
    if row is None or row[0] is None or row[1] < FORECAST_LEAST_H * 3600:
        return None
    a_day = max(0.0, float(row[0]) * 86_400)
    return Forecast(a_day, left_bytes / a_day if left_bytes is not None and a_day >= 1 else None)


def size(octets: float) -> str:
    """«1,5 ГБ», «12 МБ», «3 КБ»."""
    for unit, name in ((1024**3, "ГБ"), (1024**2, "МБ"), (1024, "КБ")):
        if octets >= unit:
            return f"{octets / unit:.1f}".replace(".", ",").removesuffix(",0") + f" {name}"
    return f"{octets:.0f} Б"


_USED: Final = """
SELECT pg_database_size(current_database()),
       coalesce((SELECT sum(packed_bytes) FROM bus.payload WHERE blob IS NOT NULL), 0)::bigint
"""

_FREESPACE: Final = """
SELECT quote_ident(n.nspname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname = 'pg_freespace' AND p.pronargs = 2 AND has_function_privilege(p.oid, 'EXECUTE')
  AND has_schema_privilege(n.oid, 'USAGE') LIMIT 1
"""

_REUSABLE: Final = """
WITH big AS MATERIALIZED (
    SELECT c.oid, pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages
    FROM pg_class c
    WHERE c.relkind IN ('r', 'i', 't') AND (
        c.relnamespace = 'bus'::regnamespace
        OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'bus'::regnamespace))
)
SELECT coalesce(sum(part.free * big.pages), 0)::bigint
FROM big CROSS JOIN LATERAL (
    SELECT avg({schema}.pg_freespace(big.oid, floor((random() + 0 * n) * big.pages)::bigint)) AS free
    FROM generate_series(1, %(pages)s::int) AS n) AS part
WHERE big.pages >= %(least)s::bigint
"""

_GROWTH: Final = """
SELECT regr_slope(used_bytes::float8, extract(epoch FROM at)::float8),
       extract(epoch FROM max(at) - min(at))
FROM bus.disk_sample WHERE at > now() - make_interval(days => %(days)s)
"""
