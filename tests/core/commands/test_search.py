"""`omsbus search`: keys are declared, shown and removed as on the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError

pytestmark = pytest.mark.feature("BUS-10")
Omsbus = Callable[..., Any]
KEY = ("--title", "Номер человека", "--kind", "t.acts", "--xpath", "/p:a/@n", "--namespace", "p=urn:p")


def test_a_key_is_declared_shown_and_removed(omsbus: Omsbus, tmp_path: Path) -> None:
    sample = tmp_path / "sample.xml"
    sample.write_text('<a xmlns="urn:p" n="1"/>')
    assert omsbus("search", "declare", "person", *KEY, "--sample", str(sample)).code == 0
    told = {one["name"]: one for one in omsbus("search", "list", "--json").json}
    assert set(told) == {"participant", "key", "person"}
    assert (told["person"]["personal"], told["person"]["declared_by"]) == (True, "ivanova")
    out = omsbus("search", "list").out
    assert "Номер человека" in out
    assert max(map(len, out.splitlines())) <= 100
    assert omsbus("search", "remove", "person").code == 0
    assert {one["name"] for one in omsbus("search", "list", "--json").json} == {"participant", "key"}


def test_words_are_switched_on_for_a_kind(omsbus: Omsbus) -> None:
    assert omsbus("search", "words", "--kind", "zags.death").code == 0
    assert isinstance(omsbus("search", "words", "--kind", "zags.death").error, ConfigError)


def test_a_key_that_cannot_work_is_refused(omsbus: Omsbus, tmp_path: Path) -> None:
    for sample in (["--sample", str(tmp_path / "none.xml")], []):
        assert isinstance(omsbus("search", "declare", "person", *KEY, *sample).error, ConfigError)
    assert isinstance(omsbus("search", "remove", "key").error, ConfigError)
