"""Settings: one file, the environment wins, a mistake is named in Russian with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import settings
from core.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMSBUS_CONFIG", "OMSBUS_DATABASE_URL", "OMSBUS_BROKER_URL", "OMSBUS_DATA_DIR", "OMSBUS_WORKERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "omsbus.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_file_is_read_and_an_argument_wins(file: Any, tmp_path: Path) -> None:
    path = file('workers = 3\ndata_dir = "here"\n[routes."zags.death"]\nattempts = 5\n')
    found = settings.load(path, data_dir=tmp_path, database_url=None)
    assert (found.workers, found.data_dir, found.routes["zags.death"].attempts) == (3, tmp_path, 5)


@pytest.mark.feature("BUS-12")
def test_the_environment_wins_over_the_file(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMSBUS_CONFIG", str(file('database_url = "postgresql://file"\nworkers = 3\n')))
    monkeypatch.setenv("OMSBUS_DATABASE_URL", "postgresql://environment")
    monkeypatch.setenv("OMSBUS_BROKER_URL", "amqp://broker")
    monkeypatch.setenv("OMSBUS_CONNECTORS__SMEV__URL", "http://127.0.0.1:1")
    found = settings.load()
    assert (found.database_url, found.broker_url, found.workers) == ("postgresql://environment", "amqp://broker", 3)
    assert found.connectors == {"smev": {"url": "http://127.0.0.1:1"}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("worker = 3", "worker: неизвестный ключ, удалите его или исправьте опечатку"),
        ('[routes."zags.death"]\nattemps = 3', "routes.zags.death.attemps: неизвестный ключ"),
        ('[schedules.x]\ncron = "* * * * *"\nqueue = "q"\nzone = "UTC"', "schedules.x.zone: неизвестный ключ"),
        ("workers = 0", "workers: недопустимое значение"),
        ('sweep_s = "часто"', "sweep_s: недопустимое значение"),
        ('[routes."zags.death"]\nconcurrency = 1000', "routes.zags.death.concurrency: недопустимое значение"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(file: Any, text: str, named: str) -> None:
    path = file(text)
    with pytest.raises(ConfigError) as refused:
        settings.load(path)
    assert named in refused.value.reason
    assert str(path) in refused.value.reason


def test_a_wrong_variable_is_named(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMSBUS_WORKERS", "много")
    with pytest.raises(ConfigError, match="workers: недопустимое значение"):
        settings.load(file(""))


@pytest.mark.parametrize("content", ["workers = ", "[a\n", b"\xff\xfe", "workers = 1\nworkers = 2"])
def test_a_broken_file_is_refused_with_its_name(file: Any, content: str | bytes) -> None:
    path = file(content)
    with pytest.raises(ConfigError, match="не читается") as refused:
        settings.load(path)
    assert str(path) in refused.value.reason


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Нет файла настроек"):
        settings.load(tmp_path / "nowhere.toml")


def test_secrets_of_a_wrong_value_are_not_repeated(file: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        settings.load(file('workers = "s3cret"'))
    assert "s3cret" not in refused.value.reason


@pytest.mark.parametrize("path", sorted((settings.HOUSE / "config").glob("*.toml")), ids=lambda path: path.name)
def test_the_shipped_contours_are_readable(path: Path) -> None:
    if path.name == "features.toml":
        pytest.skip("the list of features, no settings")
    settings.load(path)
