"""An error of a command is one Russian sentence and exit code 1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core import cli
from core.opening import actor


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("wrkers = 2", "wrkers: неизвестный ключ"),
        ("workers = ", "не читается"),
        (None, "Нет файла настроек"),
    ],
)
def test_bad_settings_are_one_sentence_and_code_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    words: str,
) -> None:
    path = tmp_path / "omsbus.toml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["omsbus", "queue", "list", "--config", str(path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.err.startswith("Ошибка: ")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err + said.out


def test_a_look_from_the_wrong_folder_makes_no_new_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMSBUS_DATABASE_URL", raising=False)
    monkeypatch.setattr(sys, "argv", ["omsbus", "queue", "list", "--data", str(tmp_path / "data")])
    with pytest.raises(SystemExit):
        cli.main()
    assert "omsbus run" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_the_actor_is_whoever_called_sudo_else_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ivanova")
    assert actor() == "ivanova"
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setenv("LOGNAME", "petrov")
    assert actor() == "petrov"
