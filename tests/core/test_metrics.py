"""GET /metrics: whom it answers, and that the figures are true."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from console.app import Console
from core import gauges
from core.errors import ConfigError, Unavailable
from core.gauges import Watched
from core.message import Message
from core.metrics import Exposition
from core.schedule import Schedule
from core.settings import Settings

pytestmark = pytest.mark.feature("BUS-13")

HERE = ("127.0.0.1", 40_000)
ELSEWHERE = ("192.0.2.7", 40_000)
Scrape = Callable[..., tuple[int, str, str]]


def _ask(application: Any, client: Any = HERE, method: str = "GET", path: str = "/metrics", **headers: str) -> Any:
    """(status, content type, body) of one request to an ASGI application."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "client": client, "headers": named, "query_string": b""}
    asyncio.run(application(scope, receive, send))
    types = dict(sent[0]["headers"])
    return sent[0]["status"], types[b"content-type"].decode(), sent[1]["body"].decode()


def _value(text: str, name: str, **labels: str) -> float | None:
    """The sample of that name whose labels include these."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "KEPT_S", 0.0)


@pytest.fixture
def bus(bus_of: Any, working: Any, far: Any) -> Any:
    def refuse(message: Message, _context: Any) -> Any:
        if message.body.startswith(b"bad"):
            raise ValueError("a defect")
        if message.body.startswith(b"away"):
            raise Unavailable("Сервис недоступен", pause_s=1000)
        return None

    return bus_of([working(refuse)], [far])


@pytest.fixture
def scrape(bus: Any) -> Callable[[], str]:
    def read() -> str:
        status, _, body = _ask(bus.metrics)
        assert status == 200
        return str(body)

    return read


@pytest.mark.feature("BUS-06")
def test_depths_ages_and_states_are_told_by_queue(bus: Any, scrape: Any, put: Any, look: Any) -> None:
    put(bus, "bad/1", "away/1", "away/2", "c/1")
    bus.engine.drain("t.work", 2)
    look.do("UPDATE bus.queue SET state = 'paused' WHERE name = 't.work'")
    text = scrape()
    depths = {s: _value(text, "omsbus_queue_depth", queue="t.work", state=s) for s in ("ready", "retry", "held")}
    assert depths == {"ready": 1, "retry": 1, "held": 1}
    assert _value(text, "omsbus_queue_depth", queue="t.work", state="quarantined") == 1
    age_s = _value(text, "omsbus_queue_oldest_seconds", queue="t.work")
    assert age_s is not None
    assert 0 < age_s < 3600
    assert _value(text, "omsbus_queue_state", queue="t.work", state="paused") == 1
    assert _value(text, "omsbus_queue_state", queue="t.work", state="running") == 0


def test_rates_and_the_histogram_of_a_route_are_told(bus: Any, scrape: Any, put: Any, run_dry: Any) -> None:
    put(bus, "a/1", "b/1")
    run_dry(bus)
    bus.meter.flush()
    text = scrape()
    assert _value(text, "omsbus_accepted_total", queue="t.work") == 2
    assert _value(text, "omsbus_handled_total", queue="t.work") == 2
    assert _value(text, "omsbus_latency_seconds_count", queue="t.work") == 2
    assert _value(text, "omsbus_latency_seconds_bucket", queue="t.work", le="3600") == 2
    smallest = _value(text, "omsbus_latency_seconds_bucket", queue="t.work", le="0.001")
    assert smallest is not None
    assert smallest <= 2
    assert _value(text, "omsbus_work_seconds_count", queue="t.work") == 2


def test_a_far_side_that_is_away_shows(bus: Any, scrape: Any, put: Any, far: Any) -> None:
    far.send_errors[b"*"] = [Unavailable("Нет связи")]
    put(bus, "a", kind="out", queue="far", reply_within_s=3600)
    bus.engine.drain("far", 8)
    text = scrape()
    assert _value(text, "omsbus_queue_state", queue="far", state="resting") == 1
    assert _value(text, "omsbus_queue_failures", queue="far") == 1


def test_questions_without_an_answer_are_told(bus: Any, scrape: Any, put: Any) -> None:
    put(bus, "a", kind="out", queue="far", replies_to="t.work", reply_within_s=3600)
    bus.engine.drain("far", 8)
    assert _value(scrape(), "omsbus_awaiting_answer", queue="far") == 1


@pytest.mark.feature("BUS-07")
def test_the_lag_of_a_schedule_is_told(bus: Any, scrape: Any, look: Any) -> None:
    bus.schedules.declare([Schedule("t.hourly", "0 * * * *", "t.work"), Schedule("t.skipped", "0 * * * *", "t.work",
                                                                                 missed="skip")])  # fmt: skip
    look.do("UPDATE bus.schedule SET changed_at = now() - interval '3 hours'")
    text = scrape()
    lag_s = _value(text, "omsbus_schedule_lag_seconds", schedule="t.hourly")
    assert lag_s is not None
    assert 2 * 3600 - 1 <= lag_s <= 3 * 3600
    assert _value(text, "omsbus_schedule_lag_seconds", schedule="t.skipped") == 0
    following = _value(text, "omsbus_schedule_next_timestamp_seconds", schedule="t.hourly")
    assert following is not None
    assert following > look.one("SELECT extract(epoch FROM now())")


@pytest.mark.feature("BUS-09")
def test_a_refused_intake_and_the_disk_are_told(bus: Any, scrape: Any, monkeypatch: Any) -> None:
    text = scrape()
    assert _value(text, "omsbus_intake_refused") == 0
    used, size = _value(text, "omsbus_disk_used_bytes"), _value(text, "omsbus_database_bytes")
    assert used
    assert size
    monkeypatch.setattr(bus.watched, "_refusal", lambda: "Приём остановлен")
    assert _value(scrape(), "omsbus_intake_refused") == 1


@pytest.mark.feature("BUS-09")
def test_a_disk_that_cannot_be_measured_costs_no_other_figure(bus: Any, scrape: Any, monkeypatch: Any) -> None:
    def gone(*_: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(gauges.disk, "volumes", gone)
    text = scrape()
    assert _value(text, "omsbus_disk_used_bytes") is None
    assert _value(text, "omsbus_database_bytes")


def test_certificate_days_come_from_whichever_connector_tells_them(
    bus_of: Any, far_side: Any, database: Any, tmp_path: Path
) -> None:
    told, silent, broken = far_side("told"), far_side("silent"), far_side("broken")
    told.certificate_days = lambda: {"fund.pem": 12}

    def fail() -> Any:
        raise ConfigError("Файл не читается")

    broken.certificate_days = fail
    bus_of()
    look = Watched(database, Settings(database_url=database.url, data_dir=tmp_path), [told, silent, broken]).look()
    assert look.certificates == {("told", "fund.pem"): 12}
    assert look.unread == {"broken"}


def test_with_the_database_away_the_answer_says_so(bus: Any, scrape: Any, monkeypatch: Any) -> None:
    def away() -> Any:
        raise Unavailable("База данных недоступна")

    monkeypatch.setattr(bus.watched, "_read", away)
    text = scrape()
    assert _value(text, "omsbus_database_up") == 0
    assert "omsbus_queue_depth" not in text
    assert _value(text, "process_resident_memory_bytes")


def test_scrapes_shortly_after_one_another_ask_the_database_once(bus: Any, scrape: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(gauges, "KEPT_S", 60.0)
    asked = []
    read = bus.watched._read
    monkeypatch.setattr(bus.watched, "_read", lambda: asked.append(1) or read())
    assert scrape().count("\n") == scrape().count("\n")
    assert asked == [1]


def test_a_depth_beyond_the_exact_count_is_estimated(bus: Any, scrape: Any, look: Any, monkeypatch: Any) -> None:
    for module in (gauges, gauges.reading):
        monkeypatch.setattr(module, "DEPTH_MOST", 1000)
    monkeypatch.setattr(gauges, "SAMPLE_SEQS", 100)
    look.do(  # every third number of 30,000
        "INSERT INTO bus.entry (seq, message_id, queue, key, state) "
        "SELECT n * 3, gen_random_uuid(), 't.work', '', 'ready' FROM generate_series(1, 10000) n"
    )
    depth = _value(scrape(), "omsbus_queue_depth", queue="t.work", state="ready")
    assert depth == pytest.approx(10_000, rel=0.05)


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize(
    ("client", "headers"),
    [
        (ELSEWHERE, {}),
        (None, {}),
        (("не адрес", 1), {}),
        (("2001:db8::1", 1), {}),
        (HERE, {"x_forwarded_for": "127.0.0.1"}),
        (HERE, {"forwarded": "for=127.0.0.1"}),
        (ELSEWHERE, {"authorization": "Bearer wrong"}),
        (ELSEWHERE, {"authorization": "Basic right"}),
        (ELSEWHERE, {"authorization": "Bearer "}),
    ],
)
def test_nobody_from_elsewhere_is_answered_without_the_token(
    bus: Any, tmp_path: Path, client: Any, headers: dict[str, str]
) -> None:
    secret = tmp_path / "token"
    secret.write_text("right\n")
    for application in (bus.metrics, Exposition(bus.watched, token_file=secret)):
        status, _, body = _ask(application, client, **headers)
        assert status == 403
        assert "omsbus_queue" not in body


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("client", [HERE, ("::1", 1), ("::ffff:127.0.0.1", 1)])
def test_this_machine_is_answered(bus: Any, client: Any) -> None:
    assert _ask(bus.metrics, client)[0] == 200


@pytest.mark.feature("BUS-14")
def test_the_token_opens_it_from_elsewhere(bus: Any, tmp_path: Path, monkeypatch: Any) -> None:
    secret = tmp_path / "token"
    secret.write_text("right\n")
    application = Exposition(bus.watched, token_file=secret)
    assert _ask(application, ELSEWHERE, authorization="Bearer right")[0] == 200
    monkeypatch.setenv("T_METRICS", "other")
    assert _ask(Exposition(bus.watched, token_env="T_METRICS"), ELSEWHERE, authorization="bearer other")[0] == 200
    secret.unlink()
    assert _ask(application, ELSEWHERE, authorization="Bearer right")[0] == 403


@pytest.mark.feature("BUS-14")
def test_an_empty_token_file_opens_nothing(bus: Any, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("\n")
    assert _ask(Exposition(bus.watched, token_file=secret), ELSEWHERE, authorization="Bearer ")[0] == 403


def test_only_reading_is_allowed(bus: Any) -> None:
    assert _ask(bus.metrics, method="POST")[0] == 405
    assert _ask(bus.metrics, method="HEAD")[2] == ""


def test_the_console_serves_it_beside_its_own_pages(bus: Any) -> None:
    console = Console()
    console.serve(bus)
    status, media_type, body = _ask(console, path="/metrics")
    assert (status, media_type.partition(";")[0]) == (200, "text/plain")
    assert _value(body, "omsbus_database_up") == 1
    assert _ask(console, ELSEWHERE, path="/metrics")[0] == 403


def test_figures_hold_no_content_of_messages(bus: Any, scrape: Any, put: Any, run_dry: Any) -> None:
    put(bus, "bad Лесная Ёлка 112-233-445 95", "Лесная Ёлка/1")
    run_dry(bus)
    bus.meter.flush()
    assert not re.search("Лесная|112-233", scrape())
