"""The watch on a real bus: each alert once when it begins and once when it is over, whatever breaks in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import receivers
from core.alerting import book
from core.alerting.book import quiet_until
from core.alerting.rules import Finding, Judgement
from core.alerting.settings import AlertSettings
from core.alerting.watch import Watch
from core.database import driver
from core.errors import ConfigError, Unavailable

pytestmark = pytest.mark.feature("BUS-13")


class Sitting:
    """A watch whose time is the test's: `ahead` moves the clock that it sees."""

    def __init__(self, bus: Any, **options: Any) -> None:
        self.bus = bus
        self.ahead = timedelta()
        self.watch = Watch(bus.database, self, bus.settings, **options)  # type: ignore[arg-type]

    def look(self) -> Any:
        seen = self.bus.watched.look(0.0)
        return replace(seen, at=seen.at + self.ahead, processes={"run": 1}, clocks={})

    def once(self, **later: float) -> bool:
        self.ahead += timedelta(**later)
        return self.watch.once()


@pytest.fixture
def sitting() -> Iterator[Callable[..., Sitting]]:
    made: list[Sitting] = []

    def make(bus: Any, **options: Any) -> Sitting:
        made.append(Sitting(bus, **options))
        return made[-1]

    yield make
    for one in made:
        one.watch._locks.close()


@pytest.fixture
def bus_with(bus_of: Any, working: Any, far: Any) -> Callable[..., Any]:
    """A bus with these [alerts], and a way to stop its queue."""

    def make(**alerts: Any) -> Any:
        return bus_of([working()], [far], alerts=alerts, console_url="https://bus.example")

    return make


@pytest.fixture
def stop(look: Any) -> Callable[..., None]:
    def change(state: str = "stopped", name: str = "t.work") -> None:
        look.do("UPDATE bus.queue SET state = %s WHERE name = %s", state, name)

    return change


def _what(hook: Any) -> list[list[tuple[str, str, str]]]:
    return [[(one["what"], one["rule"], one["subject"]) for one in document["alerts"]] for document in hook.documents]


STOPPED = ("began", "queue.stopped", "t.work")
OVER = ("over", "queue.stopped", "t.work")


def test_an_alert_is_told_once_when_it_begins_and_once_when_it_is_over(
    bus_with: Any, sitting: Any, stop: Any, mailbox: Any, mail_settings: Any, hook: Any
) -> None:
    watch = sitting(bus_with(mail=mail_settings(mailbox), webhooks={"duty": {"url": hook.url}}))
    assert watch.once()
    assert (mailbox.raw, hook.taken) == ([], [])
    stop()
    for _ in range(3):
        watch.once(minutes=5)
    assert _what(hook) == [[STOPPED]]
    stop("running")
    watch.once(seconds=15)  # not over before it has been right for a minute
    assert len(hook.taken) == 1
    watch.once(minutes=2)
    watch.once(minutes=2)
    assert _what(hook) == [[STOPPED], [OVER]]
    assert [mail["Subject"] for mail in mailbox.mails] == [
        "[omsbus] КРИТИЧНО: Очередь t.work остановлена из-за ошибки настройки. Ждёт сообщений: 0",
        "[omsbus] Прошло: Очередь t.work остановлена из-за ошибки настройки. Ждёт сообщений: 0",
    ]
    assert "omsbus queue resume t.work" in mailbox.mails[0].get_content()
    assert "https://bus.example/" in mailbox.mails[0].get_content()


def test_what_flutters_is_one_alert(bus_with: Any, sitting: Any, stop: Any, hook: Any) -> None:
    watch = sitting(bus_with(webhooks={"duty": {"url": hook.url}}))
    for _ in range(5):
        stop()
        watch.once(seconds=15)
        stop("running")
        watch.once(seconds=15)
    assert _what(hook) == [[STOPPED]]


def test_an_alert_that_lasts_is_told_again_each_repeat_h(bus_with: Any, sitting: Any, stop: Any, hook: Any) -> None:
    watch = sitting(bus_with(repeat_h=4, webhooks={"duty": {"url": hook.url}}))
    stop()
    for _ in range(9):
        watch.once(hours=1)
    assert _what(hook) == [[STOPPED], [("again", *STOPPED[1:])], [("again", *STOPPED[1:])]]


def test_a_restart_tells_nothing_anew(bus_with: Any, sitting: Any, stop: Any, hook: Any, eventually: Any) -> None:
    bus = bus_with(webhooks={"duty": {"url": hook.url}})
    stop()
    first = sitting(bus)
    first.once()
    first.watch._locks.close()
    second = sitting(bus)
    eventually(second.once)
    second.once(minutes=10)
    assert _what(hook) == [[STOPPED]]


@pytest.mark.feature("BUS-12")
def test_one_of_several_processes_tells(bus_with: Any, sitting: Any, stop: Any, hook: Any, eventually: Any) -> None:
    alerts = {"webhooks": {"duty": {"url": hook.url}}}
    one, other = sitting(bus_with(**alerts)), sitting(bus_with(**alerts))
    stop()
    assert (one.once(), other.once()) == (True, False)
    one.watch._locks.close()  # killed
    eventually(other.once)
    other.once(minutes=5)
    assert _what(hook) == [[STOPPED]]


@pytest.mark.feature("BUS-12")
def test_a_web_process_watches_only_while_no_scheduler_lives(bus_with: Any, sitting: Any, hook: Any) -> None:
    alerts = {"webhooks": {"duty": {"url": hook.url}}, "every_s": 3600}
    scheduler, web = bus_with(**alerts), sitting(bus_with(**alerts), standby=True)
    assert web.once()
    scheduler.start(intake=True, work=False, schedule=True)
    assert not web.once()
    assert web.watch._locks._connection is None  # nobody is kept from leading


def test_a_dead_mail_server_does_not_silence_the_webhook_and_loses_nothing(
    bus_with: Any, sitting: Any, stop: Any, mailbox: Any, mail_settings: Any, hook: Any
) -> None:
    watch = sitting(bus_with(mail=mail_settings(mailbox), webhooks={"duty": {"url": hook.url}}))
    mailbox.refuse = ["451 later"] * 2
    stop()
    watch.once()
    assert (len(mailbox.raw), _what(hook)) == (0, [[STOPPED]])
    watch.once(seconds=1)  # it rests
    assert len(mailbox.refuse) == 1
    watch.once(seconds=15)
    assert mailbox.refuse == []
    watch.once(seconds=60)
    assert len(mailbox.raw) == 1
    assert _what(hook) == [[STOPPED]]


def test_a_channel_that_is_away_shows_in_the_list_and_rests_ever_longer(
    bus_with: Any, sitting: Any, stop: Any, mailbox: Any, mail_settings: Any, dead_port: int
) -> None:
    bus = bus_with(mail=mail_settings(mailbox, port=dead_port))
    watch = sitting(bus)
    stop()
    for _ in range(8):
        watch.once(minutes=10)
    [(channel, waiting, reason)] = book.troubles(bus.database)
    assert (channel, waiting) == ("mail", 1)
    assert str(dead_port) in reason
    with bus.database.transaction() as connection:
        [(attempts,)] = driver(connection).execute("SELECT attempts FROM bus.alert_notice").fetchall()
    assert attempts == 8


@pytest.mark.feature("BUS-02")
def test_a_crash_between_deciding_and_sending_loses_no_alert(
    bus_with: Any, sitting: Any, stop: Any, hook: Any, monkeypatch: Any, eventually: Any
) -> None:
    bus = bus_with(webhooks={"duty": {"url": hook.url}})
    stop()
    doomed = sitting(bus)

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(doomed.watch, "_tell", die)
    with pytest.raises(Killed):
        doomed.once()
    doomed.watch._locks.close()
    eventually(sitting(bus).once)
    assert _what(hook) == [[STOPPED]]


@pytest.mark.feature("BUS-02")
def test_a_crash_after_sending_repeats_the_alert_under_the_same_id(
    bus_with: Any, sitting: Any, stop: Any, hook: Any, monkeypatch: Any, eventually: Any
) -> None:
    bus = bus_with(webhooks={"duty": {"url": hook.url}})
    stop()
    doomed = sitting(bus)

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(book, "told", die)
    with pytest.raises(Killed):
        doomed.once()
    monkeypatch.undo()
    doomed.watch._locks.close()
    eventually(sitting(bus).once)
    first, second = hook.documents
    assert first["id"] == second["id"]


def test_a_storm_is_one_mail(bus_with: Any, sitting: Any, look: Any, mailbox: Any, mail_settings: Any) -> None:
    watch = sitting(bus_with(mail=mail_settings(mailbox)))
    look.do(
        "INSERT INTO bus.queue (name, side, state) SELECT 'q' || n, 'route', 'stopped' FROM generate_series(1, 50) n"
    )
    watch.once()
    look.do(
        "INSERT INTO bus.queue (name, side, state) SELECT 'r' || n, 'route', 'stopped' FROM generate_series(1, 50) n"
    )
    watch.once(seconds=15)
    [mail] = mailbox.mails
    assert "(и ещё 49)" in mail["Subject"]
    assert mail.get_content().count("остановлена") == 50
    watch.once(seconds=60)
    assert len(mailbox.mails) == 2


def test_what_began_and_ended_while_the_channel_was_away_is_one_line(
    bus_with: Any, sitting: Any, stop: Any, hook: Any
) -> None:
    watch = sitting(bus_with(webhooks={"duty": {"url": hook.url}}))
    hook.statuses = [500]
    stop()
    watch.once()
    stop("running")
    watch.once(minutes=5)
    assert _what(hook) == [[("passed", *OVER[1:])]]


def test_a_channel_for_critical_alerts_hears_no_warning(
    bus_with: Any, sitting: Any, look: Any, hook: Any, mailbox: Any, mail_settings: Any
) -> None:
    severe = {"duty": {"url": hook.url, "min_severity": "critical"}}
    watch = sitting(bus_with(webhooks=severe, mail=mail_settings(mailbox)))
    look.do("UPDATE bus.queue SET state = 'paused', changed_at = now() - interval '2 days' WHERE name = 't.work'")
    watch.once()
    assert (len(mailbox.raw), hook.taken) == (1, [])
    look.do("UPDATE bus.queue SET state = 'running'")
    watch.once(minutes=2)
    assert (len(mailbox.raw), hook.taken) == (2, [])


@pytest.mark.feature("BUS-03")
def test_a_growing_quarantine_is_told_at_most_once_an_hour(bus_with: Any, sitting: Any, put: Any, hook: Any) -> None:
    bus = bus_with(webhooks={"duty": {"url": hook.url}})
    watch = sitting(bus)
    for number in range(12):
        put(bus, str(number), kind="nobody knows it")
        watch.once(minutes=10)
    assert _what(hook) == [
        [("began", "quarantine", "unknown")],
        [("worse", "quarantine", "unknown")],
    ]
    assert [document["alerts"][0]["value"] for document in hook.documents] == [1, 7]


def test_a_trouble_must_last_before_it_is_told(bus_with: Any, sitting: Any, look: Any, hook: Any) -> None:
    watch = sitting(bus_with(webhooks={"duty": {"url": hook.url}}))
    look.do("UPDATE bus.queue SET failures = 2 WHERE name = 'far.in'")
    watch.once()
    watch.once(minutes=10)
    assert hook.taken == []
    look.do("UPDATE bus.queue SET failures = 0 WHERE name = 'far.in'")
    watch.once(minutes=1)
    assert look.one("SELECT count(*) FROM bus.alert") == 0
    look.do("UPDATE bus.queue SET failures = 2 WHERE name = 'far.in'")
    watch.once(minutes=1)
    watch.once(minutes=16)
    assert _what(hook) == [[("began", "source.failing", "far.in")]]


def test_failures_of_a_source_are_counted_until_it_is_polled_again(
    bus_of: Any, far: Any, look: Any, eventually: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(receivers, "rest_s", lambda _failures: 0.1)
    far.receive_errors = [Unavailable("Нет связи")]
    bus = bus_of([], [far])
    bus.start(intake=True, work=False, schedule=False)
    eventually(lambda: look.one("SELECT failures FROM bus.queue WHERE name = 'far.in'") == 1)
    eventually(lambda: look.one("SELECT failures FROM bus.queue WHERE name = 'far.in'") == 0)


def test_what_cannot_be_judged_now_is_not_over(bus_with: Any, look: Any) -> None:
    bus = bus_with()
    settings = bus.settings.alerts
    certificate = Finding("certificate", "smev fund.pem", "warning", "Сертификат кончается", "Замените")
    now = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    kept = book.Book(settings, {})
    with bus.database.transaction() as connection:
        db = driver(connection)
        kept.note(db, Judgement((certificate,)), now)
        kept.note(db, Judgement((), (("certificate", "smev "),)), now + timedelta(hours=1))
        assert [one.over_at for one in _open(db)] == [None]
        kept.note(db, Judgement(()), now + timedelta(hours=2))
        assert _open(db) == []


def _open(db: Any) -> list[Any]:
    return [book.Alert(*row) for row in db.execute(f"SELECT {book._ALERT} FROM bus.alert WHERE over_at IS NULL")]


def test_warnings_of_the_night_wait_for_the_morning_and_critical_ones_do_not(bus_with: Any, look: Any) -> None:
    bus = bus_with(quiet="22:00-08:00")
    night = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)  # 02:30 in Moscow
    kept = book.Book(bus.settings.alerts, {"mail": "warning"})
    mild = Finding("quarantine", "q", "warning", "В карантине 1", "Разберите")
    grave = Finding("queue.stopped", "q", "critical", "Очередь остановлена", "Пустите")
    with bus.database.transaction() as connection:
        db = driver(connection)
        kept.note(db, Judgement((mild, grave)), night)
        assert [one.alert.rule for one in kept.due(db, "mail", night)] == ["queue.stopped"]
        morning = datetime(2026, 11, 25, 5, 0, tzinfo=UTC)
        assert [one.alert.rule for one in kept.due(db, "mail", morning)] == ["quarantine", "queue.stopped"]


@pytest.mark.parametrize(
    ("quiet", "at", "until"),
    [
        (None, "2026-11-24T02:30+03:00", "2026-11-24T02:30+03:00"),
        ("22:00-08:00", "2026-11-24T02:30+03:00", "2026-11-24T08:00+03:00"),
        ("22:00-08:00", "2026-11-24T22:00+03:00", "2026-11-25T08:00+03:00"),
        ("22:00-08:00", "2026-11-24T08:00+03:00", "2026-11-24T08:00+03:00"),
        ("13:00-14:00", "2026-11-24T13:30+03:00", "2026-11-24T14:00+03:00"),
        ("13:00-14:00", "2026-11-24T12:59+03:00", "2026-11-24T12:59+03:00"),
    ],
)
def test_the_end_of_the_quiet_time(quiet: Any, at: str, until: str) -> None:
    assert quiet_until(AlertSettings(quiet=quiet), datetime.fromisoformat(at)) == datetime.fromisoformat(until)


def test_a_worse_certificate_reaches_whoever_wants_only_the_grave(bus_with: Any, look: Any) -> None:
    bus = bus_with()
    kept = book.Book(bus.settings.alerts, {"duty": "critical"})
    now = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    mild = Finding("certificate", "smev fund.pem", "warning", "Действует ещё 20 дн.", "Замените")
    with bus.database.transaction() as connection:
        db = driver(connection)
        kept.note(db, Judgement((mild,)), now)
        assert kept.due(db, "duty", now) == []
        kept.note(db, Judgement((replace(mild, severity="critical"),)), now + timedelta(days=14))
        [notice] = kept.due(db, "duty", now + timedelta(days=14))
        assert (notice.what, notice.alert.severity) == ("worse", "critical")


def test_old_alerts_and_notices_of_removed_channels_are_forgotten(bus_with: Any, look: Any) -> None:
    bus = bus_with()
    kept = book.Book(bus.settings.alerts, {"gone": "warning"})
    now = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    finding = Finding("queue.stopped", "q", "critical", "Очередь остановлена", "Пустите")
    with bus.database.transaction() as connection:
        db = driver(connection)
        kept.note(db, Judgement((finding,)), now)
        book.forget(db, ["mail"], now)
        assert db.execute("SELECT count(*) FROM bus.alert_notice").fetchone() == (0,)
        kept.note(db, Judgement(()), now + timedelta(hours=1))
        book.forget(db, ["mail"], now + timedelta(days=91))
        assert db.execute("SELECT count(*) FROM bus.alert").fetchone() == (0,)


@pytest.mark.feature("BUS-14")
def test_an_alert_holds_no_content_of_messages(
    bus_with: Any, sitting: Any, put: Any, mailbox: Any, mail_settings: Any, hook: Any, far: Any
) -> None:
    bus = bus_with(mail=mail_settings(mailbox), webhooks={"duty": {"url": hook.url}})
    put(bus, "Лесная Ёлка 112-233-445 95", kind="nobody knows it", key="112-233-445 95")
    far.prepare_error = ConfigError("Ошибка у Лесной Ёлки")
    put(bus, "Лесная Ёлка", kind="out", queue="far")
    bus.engine.drain("far", 8)
    sitting(bus).once()
    [mail], [document] = mailbox.mails, hook.documents
    assert len(document["alerts"]) == 2
    for text in (mail.get_content(), mail["Subject"], str(document)):
        assert "Лесн" not in text
        assert "112-233" not in text


def test_the_watch_runs_in_a_bus_with_schedules(
    bus_with: Any, stop: Any, hook: Any, eventually: Any, look: Any
) -> None:
    bus = bus_with(every_s=0.05, webhooks={"duty": {"url": hook.url}})
    stop()
    bus.start(intake=False, work=False, schedule=True)
    eventually(lambda: hook.taken)
    assert STOPPED in _what(hook)[0]
