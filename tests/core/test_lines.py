"""A line opens its connector before the first use and again after it was lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from core.errors import ConfigError, Permanent, Unavailable
from core.lines import Line


def test_nothing_is_opened_before_it_is_used(far: Any) -> None:
    line = Line(far)
    assert far.opens == 0
    assert line.use(lambda: 7) == 7
    line.use(lambda: 7)
    assert far.opens == 1


@pytest.mark.parametrize(
    ("error", "opens"),
    [(Unavailable("Нет"), 2), (ConfigError("Ключ"), 2), (Permanent("Нет"), 1), (KeyError("x"), 1)],
)
def test_only_a_lost_line_or_a_wrong_setting_makes_it_open_again(far: Any, error: Exception, opens: int) -> None:
    line = Line(far)

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        line.use(fail)
    line.use(lambda: None)
    assert far.opens == opens


def test_an_opening_that_fails_is_tried_again(far: Any) -> None:
    line = Line(far)
    original = far.open

    def fail() -> None:
        far.open = original
        raise Unavailable("Нет связи")

    far.open = fail
    with pytest.raises(Unavailable):
        line.use(lambda: None)
    assert line.use(lambda: 7) == 7


def test_threads_that_come_at_once_open_it_once(far: Any) -> None:
    line = Line(far)
    both = threading.Barrier(8)

    def use() -> None:
        both.wait(10)
        line.use(lambda: None)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert far.opens == 1


def test_its_sources_and_sinks_keep_their_names_and_intervals(far: Any) -> None:
    line = Line(far)
    assert {name: source.interval_s for name, source in line.sources().items()} == {"far.in": far.interval_s}
    assert list(line.sinks()) == ["far"]
