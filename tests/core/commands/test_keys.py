"""`omsbus keys`: the demo set and the watch over our own certificates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.commands.keys import app
from core.signatures.demo_keys import DemoKeys, as_pem
from core.signatures.issuing import Authority, IssuedKey

pytestmark = pytest.mark.feature("SMEV-03")


def run(*arguments: object, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(item) for item in arguments], env=env)
    return result.exit_code, result.stdout, result.stderr


def test_demo_makes_a_set_that_signs_and_hides_its_password(tmp_path: Path) -> None:
    code, out, _ = run("demo", "--dir", tmp_path / "k")
    assert code == 0
    password = (tmp_path / "k" / "password").read_text().strip()
    assert len(password) >= 20
    assert password not in out
    assert DemoKeys(tmp_path / "k", password).identity("fund").sign(b"x")
    for word in ("fund.key", "smev.pem", "СМЭВ (демо)", "trust"):
        assert word in out


def test_demo_takes_the_password_from_the_environment(tmp_path: Path) -> None:
    code, out, _ = run("demo", "--dir", tmp_path / "k", env={"OMSBUS_KEY_PASSWORD": "секрет"})
    assert code == 0
    assert "секрет" not in out
    assert DemoKeys(tmp_path / "k", "секрет").identity("smev")


def test_demo_does_not_replace_a_set_unless_asked(tmp_path: Path) -> None:
    run("demo", "--dir", tmp_path)
    code, _, problem = run("demo", "--dir", tmp_path)
    assert code == 1
    assert "--force" in problem
    assert run("demo", "--dir", tmp_path, "--force")[0] == 0


def test_check_lists_days_left_and_warns_of_those_that_end(tmp_path: Path) -> None:
    run("demo", "--dir", tmp_path)
    authority = Authority.self_signed([("CN", "УЦ")])
    soon = authority.issue([("CN", "Скоро")], IssuedKey.generate(), not_after=datetime.now(UTC) + timedelta(days=20))
    (tmp_path / "soon.pem").write_bytes(as_pem(soon))
    (tmp_path / "soon.key").write_bytes(b"")
    code, out, _ = run("check", "--dir", tmp_path)
    assert code == 0
    warned = [line for line in out.splitlines() if line.startswith("ВНИМАНИЕ")]
    assert [name in line for name, line in zip(("expired.pem", "soon.pem"), warned, strict=True)] == [True, True]
    assert "осталось дней: 19" in warned[1]
    assert "fund.pem" in out
    assert "ca.pem" not in out, "an authority is not our own"
    assert run("check", "--dir", tmp_path, "--strict")[0] == 1
    code, out, _ = run("check", tmp_path / "soon.pem", "--days", "10", "--json")
    assert code == 0
    (fact,) = json.loads(out)
    assert (fact["days_left"], fact["warning"]) == (19, False)


def test_check_says_in_words_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_bytes(b"junk")
    for arguments, words in (
        ((tmp_path / "no.pem",), "no.pem"),
        ((tmp_path / "junk.pem",), "junk.pem"),
        (("--dir", tmp_path), "нет пар"),
    ):
        code, _, problem = run("check", *arguments)
        assert code == 1
        assert words in problem
