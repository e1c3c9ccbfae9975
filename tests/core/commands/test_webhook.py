"""`omsbus webhook`: subscribe, look, pause, retry, test, remove."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

Omsbus = Callable[..., Any]


@pytest.mark.feature("SMEV-07")
def test_a_subscription_is_made_paused_tested_and_removed(omsbus: Omsbus) -> None:
    assert "Подписок нет" in omsbus("webhook", "list").out
    made = omsbus("webhook", "add", "Реестр", "https://nobody.invalid/", "--event", "queue.paused")
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", made.out.replace("\n", ""))
    assert secret
    [one] = omsbus("webhook", "list", "--json").json
    assert (one["title"], one["events"], one["state"]) == ("Реестр", ["queue.paused"], "active")
    listed = omsbus("webhook", "list").out
    assert "работает" in listed
    assert "whsec_" not in listed
    number = str(one["id"])
    assert "на паузе" in omsbus("webhook", "pause", number).out
    assert omsbus("webhook", "resume", number, "--skip").code == 0
    tried = omsbus("webhook", "test", number)
    assert tried.code == 1
    [attempt] = omsbus("webhook", "log", number, "--json").json
    assert attempt["status"] is None
    assert "не находится" in omsbus("webhook", "log", number).out
    assert omsbus("webhook", "remove", number, answer="n\n").code == 1
    assert omsbus("webhook", "remove", number, "--yes").code == 0
    assert omsbus("webhook", "list", "--json").json == []


def test_what_makes_no_sense_is_refused_with_a_sentence(omsbus: Omsbus) -> None:
    inner = omsbus("webhook", "add", "x", "https://10.0.0.1/", "--event", "queue.paused")
    assert "внутренней сети" in inner.error.reason
    assert "Нет подписки 7" in omsbus("webhook", "pause", "7").error.reason
