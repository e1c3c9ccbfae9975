"""Many workers on one broker: work spreads, none of it is lost or done twice when one of them dies or must go."""

from __future__ import annotations

import signal
from typing import Any

import pytest

LONG_S = 3600.0
"""A sweep that never comes: what happens now was signalled."""


@pytest.mark.feature("BUS-12")
def test_a_message_taken_in_by_one_process_is_handled_by_another_through_the_broker(
    cluster: Any, eventually: Any
) -> None:
    worker = cluster.worker(sweep_s=LONG_S)
    for n in range(10):  # each into a cluster at rest: each is signalled by itself
        cluster.put(f"{n}")
        eventually(lambda n=n: cluster.effects()[f"{n}"] == 1)
    assert cluster.by_pid() == {worker.pid: 10}


@pytest.mark.feature("BUS-02", "BUS-12")
def test_a_worker_killed_in_a_batch_loses_nothing_and_another_handles_it_once(cluster: Any, eventually: Any) -> None:
    first, second = cluster.starting(sweep_s=0.2), cluster.starting(sweep_s=0.2)
    cluster.put(*(f"slow/{n}" for n in range(120)))
    cluster.at_work(first), cluster.at_work(second)
    eventually(lambda: cluster.begun() == {first.pid, second.pid})
    first.kill()
    assert first.wait() == -signal.SIGKILL
    eventually(lambda: len(cluster.effects()) == 120)
    assert set(cluster.effects().values()) == {1}
    assert cluster.by_pid().get(second.pid, 0) > 0


@pytest.mark.feature("BUS-12")
def test_a_backlog_of_one_signal_engages_every_worker_and_a_stopped_one_commits_its_batch(
    cluster: Any, eventually: Any
) -> None:
    first, second = cluster.starting(sweep_s=LONG_S), cluster.starting(sweep_s=LONG_S)
    cluster.at_work(first), cluster.at_work(second)
    cluster.put(*(f"slow/{n}" for n in range(160)))
    eventually(lambda: {first.pid, second.pid} == cluster.by_pid().keys())
    first.terminate()
    assert first.wait(20) == 0
    assert first.stdout.readline() == "ended\n"
    open_claims = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()"
    done = cluster.by_pid()[first.pid]
    eventually(lambda: len(cluster.effects()) == 160)
    assert set(cluster.effects().values()) == {1}
    assert cluster.by_pid()[first.pid] == done, "the stopped one has left nothing open"
    assert cluster.rows(open_claims) == [(0,)]
