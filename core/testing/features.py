"""Pytest plugin: which features of FEATURES.md are proved by passing tests, in var/features.json.

    {"BUS-02": ["tests/core/test_engine.py::test_a_source_hears_accepted_only_after_the_commit", …], …}

A test names what it proves with `@pytest.mark.feature("BUS-02")`. Partial runs are merged: a test that ran now
replaces what was known of it (a failed one proves nothing any more), the others stay, the vanished are forgotten.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

COVERAGE: Final = Path("var") / "features.json"
"""Below pytest's root directory: the checkout."""

_PROPERTY: Final = "feature"


class Recorder:
    """Collects the outcome of every marked test of this run."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._proved: dict[str, set[str]] = {}
        self._ran: set[str] = set()
        self._collected: set[str] = set()
        self._whole_files: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._collected = {item.nodeid for item in items}
        if not any("::" in argument for argument in config.args):
            self._whole_files = {one.split("::")[0] for one in self._collected}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        # In user_properties they reach the controller of a distributed run too.
        item.user_properties += [(_PROPERTY, str(one)) for mark in item.iter_markers("feature") for one in mark.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._ran.add(report.nodeid)
        features = {str(value) for name, value in report.user_properties if name == _PROPERTY}
        if report.when == "call" and report.passed:
            self._proved[report.nodeid] = features
        elif report.failed:
            self._proved.pop(report.nodeid, None)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput") or not self._ran:
            return
        with contextlib.suppress(OSError):  # a read-only checkout must not fail the run
            self._write(self._root / COVERAGE)

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            merged = merge(_read(path), self._proved, self._ran, self._is_gone)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_text(json.dumps(merged, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            fresh.replace(path)

    def _is_gone(self, test: str) -> bool:
        file = test.split("::")[0]
        return not (self._root / file).exists() or (file in self._whole_files and test not in self._collected)


def merge(
    known: Mapping[str, Iterable[str]], proved: Mapping[str, Iterable[str]], ran: set[str], is_gone: Any
) -> dict[str, list[str]]:
    """The proofs after a run: {feature: sorted tests}. `proved`: {test: features} of those that passed now."""
    merged = {
        feature: {one for one in tests if one not in ran and not is_gone(one)} for feature, tests in known.items()
    }
    for test, features in proved.items():
        for feature in features:
            merged.setdefault(feature, set()).add(test)
    return {feature: sorted(tests) for feature, tests in sorted(merged.items()) if tests}


def _read(path: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(config.rootpath), "omsbus features")
