"""The broker holds no truth: away, empty or frozen it costs time, never a message, and comes back by itself."""

from __future__ import annotations

import socket
from typing import Any

import pytest

LONG_S = 3600.0


@pytest.mark.feature("BUS-02", "BUS-12")
def test_a_cluster_whose_broker_is_away_starts_and_works_by_the_sweep(cluster_at: Any, eventually: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cluster = cluster_at(f"amqp://guest:guest@127.0.0.1:{port}//")
    cluster.put(*map(str, range(100)))
    worker = cluster.worker(sweep_s=0.2)
    cluster.put(*map(str, range(100, 200)))
    eventually(lambda: len(cluster.effects()) == 200)
    assert cluster.effects().total() == 200
    worker.terminate()
    assert worker.wait(20) == 0, "nobody waits for a broker that is not there"


@pytest.mark.slow
@pytest.mark.feature("BUS-02", "BUS-12")
def test_a_frozen_broker_delays_nobody_and_is_used_again_afterwards(cluster: Any, rabbit: Any, eventually: Any) -> None:
    swept = cluster.worker(sweep_s=0.2)
    cluster.put("before")
    eventually(lambda: cluster.effects()["before"] == 1)
    rabbit.partition()
    try:
        for n in range(50):
            cluster.put(f"frozen/{n}")
        eventually(lambda: len(cluster.effects()) == 51)
        swept.terminate()
        assert swept.wait(20) == 0
    finally:
        rabbit.heal()
    cluster.worker(sweep_s=LONG_S)
    cluster.put("after")
    eventually(lambda: cluster.effects()["after"] == 1)
    assert set(cluster.effects().values()) == {1}


@pytest.mark.slow
@pytest.mark.feature("BUS-02", "BUS-12")
def test_a_broker_that_was_killed_and_came_back_empty_carries_signals_again(
    cluster: Any, rabbit: Any, eventually: Any
) -> None:
    cluster.worker(sweep_s=LONG_S)
    cluster.put("before")
    eventually(lambda: cluster.effects()["before"] == 1)
    rabbit.wipe()
    cluster.put("after")

    def arrived() -> bool:
        cluster.front().wake("t.work")  # as every further message would
        return cluster.effects()["after"] == 1

    eventually(arrived)


@pytest.mark.feature("BUS-12")
def test_two_clusters_on_one_broker_do_not_take_each_others_signals(
    cluster_at: Any, rabbit: Any, new_database: Any, eventually: Any
) -> None:
    ours, other = cluster_at(rabbit.url), cluster_at(rabbit.url)
    other.worker(sweep_s=LONG_S, database_url=new_database())
    worker = ours.worker(sweep_s=LONG_S)
    for n in range(6):  # half of them would go astray
        ours.put(f"{n}")
        eventually(lambda n=n: ours.effects()[f"{n}"] == 1)
    assert ours.by_pid() == {worker.pid: 6}
