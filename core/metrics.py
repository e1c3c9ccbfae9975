"""`GET /metrics`: the figures of the bus in the format of Prometheus.

All but the `process_*` figures belong to the whole cluster, whichever process answers: they come from the database
(core/gauges.py, core/rates.py). Whoever scrapes several processes takes `max`, not `sum`, over `instance`.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from core.connector import Event
from core.errors import BusError
from core.gauges import Gauges, Watched
from core.rates import BOUNDS_S, Counts
from core.signatures.keys import read_password

DEPTH_STATES: Final = ("ready", "held", "retry", "quarantined")
QUEUE_STATES: Final = ("running", "resting", "paused", "stopped")
_PROXIED: Final = (b"x-forwarded-for", b"forwarded", b"x-real-ip")
"""Headers by which a proxy on this machine says that it asks for somebody else."""
_REFUSED: Final = (
    "Показатели отдаются только этой машине. Чтобы собирать их с другой, задайте metrics_token_file или "
    "metrics_token_env и передавайте заголовок Authorization: Bearer\n"
)
_log = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Figures(Collector):
    """The gauges of the bus as metrics. With the database away only `omsbus_database_up 0` is left."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def describe(self) -> list[Metric]:
        return []  # the registry must not ask the database when it is built

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("omsbus_database_up", "1, если база отвечает вовремя")
        try:
            gauges = self._watched.look()
        except BusError as error:
            _log.warning("no figures", reason=error.reason)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _queues(gauges)
        yield from _schedules(gauges)
        yield from _totals(gauges.totals)
        yield from _rest(gauges)


class Exposition:
    """The ASGI application behind /metrics. Denied by default: only this machine, or whoever has the token.

    token_env, token_file: where the token is (see core.signatures.keys.read_password); with neither nobody from
    elsewhere is answered. A request that a proxy on this machine passes on comes from elsewhere.
    """

    def __init__(self, watched: Watched, *, token_env: str = "", token_file: Path | None = None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Figures(watched))
        ProcessCollector(registry=self._registry)
        self._token_env = token_env
        self._token_file = token_file

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = dict(scope["headers"])
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b"", "text/plain; charset=utf-8")
        elif not self._may(scope, headers):
            await _answer(send, 403, _REFUSED.encode(), "text/plain; charset=utf-8")
        else:
            encode, media_type = choose_encoder(headers.get(b"accept", b"").decode("latin-1"))
            body = await asyncio.to_thread(encode, self._registry)
            await _answer(send, 200, body if scope["method"] == "GET" else b"", media_type)

    def _may(self, scope: Event, headers: Mapping[bytes, bytes]) -> bool:
        if _is_loopback(scope.get("client")) and not any(name in headers for name in _PROXIED):
            return True
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        try:
            token = (read_password(self._token_env or None, self._token_file) or "").strip()
        except BusError as error:
            _log.warning("no token for metrics", reason=error.reason)
            return False
        return bool(token) and hmac.compare_digest(given.strip(), token.encode())


def _is_loopback(client: tuple[str, int] | None) -> bool:
    if not client:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


async def _answer(send: Send, status: int, body: bytes, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _queues(gauges: Gauges) -> Iterator[Metric]:
    depth = GaugeMetricFamily("omsbus_queue_depth", "Сообщений в очереди по состояниям", labels=("queue", "state"))
    oldest = GaugeMetricFamily("omsbus_queue_oldest_seconds", "Сколько ждёт самое старое сообщение", labels=("queue",))
    state = GaugeMetricFamily("omsbus_queue_state", "1 у нынешнего состояния", labels=("queue", "side", "state"))
    failures = GaugeMetricFamily("omsbus_queue_failures", "Неудач связи подряд", labels=("queue", "side"))
    polled = GaugeMetricFamily("omsbus_source_polled_timestamp_seconds", "Последний опрос", labels=("queue",))
    for queue in gauges.queues:
        now = "resting" if gauges.resting(queue) else queue.state
        for one in QUEUE_STATES:
            state.add_metric((queue.name, queue.side, one), one == now)
        if queue.side != "route":
            failures.add_metric((queue.name, queue.side), queue.failures)
        if queue.side != "source":
            for one in DEPTH_STATES:
                depth.add_metric((queue.name, one), getattr(queue, one))
            oldest.add_metric((queue.name,), gauges.age_s(queue))
        elif queue.polled_at:
            polled.add_metric((queue.name,), queue.polled_at.timestamp())
    yield from (depth, oldest, state, failures, polled)


def _schedules(gauges: Gauges) -> Iterator[Metric]:
    labels = ("schedule", "queue")
    last = GaugeMetricFamily("omsbus_schedule_last_timestamp_seconds", "Последний запуск по расписанию", labels=labels)
    following = GaugeMetricFamily("omsbus_schedule_next_timestamp_seconds", "Ближайший запуск", labels=labels)
    lag = GaugeMetricFamily("omsbus_schedule_lag_seconds", "На сколько запуск запаздывает", labels=labels)
    paused = GaugeMetricFamily("omsbus_schedule_paused", "1 у расписания на паузе", labels=labels)
    for one in gauges.schedules:
        names = (one.name, one.queue)
        paused.add_metric(names, one.paused)
        lag.add_metric(names, one.lag_s)
        if one.last:
            last.add_metric(names, one.last.timestamp())
        if one.next:
            following.add_metric(names, one.next.timestamp())
    yield from (last, following, lag, paused)


_COUNTERS: Final = {
    "accepted": ("omsbus_accepted", "Сообщений принято в журнал"),
    "commits": ("omsbus_intake_commits", "Транзакций, которыми они приняты (принято / транзакций = пачка приёма)"),
    "handled": ("omsbus_handled", "Сообщений обработано"),
    "sent": ("omsbus_sent", "Сообщений отправлено и подтверждено"),
    "retried": ("omsbus_retried", "Неудачных попыток, которые будут повторены"),
    "quarantined": ("omsbus_quarantined", "Сообщений отложено в карантин"),
    "batches": ("omsbus_batches", "Пачек взято в работу"),
    "claimed": ("omsbus_claimed", "Сообщений в этих пачках"),
    "signals": ("omsbus_signals", "Сигналов обработчикам"),
}


def _totals(totals: Mapping[str, Counts]) -> Iterator[Metric]:
    for name, (metric, title) in _COUNTERS.items():
        family = CounterMetricFamily(metric, title, labels=("queue",))
        for queue, counts in totals.items():
            family.add_metric((queue,), getattr(counts, name))
        yield family
    waited = HistogramMetricFamily(
        "omsbus_latency_seconds", "От приёма до завершения обработки или отправки", labels=("queue",)
    )
    worked = HistogramMetricFamily(
        "omsbus_work_seconds", "От взятия пачки до обработки сообщения; для отправки — сам обмен", labels=("queue",)
    )
    for queue, counts in totals.items():
        waited.add_metric((queue,), _buckets(counts.waited), counts.waited_s)
        worked.add_metric((queue,), _buckets(counts.worked), counts.worked_s)
    yield from (waited, worked)


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
    return list(zip(bounds, itertools.accumulate(counts), strict=True))


def _rest(gauges: Gauges) -> Iterator[Metric]:
    awaiting = GaugeMetricFamily("omsbus_awaiting_answer", "Отправленных, которые ждут ответа", labels=("queue",))
    for sink, count in gauges.awaiting.items():
        awaiting.add_metric((sink,), count)
    certificates = GaugeMetricFamily(
        "omsbus_certificate_days", "Дней до конца сертификата", labels=("connector", "certificate")
    )
    for names, days in gauges.certificates.items():
        certificates.add_metric(names, days)
    alerts = GaugeMetricFamily("omsbus_alerts", "Действующих оповещений", labels=("rule", "severity"))
    for names, count in gauges.firing.items():
        alerts.add_metric(names, count)
    notices = GaugeMetricFamily("omsbus_alert_notices_waiting", "Неотправленных оповещений", labels=("channel",))
    for channel, count in gauges.notices.items():
        notices.add_metric((channel,), count)
    processes = GaugeMetricFamily("omsbus_processes", "Живых процессов шины", labels=("role",))
    for role, count in gauges.processes.items():
        processes.add_metric((role,), count)
    clocks = GaugeMetricFamily("omsbus_clock_off_seconds", "Расхождение часов машины с часами базы", labels=("host",))
    for host, off_s in gauges.clocks.items():
        clocks.add_metric((host,), off_s)
    yield from (awaiting, certificates, alerts, notices, processes, clocks)
    yield GaugeMetricFamily("omsbus_database_bytes", "Размер базы", value=gauges.database_bytes)
    yield GaugeMetricFamily("omsbus_intake_refused", "1, если этот процесс не принимает", value=bool(gauges.refusal))
    if gauges.disk:
        yield GaugeMetricFamily("omsbus_disk_used_bytes", "Занято журналом и вложениями", value=gauges.disk.used_bytes)
        if gauges.disk.left_bytes is not None:
            yield GaugeMetricFamily(
                "omsbus_disk_left_bytes", "Осталось до остановки приёма", value=gauges.disk.left_bytes
            )
        if gauges.disk.days_left is not None and math.isfinite(gauges.disk.days_left):
            yield GaugeMetricFamily(
                "omsbus_disk_forecast_days", "На сколько дней хватит места", value=gauges.disk.days_left
            )
