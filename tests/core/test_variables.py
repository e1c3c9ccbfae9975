"""A variable OMSBUS_* that nothing reads is refused: a typo there would start the bus on another database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from core import settings
from core.errors import ConfigError
from core.settings import HOUSE, check_variables

PLACES = ("core", "connectors", "routes", "console", "simulators", "benchmarks", "docs", "Makefile")
KINDS = {".py", ".md", ".toml", ".sh", ".service", ".env", ""}
_NAME = re.compile(r"\bOMSBUS_[A-Z0-9_]*[A-Z0-9]\b(?![_*])")


@pytest.mark.feature("BUS-12")
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("OMSBUS_DATABSE_URL", "OMSBUS_DATABASE_URL"),
        ("OMSBUS_WORKER", "OMSBUS_WORKERS"),
        ("OMSBUS_CRASHAT", "OMSBUS_CRASH_AT"),
        ("omsbus_roling", "OMSBUS_ROLLING"),
        ("OMSBUS_WORKERS__N", "OMSBUS_WORKERS"),
    ],
)
def test_a_typo_in_a_variable_is_refused_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError) as refused:
        settings.load()
    assert f"Переменной окружения {name.upper()} нет" in refused.value.reason
    assert f"может быть, {near})" in refused.value.reason


@pytest.mark.feature("BUS-12")
def test_a_typo_in_a_variable_of_a_subsystem_is_refused_when_the_bus_opens(
    monkeypatch: pytest.MonkeyPatch, bus_of: Any
) -> None:
    from routes.sfr.settings import SfrSettings

    assert SfrSettings.model_config["env_prefix"] == "OMSBUS_SFR_"
    monkeypatch.setenv("OMSBUS_SFR_REPLY_WITHIN", "5")
    with pytest.raises(ConfigError, match="OMSBUS_SFR_REPLY_WITHIN_S"):
        bus_of()


@pytest.mark.parametrize(
    "name", ["OMSBUS_SMEV_PASSWORD", "OMSBUS_TEST_ANYTHING", "OMSBUS_CONNECTORS__SMEV__URL", "HOME"]
)
def test_names_that_settings_choose_are_let_through(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    check_variables()


def test_every_variable_that_code_and_manuals_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    import routes.sfr.settings
    import routes.zags.settings  # noqa: F401

    named = {name: place for place, name in _named()}
    assert {"OMSBUS_DATABASE_URL", "OMSBUS_CRASH_AT", "OMSBUS_SFR_REPLY_WITHIN_S"} <= named.keys()
    unknown = {}
    for name, place in named.items():
        with monkeypatch.context() as one:
            one.setenv(name, "x")
            try:
                check_variables()
            except ConfigError:
                unknown[name] = place
    assert unknown == {}


def _named() -> Iterator[tuple[str, str]]:
    for top in PLACES:
        for file in [HOUSE / top] if (HOUSE / top).is_file() else sorted((HOUSE / top).rglob("*")):
            if file.suffix in KINDS and file.is_file():
                for name in _NAME.findall(file.read_text(encoding="utf-8", errors="replace")):
                    yield str(file.relative_to(HOUSE)), name
