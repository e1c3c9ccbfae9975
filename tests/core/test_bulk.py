"""Jobs over many messages, step by step and with a bus at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core import bulk, operations, quarantine
from core.bulk_work import BATCH_MOST, Runner, Throttle
from core.bus import Bus
from core.crashpoints import VARIABLE
from core.errors import ConfigError, Permanent
from core.message import Message
from core.quarantine import Chosen
from core.reading import Wanted
from core.route import Context

FAST = 1000.0


class Sick:
    """A handler that refuses these bodies, for as long as they are here."""

    def __init__(self, *bodies: str) -> None:
        self.bodies = set(bodies)

    def __call__(self, message: Message, _context: Context) -> None:
        if message.body.decode() in self.bodies:
            raise Permanent(f"Не годится: строка {len(message.body)}")


@pytest.fixture
def quarantined(bus_of, working, put, run_dry) -> Callable[..., tuple[Bus, Sick, list[Any]]]:
    """A bus where so many messages are in quarantine for one reason."""

    def make(count: int, **settings: Any) -> tuple[Bus, Sick, list[Any]]:
        bodies = [f"k{n}/{n:03}" for n in range(count)]
        sick = Sick(*bodies)
        bus = bus_of([working(sick)], **settings)
        ids = [message.id for message in put(bus, *bodies)]
        run_dry(bus)
        return bus, sick, ids

    return make


def runner_of(bus: Bus) -> tuple[Runner, list[float]]:
    """A runner whose clock the test moves."""
    now = [0.0]
    return Runner(bus, clock=lambda: now[0]), now


def group_of(bus: Bus) -> Chosen:
    [one] = quarantine.groups(bus.database)
    return Chosen(one.queue, one.name)


@pytest.mark.feature("BUS-04")
def test_a_whole_group_is_sent_again_and_each_row_has_its_result(quarantined, run_dry, look) -> None:
    bus, sick, ids = quarantined(3)
    sick.bodies = {"k1/001"}
    number = bulk.start(bus, group_of(bus), "resend", rate_per_s=FAST, errors_most=0, actor="smirnova")
    assert bulk.job(bus.database, number).state == "planned"
    runner, now = runner_of(bus)
    runner.step()
    now[0] += 1
    runner.step()
    assert bulk.job(bus.database, number).under_way == 3
    run_dry(bus)
    runner.step()
    done = bulk.job(bus.database, number)
    assert (done.state, done.total, done.succeeded, done.failed) == ("done", 3, 2, 1)
    assert done.over
    rows = bulk.items(bus.database, number)
    assert [(row.message_id, row.state) for row in rows] == [
        (ids[0], "succeeded"), (ids[1], "failed"), (ids[2], "succeeded"),
    ]  # fmt: skip
    assert rows[1].note == "Не годится: строка 6"
    assert [row.place for row in bulk.items(bus.database, number, state="failed")] == [2]
    notes = look.rows("SELECT actor, note FROM bus.event WHERE stage = 'resent'")
    assert notes == [("smirnova", f"Отправлено повторно: задание № {number}")] * 3
    audited = [row[0] for row in look.rows("SELECT action FROM bus.audit WHERE object_kind = 'bulk' ORDER BY seq")]
    assert audited == ["bulk.started", "bulk.done"]


@pytest.mark.feature("BUS-04")
def test_it_stops_after_so_many_errors_and_never_sends_more_than_that_into_them(quarantined, run_dry) -> None:
    bus, sick, _ = quarantined(30)
    number = bulk.start(bus, group_of(bus), "resend", rate_per_s=FAST, errors_most=4, actor="smirnova")
    runner, now = runner_of(bus)
    for _ in range(12):
        now[0] += 1
        runner.step()
        run_dry(bus)
    stopped = bulk.job(bus.database, number)
    assert (stopped.state, stopped.failed, stopped.waiting) == ("stopped", 4, 26)
    assert "устраните причину" in stopped.note
    sick.bodies = set()
    bulk.change(bus, number, "continue", actor="smirnova")
    for _ in range(20):
        now[0] += 1
        runner.step()
        run_dry(bus)
    done = bulk.job(bus.database, number)
    assert (done.state, done.failed, done.succeeded, done.note) == ("done", 4, 26, "")


@pytest.mark.feature("BUS-04")
def test_a_job_keeps_its_pace(quarantined) -> None:
    bus, _, _ = quarantined(20)
    number = bulk.start(bus, group_of(bus), "resend", rate_per_s=2, errors_most=0, actor="smirnova")
    runner, now = runner_of(bus)
    sent = []
    for _ in range(5):
        runner.step()
        sent.append(bulk.job(bus.database, number).sent)
        now[0] += 1
    assert sent == [1, 3, 5, 7, 9]


def test_a_throttle_saves_no_more_than_a_second() -> None:
    throttle = Throttle(10, 0.0)
    assert throttle.allowed(0.0) == 1
    throttle.spend(1)
    assert throttle.wait_s() == pytest.approx(0.1)
    assert throttle.allowed(0.35) == 3
    assert throttle.allowed(100.0) == 10
    slow = Throttle(0.1, 0.0)
    slow.spend(1)
    assert slow.allowed(5.0) == 0
    assert slow.allowed(1000.0) == 1


@pytest.mark.feature("BUS-04")
def test_pause_stops_sending_and_cancel_ends_it(quarantined, run_dry) -> None:
    bus, sick, _ = quarantined(5)
    sick.bodies = set()
    number = bulk.start(bus, group_of(bus), "resend", rate_per_s=1, errors_most=0, actor="smirnova")
    runner, now = runner_of(bus)
    runner.step()
    bulk.change(bus, number, "pause", actor="petrov")
    run_dry(bus)
    now[0] += 100
    runner.step()
    runner.step()
    paused = bulk.job(bus.database, number)
    assert (paused.state, paused.sent, paused.succeeded) == ("paused", 1, 1), "what was under way is still counted"
    bulk.change(bus, number, "continue", actor="petrov")
    runner.step()
    assert bulk.job(bus.database, number).sent == 2
    bulk.change(bus, number, "cancel", actor="petrov")
    now[0] += 100
    runner.step()
    run_dry(bus)
    runner.step()
    cancelled = bulk.job(bus.database, number)
    assert (cancelled.state, cancelled.sent, cancelled.waiting, cancelled.over) == ("cancelled", 2, 3, True)
    with pytest.raises(Permanent, match="оно отменено"):
        bulk.change(bus, number, "continue", actor="petrov")
    with pytest.raises(ConfigError, match="Нет задания"):
        bulk.change(bus, number + 1, "pause", actor="petrov")
    with pytest.raises(ConfigError, match="Нет действия"):
        bulk.change(bus, number, "explode", actor="petrov")


@pytest.mark.feature("BUS-04")
def test_what_somebody_else_settled_meanwhile_is_not_touched(quarantined, run_dry, effects) -> None:
    bus, sick, ids = quarantined(3)
    sick.bodies = set()
    number = bulk.start(bus, ids, "resend", rate_per_s=FAST, errors_most=0, actor="smirnova")
    operations.resend(bus, [ids[0]], actor="petrov")
    run_dry(bus)
    operations.resend(bus, [ids[1]], actor="petrov")
    runner, now = runner_of(bus)
    now[0] += 1
    runner.step()
    now[0] += 1
    runner.step()
    run_dry(bus)
    runner.step()
    assert [row.state for row in bulk.items(bus.database, number)] == ["skipped", "skipped", "succeeded"]
    assert Counter(effects.texts()) == {"k0/000": 1, "k1/001": 1, "k2/002": 1}


@pytest.mark.feature("BUS-04")
def test_finished_messages_that_were_chosen_go_as_copies(quarantined, run_dry, effects) -> None:
    bus, sick, ids = quarantined(2)
    sick.bodies = set()
    operations.resend(bus, ids, actor="petrov")
    run_dry(bus)
    number = bulk.start(bus, ids, "resend", rate_per_s=FAST, errors_most=0, actor="smirnova")
    runner, now = runner_of(bus)
    for _ in range(3):
        now[0] += 1
        runner.step()
        run_dry(bus)
    assert bulk.job(bus.database, number).succeeded == 2
    assert all(row.went_id not in (None, row.message_id) for row in bulk.items(bus.database, number))
    assert Counter(effects.texts()) == {"k0/000": 2, "k1/001": 2}


@pytest.mark.feature("BUS-04")
def test_many_are_dropped_with_a_reason_and_their_keys_go_on(bus_of, working, put, run_dry, look) -> None:
    sick = Sick("a/1", "b/1")
    bus = bus_of([working(sick)])
    put(bus, "a/1", "a/2", "b/1")
    run_dry(bus)
    wanted = Wanted(queue="t.work", state="quarantined")
    number = bulk.start(bus, wanted, "drop", rate_per_s=FAST, actor="smirnova", reason="Повтор сверки")
    runner, now = runner_of(bus)
    for _ in range(2):
        now[0] += 1
        runner.step()
    run_dry(bus)
    assert bulk.job(bus.database, number).state == "done"
    assert look.states() == {"a/1": "dropped", "a/2": "handled", "b/1": "dropped"}
    assert (
        look.one("SELECT count(*) FROM bus.event WHERE stage = 'dropped' AND note LIKE 'Повтор сверки (задание%%'") == 2
    )


@pytest.mark.feature("BUS-04")
def test_what_cannot_be_sent_at_all_is_an_error_of_its_row(bus_of, put) -> None:
    bus = bus_of([])
    messages = put(bus, "<a/>", "<b/>", kind="nobody.knows")
    number = bulk.start(bus, [one.id for one in messages], "resend", rate_per_s=FAST, errors_most=2, actor="smirnova")
    runner, now = runner_of(bus)
    for _ in range(3):
        now[0] += 1
        runner.step()
    failed = bulk.job(bus.database, number)
    assert (failed.state, failed.failed) == ("done", 2)
    assert "по-прежнему не подключён" in bulk.items(bus.database, number)[0].note


@pytest.mark.feature("BUS-04")
def test_nonsense_is_refused_with_a_sentence_and_leaves_nothing(quarantined, look) -> None:
    bus, _, ids = quarantined(1)
    for chosen, action, values, error, words in [
        (ids, "explode", {}, ConfigError, "Нет действия"),
        (ids, "drop", {}, ConfigError, "Напишите, почему"),
        (ids, "resend", {"rate_per_s": 0}, ConfigError, "Скорость"),
        (ids, "resend", {"rate_per_s": float("nan")}, ConfigError, "Скорость"),
        (ids, "resend", {"errors_most": -1}, ConfigError, "Число ошибок"),
        ([*ids, uuid4()], "resend", {}, Permanent, "Нет сообщения"),
        ([], "resend", {}, Permanent, "Ничего не выбрано"),
        (Wanted(queue="t.work"), "resend", {}, ConfigError, "только карантин"),
        (Wanted(queue="t.work", state="handled"), "resend", {}, ConfigError, "только карантин"),
        (Wanted(queue="none", state="retry"), "resend", {}, Permanent, "Ничего не выбрано"),
        (Chosen("t.work", "feedface"), "resend", {}, ConfigError, "больше ничего нет"),
        (Chosen("t.\x00work", "\ud800"), "resend", {}, ConfigError, "больше ничего нет"),
    ]:
        with pytest.raises(error, match=words):
            bulk.start(bus, chosen, action, actor="smirnova", **values)
    assert look.one("SELECT count(*) FROM bus.bulk") == 0
    assert look.one("SELECT count(*) FROM bus.audit WHERE object_kind = 'bulk'") == 0


@pytest.mark.feature("BUS-04")
def test_jobs_are_listed_page_by_page(quarantined) -> None:
    bus, _, ids = quarantined(2)
    numbers = [bulk.start(bus, [one], "resend", actor="smirnova") for one in (*ids, ids[0])]
    first = bulk.jobs(bus.database, limit=2)
    assert [one.id for one in first] == [numbers[2], numbers[1]]
    assert [one.id for one in bulk.jobs(bus.database, first[-1].id, limit=2)] == [numbers[0]]
    with pytest.raises(ConfigError, match="Нет задания"):
        bulk.items(bus.database, 999)
    with pytest.raises(ConfigError, match="Нет состояния"):
        bulk.items(bus.database, numbers[0], state="happy")


@pytest.mark.feature("BUS-04", "BUS-03")
def test_a_bus_at_work_carries_a_job_through_by_itself(quarantined, eventually, effects) -> None:
    bus, sick, ids = quarantined(BATCH_MOST + 20)
    sick.bodies = {"k7/007"}
    bus.start(intake=False, work=True, schedule=True)
    number = bulk.start(bus, group_of(bus), "resend", rate_per_s=FAST, errors_most=5, actor="smirnova")
    eventually(lambda: bulk.job(bus.database, number).state == "done")
    done = bulk.job(bus.database, number)
    assert (done.succeeded, done.failed) == (len(ids) - 1, 1)
    assert set(Counter(effects.texts()).values()) == {1}


@pytest.mark.feature("BUS-04")
def test_two_runners_share_no_row(quarantined, bus_of, working, run_dry, look) -> None:
    bus, sick, _ = quarantined(6)
    number = bulk.start(bus, group_of(bus), "resend", rate_per_s=FAST, errors_most=0, actor="smirnova")
    (one, at_one), (two, at_two) = runner_of(bus), runner_of(bus_of([working(sick)]))
    for _ in range(3):
        for runner, now in ((one, at_one), (two, at_two)):
            now[0] += 1
            runner.step()
    assert bulk.job(bus.database, number).sent == 6
    assert look.one("SELECT count(*) FROM bus.event WHERE stage = 'resent'") == 6


@pytest.mark.feature("BUS-02", "BUS-04")
@pytest.mark.parametrize("point", ["bulk.marked#3", "bulk.committed#3"])
def test_a_kill_in_the_middle_sends_no_row_twice_and_forgets_none(
    quarantined, run_dry, look, database_url, tmp_path, point
) -> None:
    bus, sick, ids = quarantined(150)
    number = bulk.start(bus, group_of(bus), "resend", rate_per_s=FAST, errors_most=0, actor="smirnova")
    script = Path(__file__).with_name("bulk_at_work.py")
    command = [sys.executable, "-W", "ignore", str(script), database_url, str(tmp_path)]
    armed = os.environ | {VARIABLE: point}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=armed) as process:
        assert process.wait(60) == -signal.SIGKILL
    sent = bulk.job(bus.database, number).sent
    assert 0 < sent < len(ids), "it died in the middle"
    assert look.one("SELECT count(*) FROM bus.event WHERE stage = 'resent'") == sent
    sick.bodies = set()
    runner, now = runner_of(bus)
    while bulk.job(bus.database, number).state != "done":
        now[0] += 1
        runner.step()
        run_dry(bus)
    assert bulk.job(bus.database, number).succeeded == len(ids)
    times = look.rows("SELECT message_id, count(*) FROM bus.event WHERE stage = 'resent' GROUP BY message_id")
    assert {count for _, count in times} == {1}
    assert {message_id for message_id, _ in times} == set(ids)
