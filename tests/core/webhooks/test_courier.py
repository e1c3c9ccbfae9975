"""Subscribers are told everything once it is settled: signed, in order, at least once, and nobody else is delayed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest

from core import operations
from core.bus import Bus
from core.database import driver
from core.errors import ConfigError
from core.journal import Event
from core.message import Message
from core.route import Route
from core.webhooks import courier, feed, signing, subscriptions
from core.webhooks.courier import Courier
from core.webhooks.feed import Choice, Horizon, Place
from core.webhooks.settings import WebhooksSettings
from core.webhooks.subscriptions import Wanted

LOOPBACK = WebhooksSettings(allow=[ip_network("127.0.0.0/8")], timeout_s=5)


@dataclass
class Receiver:
    """A subscriber's server. statuses: what to answer next, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    location: str = ""

    def events(self) -> list[dict[str, Any]]:
        return [one for _, body in self.got for one in json.loads(body)["events"]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = made.statuses.pop(0) if made.statuses else 200
            if status < 300:
                made.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}/hook?from=bus"
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def courier_of() -> Iterator[Callable[..., Courier]]:
    running: list[Courier] = []

    def make(bus: Bus) -> Courier:
        made = Courier(bus.database, bus.settings, look_s=0.02, idle_look_s=0.02)
        running.append(made)
        made.start()
        return made

    yield make
    for one in running:
        one.stop()


def route(name: str = "erz.note") -> Route:
    made = Route(name, title="Заметки")

    @made.handler
    def take(body: bytes, ctx: Any) -> None:
        pass

    return made


def put(bus: Bus, count: int = 1, kind: str = "erz.note") -> list[Any]:
    return [one.message_id for one in bus.engine.put([Message(kind=kind, body=b"{}") for _ in range(count)])]


@pytest.mark.feature("SMEV-07")
def test_a_subscriber_is_told_of_messages_signed_and_in_order(bus_of, receiver, courier_of, eventually) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK)
    wanted = Wanted("Учёт", receiver.url, ("message.handled", "message.dropped"))
    webhook_id, secret = subscriptions.create(bus, wanted, actor="test")
    ids = put(bus, 3)
    operations.drop(bus, ids[:1], actor="test", reason="Иванов Иван Иванович")
    while bus.engine.drain("erz.note", 2):
        pass
    courier_of(bus)
    eventually(lambda: len(receiver.events()) == 3)
    assert [one["type"] for one in receiver.events()] == ["message.dropped", "message.handled", "message.handled"]
    assert [one["message_id"] for one in receiver.events()] == list(map(str, ids))
    assert {one["queue"] for one in receiver.events()} == {"erz.note"}
    assert len({one["id"] for one in receiver.events()}) == 3
    for headers, body in receiver.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        own = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.digest(own, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert "Иванов" not in body.decode()
    one = eventually(lambda: (s := subscriptions.get(bus.database, webhook_id)).told == 3 and s)
    assert (one.state, one.attempts, one.reason) == ("active", 0, "")
    assert subscriptions.attempts(bus.database, webhook_id, 10)[0].status == 200


def test_queues_schedules_and_far_sides_are_told_of_too(bus_of, receiver, courier_of, eventually) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK)
    subscriptions.create(bus, Wanted("Всё", receiver.url, tuple(feed.TYPES)), actor="test")
    operations.set_state(bus, "erz.note", "paused", actor="test", reason="Иванов болен")
    operations.set_state(bus, "erz.note", "paused", actor="test", reason="и ещё")
    operations.set_state(bus, "erz.note", "running", actor="test")
    with bus.database.transaction() as connection:
        db = driver(connection)
        bus.queues.stop(db, "erz.note", "нет схемы")
        db.execute("UPDATE bus.queue SET failures = 1 WHERE name = 'erz.note'")
        db.execute("UPDATE bus.queue SET failures = 2 WHERE name = 'erz.note'")
        db.execute("UPDATE bus.queue SET failures = 0 WHERE name = 'erz.note'")
        db.execute(
            "INSERT INTO bus.schedule (name, cron, timezone, queue, missed) VALUES ('s', '', '', 'erz.note', 'skip')"
        )
        db.execute("UPDATE bus.schedule SET fired_at = clock_timestamp(), fired_for = clock_timestamp()")
    courier_of(bus)
    eventually(lambda: len(receiver.events()) == 6)
    told = receiver.events()
    assert [one["type"] for one in told] == [
        "queue.paused", "queue.resumed", "queue.stopped", "connector.unavailable", "connector.available",
        "schedule.fired",
    ]  # fmt: skip
    assert told[0]["before"] == "running"
    assert told[-1]["schedule"] == "s"
    assert "Иванов" not in json.dumps(told, ensure_ascii=False)


def test_only_what_was_chosen_is_told(bus_of, receiver, courier_of, eventually) -> None:
    bus = bus_of([route(), route("fns.note")], webhooks=LOOPBACK)
    wanted = Wanted("Один вид", receiver.url, ("message.handled", "queue.paused"), kinds=("fns.note",))
    subscriptions.create(bus, wanted, actor="test")
    put(bus, 2)
    [theirs] = put(bus, 1, "fns.note")
    for name in ("erz.note", "fns.note"):
        bus.engine.drain(name, 10)
    operations.set_state(bus, "erz.note", "paused", actor="test")
    courier_of(bus)
    eventually(lambda: len(receiver.events()) == 2)
    assert [one.get("message_id") for one in receiver.events()] == [str(theirs), None]


def test_what_happened_before_the_subscription_is_not_told(bus_of, receiver, courier_of, eventually) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK)
    put(bus, 2)
    bus.engine.drain("erz.note", 10)
    subscriptions.create(bus, Wanted("Новая", receiver.url, ("message.handled",)), actor="test")
    [later] = put(bus)
    bus.engine.drain("erz.note", 10)
    courier_of(bus)
    eventually(lambda: receiver.events())
    assert [one["message_id"] for one in receiver.events()] == [str(later)]


def test_a_failed_batch_comes_again_as_it_was_under_its_id_and_then_the_rest(
    bus_of, receiver, courier_of, eventually, monkeypatch
) -> None:
    monkeypatch.setattr(courier, "PAUSE_S", 0.1)
    bus = bus_of([route()], webhooks=LOOPBACK)
    webhook_id, _ = subscriptions.create(bus, Wanted("Шаткая", receiver.url, ("message.handled",)), actor="test")
    receiver.statuses = [500, 302, 404]
    receiver.location = receiver.url
    first = put(bus, 2)
    bus.engine.drain("erz.note", 10)
    courier_of(bus)
    eventually(lambda: subscriptions.get(bus.database, webhook_id).attempts >= 1)
    second = put(bus, 2)
    bus.engine.drain("erz.note", 10)
    eventually(lambda: len(receiver.events()) == 4)
    assert [one["message_id"] for one in receiver.events()] == list(map(str, [*first, *second]))
    tried = eventually(lambda: len(found := subscriptions.attempts(bus.database, webhook_id, 10)) == 5 and found)
    assert [one.status for one in reversed(tried)] == [500, 302, 404, 200, 200]
    assert len({one.delivery for one in tried}) == 2
    assert [one.attempt for one in reversed(tried)] == [1, 2, 3, 4, 1]


def test_one_that_is_away_delays_nobody_else(bus_of, receiver, courier_of, eventually) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK)
    away, _ = subscriptions.create(bus, Wanted("Нет", "http://127.0.0.1:1/", ("message.handled",)), actor="test")
    subscriptions.create(bus, Wanted("Есть", receiver.url, ("message.handled",)), actor="test")
    put(bus)
    bus.engine.drain("erz.note", 10)
    courier_of(bus)
    eventually(lambda: receiver.events())
    failing = eventually(lambda: (one := subscriptions.get(bus.database, away)).attempts == 1 and one)
    assert failing.failing_since is not None
    assert "недоступен" in failing.reason


def test_one_that_fails_too_long_is_switched_off_and_goes_on_where_it_stood(
    bus_of, receiver, courier_of, eventually, monkeypatch
) -> None:
    monkeypatch.setattr(courier, "PAUSE_S", 0.05)
    bus = bus_of([route()], webhooks=LOOPBACK.model_copy(update={"pause_after_h": 0.1 / 3600}))
    webhook_id, _ = subscriptions.create(bus, Wanted("Долго", receiver.url, ("message.handled",)), actor="test")
    receiver.statuses = [503] * 10
    [told] = put(bus)
    bus.engine.drain("erz.note", 10)
    courier_of(bus)
    eventually(lambda: subscriptions.get(bus.database, webhook_id).state == "failed")
    receiver.statuses.clear()
    subscriptions.resume(bus, webhook_id, actor="test")
    eventually(lambda: receiver.events())
    assert [one["message_id"] for one in receiver.events()] == [str(told)]


def test_a_receiver_that_is_gone_is_switched_off_at_once(bus_of, receiver, courier_of, eventually) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK)
    webhook_id, _ = subscriptions.create(bus, Wanted("Ушёл", receiver.url, ("message.handled",)), actor="test")
    receiver.statuses = [410]
    put(bus)
    bus.engine.drain("erz.note", 10)
    courier_of(bus)
    eventually(lambda: subscriptions.get(bus.database, webhook_id).state == "failed")
    with bus.database.transaction() as connection:
        rows = driver(connection).execute("SELECT via, note FROM bus.audit WHERE action = 'webhook.failed'").fetchall()
    assert [row[0] for row in rows] == ["bus"]
    assert "410" in rows[0][1]


def test_a_pause_loses_nothing_unless_it_is_wanted(bus_of, receiver, courier_of, eventually) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK)
    wanted = Wanted("Пауза", receiver.url, ("message.handled",))
    kept, _ = subscriptions.create(bus, wanted, actor="test")
    subscriptions.pause(bus, kept, actor="test")
    courier_of(bus)
    [meanwhile] = put(bus)
    bus.engine.drain("erz.note", 10)
    subscriptions.resume(bus, kept, actor="test")
    eventually(lambda: receiver.events())
    assert [one["message_id"] for one in receiver.events()] == [str(meanwhile)]
    subscriptions.pause(bus, kept, actor="test")
    put(bus)
    bus.engine.drain("erz.note", 10)
    subscriptions.resume(bus, kept, skip=True, actor="test")
    [last] = put(bus)
    bus.engine.drain("erz.note", 10)
    eventually(lambda: len(receiver.events()) == 2)
    assert receiver.events()[-1]["message_id"] == str(last)


def test_a_long_backlog_comes_in_batches_and_a_restart_goes_on_after_the_last(
    bus_of, receiver, courier_of, eventually
) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK.model_copy(update={"batch_most": 7}))
    subscriptions.create(bus, Wanted("Много", receiver.url, ("message.handled",)), actor="test")
    ids = put(bus, 40)
    while bus.engine.drain("erz.note", 10):
        pass
    first = courier_of(bus)
    eventually(lambda: len(receiver.events()) >= 14)
    first.stop()
    courier_of(bus)
    eventually(lambda: len({one["id"] for one in receiver.events()}) == 40)
    assert all(len(json.loads(body)["events"]) <= 7 for _, body in receiver.got)
    told = list(dict.fromkeys(one["message_id"] for one in receiver.events()))
    assert told == list(map(str, ids))


def test_what_commits_late_under_a_lower_number_is_not_passed_over(bus_of) -> None:
    bus = bus_of([route()])
    ids = put(bus, 2)
    horizon = Horizon()
    settled = horizon.look(bus.database)
    slow = bus.database.dedicated()
    slow.autocommit = False
    bus.journal.record(slow, [Event(ids[0], "dropped")])
    with bus.database.transaction() as connection:
        bus.journal.record(driver(connection), [Event(ids[1], "dropped")])
    for _ in range(3):
        assert horizon.look(bus.database) == settled
    slow.commit()
    slow.close()
    reached = horizon.look(bus.database)
    with bus.database.transaction() as connection:
        told, place = feed.read(driver(connection), settled, reached, Choice(("message.dropped",)), 10)
    assert [one.message_id for one in told] == ids
    assert place == reached


def test_a_busy_table_does_not_hold_the_horizon_back(bus_of) -> None:
    """New writers do not matter, only those that were there when the mark was set."""
    bus = bus_of([route()])
    ids = put(bus, 1)
    horizon = Horizon()
    start = horizon.look(bus.database)
    writers = [bus.database.dedicated() for _ in range(2)]
    for one in writers:
        one.autocommit = False
    bus.journal.record(writers[0], [Event(ids[0], "dropped")])
    assert horizon.look(bus.database) == start
    bus.journal.record(writers[1], [Event(ids[0], "dropped")])
    writers[0].commit()
    assert horizon.look(bus.database).events > start.events
    for one in writers:
        one.close()


def test_a_batch_of_two_tables_ends_where_both_were_read(bus_of) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK)
    subscriptions.create(bus, Wanted("x", "https://example.org/", ("queue.paused",)), actor="test")
    [one] = put(bus)
    states = ("paused", "running")
    for place in range(6):
        with bus.database.transaction() as connection:
            bus.journal.record(driver(connection), [Event(one, "dropped")])
        operations.set_state(bus, "erz.note", states[place % 2], actor="test")
    reached = Horizon().look(bus.database)
    whole = Choice(("message.dropped", "queue.paused", "queue.resumed"))
    place, told = Place(0, 0), []
    for _ in range(20):
        with bus.database.transaction() as connection:
            found, place = feed.read(driver(connection), place, reached, whole, 3)
        told += [happened.id for happened in found]
        if place == reached:
            break
    assert len(told) == len(set(told)) == 12


def test_another_key_of_the_bus_signs_nothing(bus_of, receiver, monkeypatch) -> None:
    bus = bus_of([route()], webhooks=LOOPBACK.model_copy(update={"key_env": "OMSBUS_HOOKS_SECRET"}))
    monkeypatch.setenv("OMSBUS_HOOKS_SECRET", "a" * 32)
    webhook_id, first = subscriptions.create(bus, Wanted("x", receiver.url, ("queue.paused",)), actor="test")
    assert courier.send_test(bus, webhook_id, actor="test").status == 200
    monkeypatch.setenv("OMSBUS_HOOKS_SECRET", "b" * 32)
    refused = courier.send_test(bus, webhook_id, actor="test")
    assert refused.status is None
    assert "Ключ подписи" in refused.note
    second = subscriptions.renew_secret(bus, webhook_id, actor="test")
    assert second != first
    assert courier.send_test(bus, webhook_id, actor="test").status == 200
    assert [one["type"] for one in receiver.events()] == ["test", "test"]
    monkeypatch.setenv("OMSBUS_HOOKS_SECRET", "short")
    with pytest.raises(ConfigError, match="не меньше 32"):
        signing.key_of(bus.settings)


def test_the_key_of_the_bus_is_made_once_and_for_its_owner_only(bus_of) -> None:
    bus = bus_of()
    made = signing.key_of(bus.settings)
    assert signing.key_of(bus.settings) == made
    [file] = bus.settings.data_dir.glob("webhooks.key*")
    assert file.stat().st_mode & 0o077 == 0
    with bus.database.transaction() as connection:
        rows = driver(connection).execute("SELECT salt, key_mark FROM bus.webhook").fetchall()
    assert rows == []


def test_without_a_subscription_no_change_is_written_down(bus_of) -> None:
    bus = bus_of([route()])
    operations.set_state(bus, "erz.note", "paused", actor="test")
    with bus.database.transaction() as connection:
        row = driver(connection).execute("SELECT count(*) FROM bus.change").fetchone()
    assert row == (0,)


def test_a_subscription_without_sense_is_refused(bus_of) -> None:
    bus = bus_of()
    for wanted, words in (
        (Wanted("", "https://example.org/", ("queue.paused",)), "Назовите"),
        (Wanted("x", "https://example.org/", ()), "хотя бы одно"),
        (Wanted("x", "https://example.org/", ("message.seen",)), "Нет события message.seen"),
        (Wanted("x", "ftp://example.org/", ("queue.paused",)), "https://узел"),
    ):
        with pytest.raises(ConfigError, match=words):
            subscriptions.create(bus, wanted, actor="test")
    for deed in (subscriptions.pause, subscriptions.resume, subscriptions.remove, subscriptions.renew_secret):
        with pytest.raises(ConfigError, match="Нет подписки 7"):
            deed(bus, 7, actor="test")


@pytest.mark.slow
def test_a_running_bus_delivers_and_only_one_of_two(bus_of, receiver, eventually) -> None:
    buses = [bus_of([route()], webhooks=LOOPBACK) for _ in range(2)]
    for bus in buses:
        bus.start(intake=False, work=True, schedule=True)
    subscriptions.create(buses[0], Wanted("Всё", receiver.url, ("message.handled",)), actor="test")
    ids = put(buses[0], 20)
    eventually(lambda: len(receiver.events()) >= 20, 30.0)
    assert sorted(one["message_id"] for one in receiver.events()) == sorted(map(str, ids))
