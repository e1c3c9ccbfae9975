"""`omsbus evidence` and the chain commands of `omsbus audit`, as a person would use them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.bus import Bus
from core.errors import ConfigError, Permanent
from core.seals.sealing import seal_all

pytestmark = pytest.mark.feature("BUS-11", "SMEV-11")
Omsbus = Callable[..., Any]


@pytest.fixture
def message(toy_bus: Bus, ask: Callable[..., str]) -> str:
    made = ask()
    seal_all(toy_bus.database)
    return made


def test_a_chain_is_verified_against_a_head_that_was_written_down(
    omsbus: Omsbus, message: str, toy_bus: Bus, ask: Callable[..., str], database_url: str, tmp_path: Path
) -> None:
    assert message
    head = omsbus("audit", "head").out.strip()
    assert head.startswith("1:")
    assert omsbus("audit", "head", "--json").json["number"] == 1
    ask()
    later = omsbus("audit", "head", "--seal").out.strip()
    file = tmp_path / "heads.txt"
    file.write_text(f"{head}\n24.11.2026 {later}\n")
    said = omsbus("audit", "verify", "--head", str(file))
    assert said.code == 0
    assert f"Всё цело. Конец цепочки: {later}" in said.out
    assert "--head" not in said.out
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE bus.message SET kind = 'other' WHERE seq = 1")
        connection.execute("DELETE FROM bus.seal WHERE number > 1")
    said = omsbus("audit", "verify", "--head", str(file), "--json")
    assert said.code == 1
    assert [one["kind"] for one in said.json["findings"]] == ["changed", "head"]
    said = omsbus("audit", "verify")
    assert said.code == 1
    assert f"Изменено сообщение № 1: не таково, каким его опечатал блок 1 (сообщение {message})" in said.out
    assert "РАСХОЖДЕНИЙ: 1" in said.out
    assert "без --head не видно" in said.out


def test_an_empty_chain_is_said(omsbus: Omsbus) -> None:
    assert "ещё ничего не опечатано" in omsbus("audit", "head").out
    assert "Цепочка пуста: проверять нечего." in omsbus("audit", "verify").out
    assert isinstance(omsbus("audit", "verify", "--head", "7:x").error, ConfigError)


def test_a_package_is_made_and_checked_without_a_database(
    omsbus: Omsbus, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "package.zip"
    assert omsbus("evidence", "make", message, "--out", str(file)).code == 0
    head = omsbus("audit", "head").out.strip()
    monkeypatch.setenv("OMSBUS_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("OMSBUS_CONFIG", str(tmp_path / "none.toml"))
    said = omsbus("evidence", "verify", str(file), "--head", head)
    assert said.code == 0
    assert "Блок 1 совпал с записанным отдельно" in said.out
    assert "Пакет цел." in said.out
    assert omsbus("evidence", "verify", str(file), "--json").json["ok"] is True
    file.write_bytes(file.read_bytes()[:-50])
    said = omsbus("evidence", "verify", str(file))
    assert said.code == 1
    assert "ПАКЕТ НЕ ПОДТВЕРЖДЁН." in said.out


def test_a_package_without_contents(omsbus: Omsbus, message: str, tmp_path: Path) -> None:
    file = tmp_path / "package.zip"
    assert omsbus("evidence", "make", message, "--out", str(file), "--without-contents").code == 0
    with zipfile.ZipFile(file) as package:
        assert "contents/body" not in package.namelist()
    assert omsbus("evidence", "verify", str(file)).code == 0


def test_what_cannot_be_made_leaves_no_file(omsbus: Omsbus, message: str, tmp_path: Path) -> None:
    there = tmp_path / "there.zip"
    there.write_bytes(b"precious")
    assert isinstance(omsbus("evidence", "make", message, "--out", str(there)).error, ConfigError)
    assert there.read_bytes() == b"precious"
    assert isinstance(omsbus("evidence", "make", message, "--out", str(tmp_path / "no" / "x.zip")).error, ConfigError)
    assert isinstance(omsbus("evidence", "make", "никакого", "--out", str(tmp_path / "x.zip")).error, Permanent)
    late = ("evidence", "make", message, "--out", str(tmp_path / "x.zip"), "--head", "99")
    assert isinstance(omsbus(*late).error, ConfigError)
    assert sorted(one.name for one in tmp_path.glob("*.zip")) == ["there.zip"]
    assert not list(tmp_path.glob(".evidence*"))
    assert isinstance(omsbus("evidence", "verify", str(tmp_path / "x.zip")).error, ConfigError)
    assert isinstance(omsbus("evidence", "verify", str(there), "--trust", str(there)).error, ConfigError)
