"""Builds the bus from its settings, and runs the parts a process wants: intake, workers, schedules.

with Bus.open(settings) as bus:      database ready, migrated; routes and connectors found; nothing running
    bus.start(intake=True, work=True, schedule=True)
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import structlog

from core import ballast, discovery, polling, postgres, questions
from core.alerting.watch import Watch
from core.bulk_work import Runner
from core.cluster import Membership
from core.configuration import Configuration, Queue, configuration, digest, settings_of, settings_of_line
from core.connector import Application, Connector, Sink, Source, applications_of, cron_of
from core.database import Database, driver, migrate, revisions
from core.declarations import declare, look_around, look_for_orphans
from core.discovery import Routes
from core.distribution import Drains, Sweep, Worker, celery_app, signals_of
from core.engine import UNKNOWN_QUEUE, Engine
from core.errands import Errands
from core.errors import BusError, ConfigError, Unavailable
from core.gauges import Watched
from core.intake import Intake
from core.journal import Journal
from core.keeper import Keeper
from core.lines import Line
from core.metrics import Exposition
from core.neighbours import guard_migration
from core.outgoing import Outgoing
from core.overrides import Overrides
from core.payloads import PayloadStore
from core.pressure import Pressure
from core.processes import WorkerProcess
from core.queues import Queues
from core.rates import Meter
from core.receivers import Receivers
from core.route import Retry, Route
from core.schedule import Schedule
from core.scheduler import Scheduler, Schedules
from core.seals.background import Verifier
from core.seals.sealing import Sealer
from core.search.indexer import Indexer
from core.settings import RouteSettings, Settings, check_variables
from core.wakeups import Announcer, Listener, announce
from core.webhooks.courier import Courier

SINK_CONCURRENCY = 2
_ROLES = {
    (True, True, True, True): "run",
    (False, True, False, False): "web",
    (False, False, True, False): "worker",
    (True, False, False, True): "scheduler",
}
"""(intake, push, work, schedule) → the command that starts so."""
_log = structlog.get_logger(__name__)


class Bus:
    """Everything of one process. Made by `Bus.open`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        routes: list[Route] | None = None,
        connectors: list[Connector] | None = None,
    ) -> None:
        self.settings = settings
        self.database = database
        self._discovered = routes is None and settings.route_modules is None
        self.routes = Routes([*(self._own_routes() if routes is None else routes), polling.route, questions.route])
        check_variables()  # those of the subsystems are known only now
        found = discovery.connectors(settings.connectors) if connectors is None else connectors
        self.lines = {connector.name: Line(connector) for connector in found}
        self.sources: dict[str, Source] = {}
        sinks: dict[str, Sink] = {}
        for line in self.lines.values():
            self.sources.update(line.sources())
            sinks.update(line.sinks())
        self.payloads = PayloadStore(
            settings.blob_url, inline_bytes=settings.inline_payload_bytes, blob_bytes=settings.blob_payload_bytes
        )
        self.journal = Journal(self.payloads)
        self.queues = Queues(self.journal)
        self.outgoing = Outgoing(self.payloads)
        self.schedules = Schedules(database)
        self._celery = celery_app(settings.broker_url, settings.broker_queue)
        self.signals = signals_of(self._celery, settings.broker_url)
        self.meter = Meter(database)
        self.verifier = Verifier(database, self.payloads)
        self.overrides = Overrides(database)
        self.errands = Errands()
        self.engine = Engine(
            database,
            self.journal,
            self.queues,
            self.outgoing,
            self.routes,
            sinks,
            self.wake,
            self.retry_of,
            self.meter,
        )
        self.pressure = Pressure(database, settings)
        self.intake = Intake(self.engine.keep, self.pressure.reason, threads=settings.intake_threads)
        self.watched = Watched(database, settings, found, self.pressure.reason)
        self.metrics = Exposition(
            self.watched, token_env=settings.metrics_token_env, token_file=settings.metrics_token_file
        )
        self.membership = Membership(
            database,
            [schema for schema, _ in discovery.migrations()],
            self._describe,
            rolling=settings.rolling,
            clock_most_s=settings.clock_most_s,
            end=self.stop,
            look_around=lambda: look_around(database, self._queues()),
        )
        self.bulk: Runner | None = None
        self._alone = False
        self._stop_lock = threading.Lock()
        self._parts: list[Any] = []
        self._announcer: Announcer | None = None
        self._workers: list[WorkerProcess] = []
        self._drains_here = False
        self.ready = False

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        settings: Settings,
        routes: list[Route] | None = None,
        connectors: list[Connector] | None = None,
        *,
        declare: bool = True,
    ) -> Iterator[Bus]:
        """Database found or started, migrated, queues declared; everything stopped and closed at the end.

        `declare=False` is for a command beside a running bus: it must not start stopped queues or change schedules,
        and is no member of the cluster. Raises ConfigError when this process must not run (core/cluster.py).
        """
        with contextlib.ExitStack() as stack:
            if settings.database_url is None:
                ballast.release_when_full(settings.data_dir)
            url = settings.database_url or stack.enter_context(postgres.embedded(settings.data_dir))
            database = Database(url)
            stack.callback(database.close)
            bus = cls(settings, database, routes, connectors)
            stack.callback(bus.membership.leave)
            stack.callback(bus.stop)
            if declare:
                bus.membership.check_in()
            folders = discovery.migrations()
            guard_migration(database, lambda: revisions(folders), rolling=settings.rolling)
            migrate(database, folders)
            if declare:
                bus._alone = bus.membership.join()
                bus._declare_when_possible()
            yield bus

    def start(
        self,
        *,
        intake: bool,
        work: bool,
        schedule: bool,
        push: bool = False,
        processes: int = 0,
    ) -> None:
        """Start the wanted parts; `ready` when they run.

        intake      poll the sources           push  commit what the web server's `applications` hand in
        processes   with `work`: so many child processes drain the queues, instead of threads of this one
        """
        drainer: Worker | None = None
        self.membership.join()
        self._begin(self.signals)
        self._begin(self.meter)
        self._begin(self.pressure)
        if work and processes and not self.settings.broker_url:
            self._announcer = Announcer(self.database)
            self._begin(self._announcer)
            self._workers = [WorkerProcess(self.settings, self.database.url) for _ in range(processes)]
            for worker in self._workers:
                self._begin(worker)
        elif work:
            many = bool(self.settings.broker_url)
            drains = Drains(self.engine, self.signals, self.concurrency_of, self.settings.batch_most, spread=many)
            drainer = Worker(self._celery, drains, self.settings.workers)
            self._begin(drainer)
            self._drains_here = True
            if not self.settings.broker_url:
                self._begin(Listener(self.database, drainer.here))
        if work:
            found = drainer.here if drainer else self.wake
            self._begin(Sweep(self.database, self.queues, self.engine, found, self.settings.sweep_s))
        if schedule:
            self._begin(Scheduler(self.database, self.engine))
            self._begin(Keeper(self.database, self.payloads, self.settings))
            self._begin(Indexer(self.database, self.payloads))
            self.bulk = Runner(self)
            self._begin(self.bulk)
            self._begin(Sealer(self.database, self.settings.seals))
            self._begin(Courier(self.database, self.settings))
        if push:
            self._begin(self.intake)
        if intake:
            self._begin(Receivers(self.database, self.engine, self.sources, self.pressure.reason))
        if schedule or push:
            self._begin(Watch(self.database, self.watched, self.settings, standby=not schedule))
        self.membership.began(_ROLES.get((intake, push, work, schedule), "part"))
        self.ready = True

    def applications(self) -> Mapping[str, Application]:
        """Path prefix → what the web server hands requests below it to. Raises ConfigError when two want the same."""
        found: dict[str, Application] = {}
        for name, line in self.lines.items():
            for prefix, application in applications_of(line.connector, self.intake).items():
                if prefix in found:
                    raise ConfigError(f"Коннектор {name}: адрес {prefix} уже занят другим коннектором, измените path")
                found[prefix] = application
        return found

    def _own_routes(self) -> list[Route]:
        modules = self.settings.route_modules
        return discovery.routes() if modules is None else discovery.routes_of(modules)

    def until(self, stopping: threading.Event) -> None:
        """Wait for `stopping`. Raises ConfigError when this process must not go on; its parts are stopped then."""
        self.membership.until(stopping)

    def wake(self, queue: str) -> None:
        """Tell whoever drains this queue that it has work: by the broker, a thread of ours, or PostgreSQL's NOTIFY."""
        if self.settings.broker_url or self._drains_here:
            self.signals.wake(queue)
        elif self._announcer is not None:
            self._announcer.wake(queue)
        else:  # this process drains nothing
            with contextlib.suppress(BusError), self.database.transaction(durable=False) as connection:
                announce(driver(connection), queue)

    def _begin(self, part: Any) -> None:
        self._parts.append(part)
        part.start()

    def stop(self) -> None:
        """Intake first, then the workers: what was taken is committed, nothing new is begun. Idempotent."""
        self.ready = False
        with self._stop_lock:  # the cluster may end us while we end ourselves
            while self._parts:
                self._parts.pop().stop()
            self.signals.stop()  # a command that starts nothing may have woken somebody
            self.meter.stop()
            self.verifier.stop()
            self.watched.stop()
            self.errands.stop()
            self.bulk, self._announcer, self._workers, self._drains_here = None, None, [], False
            for line in self.lines.values():
                line.close()

    def healthy(self) -> bool:
        """Started, the workers are up, and the database answers."""
        if not self.ready or not all(worker.alive for worker in self._workers):
            return False
        with contextlib.suppress(Exception), self.database.transaction() as connection:
            driver(connection).execute("SELECT 1")
            return True
        return False

    def retry_of(self, route: Route) -> Retry:
        """The route's retry policy with the operators' numbers."""
        return _changed(self.base_retry_of(route), self.overrides.of(route.name))

    def concurrency_of(self, queue: str) -> int:
        """How many drains of the queue a process may run at once."""
        changed = self.overrides.of(queue)
        return changed.concurrency if changed and changed.concurrency else self.base_concurrency_of(queue)

    def base_retry_of(self, route: Route) -> Retry:
        """By the code and the settings file."""
        return _changed(route.retry, self.settings.routes.get(route.name))

    def base_concurrency_of(self, queue: str) -> int:
        """By the code and the settings file."""
        changed = self.settings.routes.get(queue)
        if changed and changed.concurrency:
            return changed.concurrency
        route = self.routes.by_name.get(queue)
        return route.concurrency if route else SINK_CONCURRENCY

    def _declare_when_possible(self) -> None:
        """On a full disk the bus must come up all the same: people have to see why it takes nothing in."""
        try:
            self._declare()
        except Unavailable as error:
            _log.error("queues not declared", reason=error.reason)
            self.pressure.postpone(self._declare_at_last, error.reason)

    def _declare_at_last(self) -> None:
        self.membership.appear()  # else the queues would be taken for nobody's
        self._declare()

    def _declare(self) -> None:
        """Make every queue and schedule of this code known, and show the queues that nobody serves any more."""
        declare(self.database, self._queues(), first=self._alone)
        look_for_orphans(self.database)
        polls = [polling.schedule_of(name, cron) for name, source in self.sources.items() if (cron := cron_of(source))]
        declared = [*polls, *(discovery.schedules() if self._discovered else []), *self._configured_schedules()]
        self.schedules.declare(declared)

    def _queues(self) -> list[Queue]:
        """What this process serves. Raises ConfigError."""
        unknown = [name for name in self.settings.routes if name not in self.routes.by_name]
        if unknown:
            raise ConfigError(f"Настройки routes.{unknown[0]}: такого маршрута нет. Уберите их или исправьте имя")
        rows = [
            Queue(route.name, "route", route.title, settings_of(self.settings, route))
            for route in self.routes.by_name.values()
        ]
        for line in self.lines.values():
            stand = settings_of_line(self.settings, line)
            rows += [Queue(name, "sink", f"Отправка: {name}", stand) for name in line.connector.sinks]
            rows += [Queue(name, "source", f"Приём: {name}", stand) for name in line.connector.sources]
        rows.append(Queue(UNKNOWN_QUEUE, "route", "Неизвестные виды и ответы без запроса", digest("")))
        if twice := [name for name, times in Counter(row.name for row in rows).items() if times > 1]:
            raise ConfigError(f"Имя {twice[0]} носят две очереди: переименуйте маршрут или коннектор")
        return rows

    def _describe(self) -> Configuration:
        names = [row.name for row in self._queues()]
        return configuration(self.settings, list(self.routes.by_name.values()), self.lines, names)

    def _configured_schedules(self) -> list[Schedule]:
        return [Schedule(name, **values.model_dump()) for name, values in self.settings.schedules.items()]


def _changed(retry: Retry, numbers: RouteSettings | None) -> Retry:
    return replace(retry, **numbers.model_dump(exclude_none=True, exclude={"concurrency"})) if numbers else retry
