"""The journal's benchmark makes a journal that every filter has something to do in."""

from __future__ import annotations

import pytest

from benchmarks import journal
from core.bus import Bus
from core.database import driver
from core.search import rules


@pytest.mark.feature("BUS-10")
def test_the_generated_journal_is_whole_and_indexed(bus_of) -> None:
    bus: Bus = bus_of()
    with bus.database.dedicated() as db:
        before = {row[0] for row in db.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'bus'")}
        journal.generate(db, 3000)
        assert {row[0] for row in db.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'bus'")} == before
    journal.index(bus)
    with bus.database.transaction() as connection:
        db = driver(connection)
        assert all(one.is_complete for one in rules.rules(db))
        assert db.execute("SELECT count(*) FROM bus.message JOIN bus.entry USING (seq)").fetchone() == (3000,)
    found = {case.name: journal._measure(bus, case, 1)[1] for case in journal.cases(bus, 3000)}
    assert all(one.complete for one in found.values())
    for name in ("list", "kind, common", "handled", "quarantined", "participant, common", "words, common"):
        assert found[name].rows, name
