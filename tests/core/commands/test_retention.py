"""`omsbus retention`: what is kept how long, how much room there is, a run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import settings
from core.bus import Bus
from core.database import driver
from core.errors import ConfigError
from core.keeper import LOCK
from core.locks import ClusterLocks

Omsbus = Callable[..., Any]


@pytest.fixture(autouse=True)
def bus(omsbus: Omsbus, config: Path, database_url: str) -> Iterator[Bus]:
    with config.open("a") as file:
        file.write('[retention]\nbody_days = 365\n[retention.queues."unknown"]\nrecord_days = { dropped = 30 }\n')
    with Bus.open(settings.load(config, database_url=database_url)) as opened:
        yield opened


def _old(bus: Bus) -> None:
    """A message that was dropped forty days ago."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute("SET LOCAL session_replication_role = replica")
        db.execute("UPDATE bus.message SET accepted_at = now() - interval '41 days'")
        db.execute("UPDATE bus.entry SET state = 'dropped', changed_at = now() - interval '40 days'")


@pytest.mark.feature("BUS-09")
def test_the_state_of_the_disk_and_the_terms_are_told(omsbus: Omsbus, bus: Bus) -> None:
    with bus.database.transaction() as connection:
        driver(connection).execute(
            "INSERT INTO bus.disk_sample (at, used_bytes) "
            "SELECT now() - h * interval '1 hour', (20 - h) * 1000000000::bigint "
            "FROM generate_series(0, 10) AS h"
        )
    found = omsbus("retention", "status", "--json").json
    assert found["intake"] == ""
    assert found["database_bytes"] > 1_000_000
    assert found["forecast"]["bytes_a_day"] == pytest.approx(24e9, rel=0.01)
    assert found["terms"]["record"] == {"unknown": {"dropped": 30}}
    text = omsbus("retention", "status").out
    assert "22,4 ГБ в сутки; места (" in text
    assert "отклонено: 30" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.feature("BUS-09")
def test_a_run_says_what_went_and_a_dry_one_what_would(omsbus: Omsbus, bus: Bus) -> None:
    omsbus("message", "put", "bus.poll", "--body", '{"source": "x"}')
    [one] = omsbus("message", "list", "--json").json
    with bus.database.transaction() as connection:
        driver(connection).execute("UPDATE bus.entry SET queue = 'unknown'")
    _old(bus)
    assert omsbus("retention", "run", "--dry-run", "--json").json["records"] == {"unknown": 1}
    assert "Пора удалить" in omsbus("retention", "run", "--dry-run").out
    assert omsbus("message", "show", one["id"]).code == 0
    said = omsbus("retention", "run").out
    assert "Удалено" in said
    assert "unknown" in said
    assert omsbus("message", "show", one["id"]).error.reason.startswith(f"Нет сообщения {one['id']}")
    assert "записи 1" in omsbus("retention", "status").out


def test_two_runs_at_once_are_refused(omsbus: Omsbus, bus: Bus) -> None:
    locks = ClusterLocks(bus.database)
    assert locks.hold(LOCK)
    assert isinstance(omsbus("retention", "run").error, ConfigError)
    assert omsbus("retention", "run", "--dry-run").code == 0
    locks.close()
    assert omsbus("retention", "run").code == 0
