"""The dashboard of Grafana and the rules of Prometheus name only what /metrics has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from core import settings
from core.alerting.channels import channels
from core.alerting.settings import Limits
from core.message import Message
from core.route import Route
from core.schedule import Schedule
from core.settings import HOUSE

pytestmark = pytest.mark.feature("BUS-13")

DASHBOARD = json.loads((HOUSE / "deploy/grafana/omsbus.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((HOUSE / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
SCRAPE = yaml.safe_load((HOUSE / "deploy/prometheus/scrape.yml").read_text(encoding="utf-8"))
OF_PROMETHEUS = {"up"}
_VARIABLES = {"$__rate_interval": "5m", "$queue": ".*", "$job": ".*"}


def _expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return panels + [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]


def _parsed(expression: str) -> Any:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return promql_parser.parse(expression)


def _selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """(metric, labels that are asked for) of every selector of an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name, {one.name for one in node.matchers.matchers}
    for name in ("expr", "lhs", "rhs", "vector_selector", "args"):
        below = getattr(node, name, None)
        for one in below if isinstance(below, list) else [below]:
            if one is not None:
                yield from _selectors(one)


@pytest.fixture(scope="module")
def asked() -> list[tuple[str, set[str]]]:
    found = [selector for one in _expressions() for selector in _selectors(_parsed(one))]
    assert len(found) > 60
    return [(name, labels) for name, labels in found if name not in OF_PROMETHEUS]


@pytest.fixture
def samples(bus_of: Any, database: Any) -> dict[str, set[str]]:
    """Sample name → its labels, of a bus that has seen everything."""
    route = Route("t.work", title="Работа")
    route.handler(lambda _body, _context: None)
    far = SimpleNamespace(
        name="far", sources={"far.in": SimpleNamespace(interval_s=1.0, receive=lambda: [])}, sinks={},
        open=lambda: None, close=lambda: None, check=lambda: "", certificate_days=lambda: {"fund.pem": 100},
    )  # fmt: skip
    bus = bus_of([route], [far])
    bus.schedules.declare([Schedule("hourly", "0 * * * *", "t.work")])
    bus.engine.put([Message(kind="t.work", body=b"{}"), Message(kind="nobody knows it", body=b"{}")])
    bus.engine.drain("t.work", 8)
    bus.meter.flush()
    with database.transaction() as connection:
        for statement in (
            "UPDATE bus.process SET state = 'running', role = 'run'",
            "UPDATE bus.schedule SET fired_for = now()",
            "UPDATE bus.queue SET polled_at = now() WHERE name = 'far.in'",
            "INSERT INTO bus.disk_sample (at, used_bytes, left_bytes) "
            "SELECT now() - make_interval(hours => n), 1000000000 - n * 1000000, 5 FROM generate_series(0, 24) n",
            "INSERT INTO bus.alert (rule, subject, severity, text, advice, value, since, seen_at, fired_at) "
            "VALUES ('queue.old', 'q', 'warning', '', '', 0, now(), now(), now())",
            "INSERT INTO bus.alert_notice (alert_id, channel, what, made_at, due_at) "
            "SELECT id, 'mail', 'began', now(), now() FROM bus.alert",
            "INSERT INTO bus.outgoing (message_id, sink, external_id, headers, replies_to, answer_due_at) "
            "VALUES (gen_random_uuid(), 'far', '1', '{}', '', now())",
        ):
            connection.exec_driver_sql(statement)
    text = generate_latest(bus.metrics._registry).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_and_label_that_is_asked_for_exists(
    asked: list[tuple[str, set[str]]], samples: dict[str, set[str]]
) -> None:
    of_scrape = {"job", "instance"}
    missing = {
        (name, label)
        for name, labels in asked
        for label in ("", *labels)
        if name not in samples or (label and label not in samples[name] | of_scrape)
    }
    assert missing == set()


def test_every_metric_of_the_bus_stands_on_the_dashboard(samples: dict[str, set[str]]) -> None:
    shown = {name for target in _expressions() for name, _ in _selectors(_parsed(target))}
    own = {name for name in samples if re.match("omsbus_.*(?<!_sum)(?<!_count)$", name)}
    assert {"omsbus_accepted_total", "omsbus_latency_seconds_bucket"} <= own
    assert own - shown == set()


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboard_has_its_rows_in_russian_and_asks_the_chosen_source() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == [
        "Обзор", "Очереди", "Задержки", "Карантин и повторы", "Коннекторы и сертификаты", "Диск",
    ]  # fmt: skip
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    for panel in DASHBOARD["panels"]:
        assert re.search("[а-яё]", panel["title"])
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(refs) == len(set(refs))
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_the_limits_of_prometheus_are_those_of_the_bus() -> None:
    limits = Limits()
    expressions = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]}
    assert expressions["OmsbusQueueOld"].endswith(f"> {limits.oldest_min * 60:g}")
    assert expressions["OmsbusScheduleLate"].endswith(f"> {limits.schedule_late_min * 60:g}")
    assert expressions["OmsbusClock"].endswith(f"> {limits.clock_most_s:g}")
    assert expressions["OmsbusCertificate"].endswith(f"< {limits.certificate_days}")
    assert expressions["OmsbusDiskForecast"].endswith(f"< {limits.disk_days:g}")


def test_the_example_of_the_manual_is_accepted(tmp_path: Path) -> None:
    manual = (HOUSE / "docs/operations.md").read_text(encoding="utf-8")
    [example] = [text for text in re.findall("```toml\n(.*?)```", manual, re.DOTALL) if "[alerts.mail]" in text]
    config = tmp_path / "omsbus.toml"
    config.write_text(example, encoding="utf-8")
    alerts = settings.load(config).alerts
    assert [one.name for one in channels(alerts)] == ["mail", "webhook.duty"]
    assert alerts.limits.oldest_min_of == {"pump.report": 240}


def test_the_manual_names_every_rule() -> None:
    manual = (HOUSE / "docs/operations.md").read_text(encoding="utf-8")
    program = (HOUSE / "core/alerting/rules.py").read_text(encoding="utf-8")
    rules = set(re.findall(r'"((?:queue|source|sink|schedule|process|disk)\.[a-z]+)"', program))
    assert len(rules) >= 10
    assert {rule for rule in rules if f"`{rule}`" not in manual} == set()


def test_every_rule_says_what_to_do() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert re.search("[а-яё]", rule["annotations"]["summary"])
            assert rule["annotations"]["description"]
    assert SCRAPE["scrape_configs"][0]["job_name"] == "omsbus"
    assert SCRAPE["rule_files"] == ["alerts.yml"]
