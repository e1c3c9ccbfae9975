"""Quarantine by reason: one defect is one group."""

from __future__ import annotations

import pytest

from core import operations, quarantine
from core.errors import ConfigError, Permanent, SchemaViolation
from core.quarantine import Chosen

pytestmark = pytest.mark.feature("BUS-04", "BUS-03")


def refusing(message, _context) -> None:
    number = message.body.decode().partition("/")[2]
    if number.startswith("x"):
        raise SchemaViolation(f"Не по схеме zags/v1: строка {len(number)}, дом[{number[1:]}]")
    if number.startswith("y"):
        raise SchemaViolation(f"Не по схеме zags/v2: строка {len(number)}, дом[1]")
    if number.startswith("z"):
        raise Permanent(f"Нет сообщения {message.id}, запись 24.11.2026 10:00:0{number[1:]}")
    raise ValueError(number)


@pytest.fixture
def bus(bus_of, working, put, run_dry):
    made = bus_of([working(refusing), working(refusing, name="t.other")])
    put(made, "a/x1", "b/x22", "c/y1", "d/z1", "e/z2", "f/z3", "g/oops")
    put(made, "a/z1", kind="t.other")
    run_dry(made)
    run_dry(made, "t.other")
    return made


def test_reasons_that_differ_in_numbers_and_ids_only_are_one_group(bus, look) -> None:
    found = quarantine.groups(bus.database)
    assert [(one.queue, one.error, one.many) for one in found[:2]] == [
        ("t.work", "Permanent", 3), ("t.work", "SchemaViolation", 2),
    ]  # fmt: skip
    assert {(one.many, one.is_more) for one in found[2:]} == {(1, False)}
    assert sorted((one.queue, one.error) for one in found[2:]) == [
        ("t.other", "Permanent"), ("t.work", "SchemaViolation"), ("t.work", "ValueError"),
    ]  # fmt: skip
    first = found[0]
    assert first.reason == look.reason("f/z3"), "the newest one's words"
    assert first.kind == "t.work"
    assert first.oldest_at < first.newest_at
    assert "устраните причину" in first.advice
    assert "передайте разработчику" in next(one for one in found if one.error == "ValueError").advice


def test_a_group_has_pages_and_ids(bus, look) -> None:
    group = quarantine.groups(bus.database)[0]
    page = quarantine.messages(bus.database, group.queue, group.name, 2)
    rest = quarantine.messages(bus.database, group.queue, group.name, 2, before=page[-1].seq)
    assert [row.seq for row in (*page, *rest)] == [6, 5, 4]
    assert quarantine.ids(bus.database, Chosen(group.queue, group.name), 2) == [look.id_of("f/z3"), look.id_of("e/z2")]


def test_a_group_is_gone_with_its_last_message(bus) -> None:
    group = next(one for one in quarantine.groups(bus.database) if one.error == "ValueError")
    [row] = quarantine.messages(bus.database, group.queue, group.name, 10)
    operations.drop(bus, [row.id], actor="smirnova", reason="Не нужно")
    assert group.name not in {one.name for one in quarantine.groups(bus.database)}
    with pytest.raises(ConfigError, match="больше ничего нет"):
        quarantine.group(bus.database, group.queue, group.name)
    assert quarantine.messages(bus.database, group.queue, group.name, 10) == []


def test_one_queue_alone(bus) -> None:
    assert [one.queue for one in quarantine.groups(bus.database, "t.other")] == ["t.other"]
    assert quarantine.groups(bus.database, "nothing\x00") == []


def test_a_count_stops_at_its_bound_and_says_so(bus, look) -> None:
    rows = look.rows("SELECT queue, many, is_more FROM bus.quarantine(10, 4, 2) ORDER BY queue, reason")
    assert sum(many for _, many, _ in rows) < 8
    assert any(is_more for *_, is_more in rows)
    assert look.rows("SELECT count(*) FROM bus.quarantine(2, 100, 2)") == [(2,)]


@pytest.mark.parametrize(
    ("reason", "form"),
    [
        ("строка 6, дом[2]", "строка N, дом[N]"),
        ("схема v1/a2.xsd, поле GUD_6", "схема v1/a2.xsd, поле GUD_6"),
        ("№ 12-5 от 24.11.2026 10:00:01", "№ N от N N"),
        ("сообщение 0197AAAA-bbbb-7ccc-8ddd-eeeeffff0001#0123456789abcdef", "сообщение …#…"),
        ("фасад acdcefab", "фасад acdcefab"),
        ("", ""),
    ],
    ids=["line", "word", "date", "id", "letters", "empty"],
)
def test_the_form_of_a_reason(look, reason, form) -> None:
    assert look.one("SELECT bus.reason_form(%s)", reason) == form
