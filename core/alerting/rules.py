"""What is wrong with the bus right now: pure functions of core.gauges and the limits.

Nothing personal and no secret: names of queues, schedules, certificates and machines, and numbers. The reasons of
single messages are not repeated here. Every text says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.alerting.settings import Limits, Severity
from core.gauges import Gauges
from core.printing import lasting, number

WORKING: Final = frozenset({"run", "worker"})
CLOCKS: Final = frozenset({"run", "scheduler"})
"""Roles of processes that drain queues; that fire schedules and poll."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong.

    rule, subject  what it is about: together they are its identity as long as it lasts
    text, advice   Russian: what is seen; what to do
    value          how bad, in the unit of the rule; `again_s`: when it has grown, it is told again, at most so often
    lasts_s        it is told only when it lasts so long
    """

    rule: str
    subject: str
    severity: Severity
    text: str
    advice: str
    value: float = 0.0
    lasts_s: float = 0.0
    again_s: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """`unknown`: (rule, beginning of the subject) that could not be judged: what was found earlier stays as it is."""

    findings: tuple[Finding, ...]
    unknown: tuple[tuple[str, str], ...] = ()


def judge(gauges: Gauges, limits: Limits) -> Judgement:
    """Everything that is wrong."""
    found = [*_queues(gauges, limits), *_sources_and_sinks(gauges, limits), *_clockwork(gauges, limits)]
    found += [*_certificates(gauges, limits), *_disk(gauges, limits), *_webhooks(gauges, limits)]
    unknown = [("certificate", f"{connector} ") for connector in sorted(gauges.unread)]
    if gauges.disk is None or gauges.disk.days_left is None:
        unknown.append(("disk.forecast", ""))
    return Judgement(tuple(found), tuple(unknown))


def _queues(gauges: Gauges, limits: Limits) -> Iterator[Finding]:
    for queue in gauges.queues:
        name = queue.name
        if queue.state == "stopped":
            yield Finding(
                "queue.stopped",
                name,
                "critical",
                f"Очередь {name} остановлена из-за ошибки настройки. Ждёт сообщений: {number(queue.ready)}",
                f"Причина: omsbus queue list. Исправьте её и пустите очередь: omsbus queue resume {name}",
            )
        paused_s = (gauges.at - queue.changed_at).total_seconds()
        if queue.state == "paused" and limits.paused_h and paused_s > limits.paused_h * 3600:
            yield Finding(
                "queue.paused",
                name,
                "warning",
                f"Очередь {name} стоит на паузе уже {lasting(paused_s)}. Ждёт сообщений: {number(queue.ready)}",
                f"Если пауза больше не нужна: omsbus queue resume {name}",
                paused_s,
            )
        age_s = gauges.age_s(queue)
        most_min = limits.oldest_min_of.get(name, limits.oldest_min)
        if most_min and age_s > most_min * 60:
            yield Finding(
                "queue.old",
                name,
                "warning",
                f"В очереди {name} самое старое сообщение ждёт {lasting(age_s)} (предел {lasting(most_min * 60)}). "
                f"Готово: {number(queue.ready)}, повтор: {number(queue.retry)}, за ними: {number(queue.held)}",
                "Посмотрите, работает ли очередь и обработчики: omsbus queue list; что её держит: "
                f"omsbus message list --queue {name}",
                age_s,
            )
        if queue.quarantined > limits.quarantine_most:
            yield Finding(
                "quarantine",
                name,
                "warning",
                f"В карантине очереди {name} сообщений: {number(queue.quarantined)}",
                f"Разберите их: omsbus message list --queue {name} --state quarantined; исправив причину, отправьте "
                "повторно или отклоните",
                queue.quarantined,
                again_s=limits.quarantine_again_min * 60,
            )


def _sources_and_sinks(gauges: Gauges, limits: Limits) -> Iterator[Finding]:
    for queue in gauges.queues:
        if not queue.failures or queue.state != "running":
            continue
        if queue.side == "source":
            text = f"Источник {queue.name} не опрашивается: неудач подряд {number(queue.failures)}"
            rule, look = "source.failing", "Чем кончился последний опрос: omsbus queue list"
        elif queue.side == "sink":
            text = (
                f"Другая сторона {queue.name} недоступна: неудач подряд {number(queue.failures)}, ждёт отправки "
                f"{number(queue.ready + queue.retry)}"
            )
            rule, look = "sink.unavailable", f"Проверьте связь: omsbus connector check {queue.name}"
        else:
            continue
        advice = f"{look}. Шина повторяет сама; если другая сторона исправна, проверьте сеть и настройки коннектора"
        yield Finding(rule, queue.name, "critical", text, advice, queue.failures, limits.failing_min * 60)


def _clockwork(gauges: Gauges, limits: Limits) -> Iterator[Finding]:
    for schedule in gauges.schedules:
        if schedule.lag_s > limits.schedule_late_min * 60:
            yield Finding(
                "schedule.late",
                schedule.name,
                "critical",
                f"Расписание {schedule.name} не запущено вовремя: опаздывает на {lasting(schedule.lag_s)}",
                "Проверьте, что работает omsbus run или omsbus scheduler и что в его журнале работы нет ошибок",
                schedule.lag_s,
            )
    for rule, roles, what, remedy in (
        ("process.worker", WORKING, "обработчика очередей: сообщения принимаются, но не обрабатываются", "worker"),
        ("process.scheduler", CLOCKS, "планировщика: источники не опрашиваются, расписания стоят", "scheduler"),
    ):
        if not any(count for role, count in gauges.processes.items() if role in roles):
            yield Finding(
                rule,
                "",
                "critical",
                f"Нет ни одного работающего {what}",
                f"Запустите omsbus run или omsbus {remedy}; посмотрите в журнале работы, почему процесс завершился",
                lasts_s=limits.process_min * 60,
            )
    for host, off_s in gauges.clocks.items():
        if off_s > limits.clock_most_s:
            yield Finding(
                "clock",
                host,
                "critical",
                f"Часы машины {host} расходятся с часами базы на {off_s:.0f} с",
                "Включите синхронизацию времени (NTP) на обеих машинах: с неверными часами СМЭВ отказывает в приёме",
                off_s,
                lasts_s=30.0,
            )


def _certificates(gauges: Gauges, limits: Limits) -> Iterator[Finding]:
    for (connector, certificate), days in gauges.certificates.items():
        if days >= limits.certificate_days:
            continue
        ends = f"истёк {-days} дн. назад" if days < 0 else f"действует ещё {days} дн."
        yield Finding(
            "certificate",
            f"{connector} {certificate}",
            "critical" if days < limits.certificate_critical_days else "warning",
            f"Сертификат {certificate} коннектора {connector} {ends}",
            "Получите новый, зарегистрируйте его у другой стороны и укажите в настройках коннектора",
            -days,
        )


def _disk(gauges: Gauges, limits: Limits) -> Iterator[Finding]:
    if gauges.refusal:
        yield Finding(
            "disk.refused",
            "",
            "critical",
            "Приём сообщений остановлен: кончается место",
            "Освободите место или сократите сроки хранения (omsbus retention status); приём пойдёт сам",
        )
    days = gauges.disk.days_left if gauges.disk else None
    if days is not None and days < limits.disk_days:
        yield Finding(
            "disk.forecast",
            "",
            "critical" if days < limits.disk_days / 7 else "warning",
            f"Места на диске хватит примерно на {days:.0f} дн.",
            "Добавьте место или сократите сроки хранения (omsbus retention status)",
            -days,
        )


def _webhooks(gauges: Gauges, limits: Limits) -> Iterator[Finding]:
    for one in gauges.webhooks:
        what = "выключена шиной" if one.is_off else "не доставляется"
        yield Finding(
            "webhook",
            str(one.id),
            "warning",
            f"Подписка «{one.title}» {what}: получатель не принимает события {lasting(one.failing_s)}",
            "Управление → Вебхуки: исправьте адрес или получателя и продолжите подписку, события не потеряны",
            one.failing_s,
            0.0 if one.is_off else limits.failing_min * 60,
        )
