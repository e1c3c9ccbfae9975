"""The bus itself with folders on both ends: a file in, handled, a file out; and the same when it dies half-way."""

from __future__ import annotations

import os

import pytest

from core.database import driver
from core.message import Message
from core.route import Route


def lists_route() -> Route:
    route = Route("erz.lists", title="Списки")

    @route.handler
    def handle(body, ctx):
        name = ctx.message.headers["file_name"].removesuffix(".csv")
        yield Message("erz.answer", b"answer to " + body, queue="smo1", headers={"of": name})

    return route


def count(bus, sql):
    with bus.database.transaction() as connection:
        return driver(connection).execute(sql).fetchone()[0]


@pytest.mark.feature("BUS-02", "TECH-03")
@pytest.mark.parametrize("transport", ["file", "ftp"])
def test_a_file_comes_in_is_handled_and_its_answer_goes_out(far_of, bus_of, eventually, transport):
    far = far_of(transport)
    for number in range(5):
        far.put(f"Список {number}.csv", b"row %d" % number)
    connector = far.connector(inbox={"interval_s": 0.1}, outbox={"name": "{of}.answer.csv"})
    bus = bus_of([lists_route()], [connector])
    bus.start(intake=True, work=True, schedule=False)
    eventually(lambda: len(far.names("out")) == 5)
    eventually(lambda: not far.names("in"))
    assert (far.home / "out" / "Список 3.answer.csv").read_bytes() == b"answer to row 3"
    assert len(far.names("done")) == 5
    eventually(lambda: count(bus, "SELECT count(*) FROM bus.outgoing WHERE confirmed_at IS NOT NULL") == 5)
    far.put("Список 3.csv", b"row 3")
    eventually(lambda: len(far.names("done")) == 6)
    assert count(bus, "SELECT count(*) FROM bus.message WHERE source = 'smo1'") == 5, "the repeat was absorbed"


@pytest.mark.feature("BUS-09")
def test_a_long_file_goes_through_the_journal_as_an_attachment_and_out_again(far_of, bus_of, eventually):
    far = far_of("file")
    content = os.urandom(3_000_000)
    far.put("long.bin", content)
    route = Route("erz.lists", title="Списки")

    @route.handler
    def handle(body, ctx):
        (attachment,) = ctx.message.attachments
        yield Message("erz.answer", b"", queue="smo1", attachments=(attachment,), external_id="long")

    connector = far.connector(inbox={"interval_s": 0.1, "body_most_bytes": 1000}, outbox={"name": "{id}.bin"})
    bus = bus_of([route], [connector])
    bus.start(intake=True, work=True, schedule=False)
    eventually(lambda: far.names("out"))
    (name,) = far.names("out")
    assert (far.home / "out" / name).read_bytes() == content


@pytest.mark.feature("BUS-02")
def test_what_cannot_be_taken_is_in_quarantine_once_with_its_reason(far_of, bus_of, eventually):
    far = far_of("ftp")
    far.mischief.names[:] = [b"../../etc/passwd"]
    far.put("empty.csv", b"")
    far.put("good.csv")
    bus = bus_of([lists_route()], [far.connector(inbox={"interval_s": 0.05})])
    bus.start(intake=True, work=True, schedule=False)
    eventually(lambda: far.names("out"))
    eventually(lambda: count(bus, "SELECT count(*) FROM bus.entry WHERE state = 'quarantined'") == 2)
    asked = far.mischief.contacts
    eventually(lambda: far.mischief.contacts > asked + 10)
    assert count(bus, "SELECT count(*) FROM bus.event WHERE stage = 'repeated'") == 0, "not told at every poll"
