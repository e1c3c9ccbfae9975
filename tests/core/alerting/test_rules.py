"""What counts as wrong, and what the text of it says."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.alerting.rules import Finding, judge
from core.alerting.settings import Limits
from core.gauges import DiskGauge, Gauges, ScheduleGauge, WebhookGauge
from core.reading import QueueRow

pytestmark = pytest.mark.feature("BUS-13")

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
WELL = QueueRow(
    name="zags.death", side="route", title="Смерть", state="running", reason="", rest_until=None, failures=0,
    polled_at=None, poll_result="", changed_at=NOW, changed_by="", ready=0, held=0, retry=0, quarantined=0,
    oldest_at=None, per_minute=0.0,
)  # fmt: skip
QUIET = Gauges(
    at=NOW, queues=[WELL], awaiting={}, schedules=[], totals={}, database_bytes=1, firing={}, notices={},
    processes={"run": 1}, clocks={"a": 0.1}, disk=DiskGauge(1, 10**9, math.inf),
)  # fmt: skip


def _found(gauges: Gauges = QUIET, limits: Limits = Limits(), **queue: Any) -> list[Finding]:
    if queue:
        gauges = replace(gauges, queues=[replace(WELL, **queue)])
    return list(judge(gauges, limits).findings)


def _only(gauges: Gauges = QUIET, limits: Limits = Limits(), **queue: Any) -> Finding:
    [finding] = _found(gauges, limits, **queue)
    return finding


def test_a_healthy_bus_is_nothing_to_tell() -> None:
    assert _found() == []
    assert judge(QUIET, Limits()).unknown == ()


@pytest.mark.feature("BUS-06")
def test_a_queue_that_waits_too_long_is_told() -> None:
    assert _found(oldest_at=NOW - timedelta(minutes=29), ready=5) == []
    finding = _only(oldest_at=NOW - timedelta(minutes=31), ready=5)
    assert (finding.rule, finding.subject, finding.severity) == ("queue.old", "zags.death", "warning")
    assert "31 мин" in finding.text


@pytest.mark.feature("BUS-06")
def test_the_limit_of_a_single_queue_wins_and_zero_turns_the_rule_off() -> None:
    old = {"oldest_at": NOW - timedelta(hours=2), "ready": 1}
    assert _found(QUIET, Limits(oldest_min_of={"zags.death": 180}), **old) == []
    assert _found(QUIET, Limits(oldest_min=0), **old) == []
    assert _only(QUIET, Limits(oldest_min=0, oldest_min_of={"zags.death": 60}), **old).rule == "queue.old"


def test_a_stopped_queue_is_critical() -> None:
    finding = _only(state="stopped", reason="Нет файла ключа Иванова")
    assert (finding.rule, finding.severity, finding.lasts_s) == ("queue.stopped", "critical", 0)
    assert "omsbus queue resume zags.death" in finding.advice


def test_a_forgotten_pause_is_told_after_a_day() -> None:
    assert _found(state="paused", changed_at=NOW - timedelta(hours=23)) == []
    assert _only(state="paused", changed_at=NOW - timedelta(hours=25)).rule == "queue.paused"


@pytest.mark.feature("BUS-03")
def test_quarantine_is_told_from_the_first_message_and_again_when_it_grows() -> None:
    finding = _only(quarantined=1)
    assert (finding.rule, finding.value, finding.again_s) == ("quarantine", 1, 3600)
    assert _found(QUIET, Limits(quarantine_most=1), quarantined=1) == []


def test_a_source_and_a_far_side_must_fail_for_some_time() -> None:
    assert _only(side="source", failures=3).rule == "source.failing"
    finding = _only(side="sink", failures=3, ready=7)
    assert (finding.rule, finding.lasts_s) == ("sink.unavailable", 900)
    assert "7" in finding.text
    assert [one.rule for one in _found(side="sink", failures=3, state="stopped")] == ["queue.stopped"]


@pytest.mark.feature("BUS-07")
def test_a_schedule_that_was_not_fired_is_told() -> None:
    late = ScheduleGauge("daily", "pump.report", False, None, NOW, 900.0)
    finding = _only(replace(QUIET, schedules=[late, replace(late, name="another", lag_s=60.0)]))
    assert (finding.rule, finding.subject) == ("schedule.late", "daily")


@pytest.mark.feature("BUS-12")
@pytest.mark.parametrize(
    ("processes", "rules"),
    [
        ({}, ["process.worker", "process.scheduler"]),
        ({"web": 2}, ["process.worker", "process.scheduler"]),
        ({"web": 1, "worker": 3}, ["process.scheduler"]),
        ({"scheduler": 1}, ["process.worker"]),
        ({"scheduler": 1, "worker": 1}, []),
        ({"run": 1}, []),
    ],
)
def test_a_bus_without_workers_or_clock_is_told(processes: dict[str, int], rules: list[str]) -> None:
    assert [one.rule for one in _found(replace(QUIET, processes=processes))] == rules


@pytest.mark.feature("BUS-12")
def test_a_wrong_clock_is_told_by_machine() -> None:
    assert _only(replace(QUIET, clocks={"a": 0.1, "b": 3600.0})).subject == "b"


@pytest.mark.parametrize(
    ("days", "severity"), [(30, None), (29, "warning"), (7, "warning"), (6, "critical"), (-1, "critical")]
)
def test_a_certificate_that_ends_is_told(days: int, severity: str | None) -> None:
    found = _found(replace(QUIET, certificates={("smev", "fund.pem"): days}))
    assert [(one.rule, one.subject, one.severity) for one in found] == (
        [("certificate", "smev fund.pem", severity)] if severity else []
    )
    assert not found or ("истёк" in found[0].text) == (days < 0)


@pytest.mark.feature("BUS-09")
def test_the_disk_is_told_before_intake_stops_and_when_it_has() -> None:
    def at(days: float | None) -> list[tuple[str, str]]:
        return [(one.rule, one.severity) for one in _found(replace(QUIET, disk=DiskGauge(1, 1, days)))]

    assert at(15) == at(None) == []
    assert at(10) == [("disk.forecast", "warning")]
    assert at(1) == [("disk.forecast", "critical")]
    assert _only(replace(QUIET, refusal="Приём остановлен: …")).severity == "critical"


def test_what_cannot_be_judged_is_said_to_be_unknown() -> None:
    blind = replace(QUIET, unread=frozenset({"smev"}), disk=None)
    assert judge(blind, Limits()).unknown == (("certificate", "smev "), ("disk.forecast", ""))


@pytest.mark.feature("BUS-14")
def test_reasons_of_people_and_programs_are_not_passed_on() -> None:
    secret = "Лесная Ёлка, 112-233-445 95"
    rows = [
        replace(WELL, state="stopped", reason=secret, poll_result=secret, changed_by=secret, title=secret),
        replace(WELL, name="in", side="source", failures=9, reason=secret, poll_result=secret),
        replace(WELL, name="out", side="sink", failures=9, reason=secret, quarantined=9, oldest_at=NOW - timedelta(9)),
    ]
    found = _found(replace(QUIET, queues=rows, refusal=secret))
    assert len(found) >= 5
    assert not any(part in f"{one.text} {one.advice}" for one in found for part in ("Лесная", "112-233"))


def test_a_subscription_that_is_not_delivered_to_is_told() -> None:
    away = replace(QUIET, webhooks=[WebhookGauge(7, "Реестр", False, 3600.0)])
    off = replace(QUIET, webhooks=[WebhookGauge(7, "Реестр", True, 3600.0)])
    assert (_only(away).rule, _only(away).subject, _only(away).lasts_s) == ("webhook", "7", 15 * 60)
    assert "«Реестр» выключена шиной" in _only(off).text
    assert _only(off).lasts_s == 0
