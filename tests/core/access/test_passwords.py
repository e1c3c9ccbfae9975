"""The rules of a new password."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from core.access import passwords
from core.access.settings import AccessSettings
from core.errors import ConfigError

RULES = AccessSettings()


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("короткий", "короче 12"),
        ("ж" * 257, "длиннее"),
        ("абабабабабаб", "мало разных"),
        ("дом ivanova дом 7", "имя для входа"),
        ("моя ПЕТРОВА и кот", "имя или фамилия"),
        ("Password2024!!", "подбирают первым"),
        ("12345678901234", "подбирают первым"),
        ("йцукенгшщзхъ", "подбирают первым"),
        ("q-w-e-r-t-y-1-2-3-4-5-6", "подбирают первым"),
        ("gfhjkmgfhjkm2026", "подбирают первым"),
    ],
    ids=["short", "long", "monotone", "login", "name", "common", "run", "keyboard", "dressed", "layout"],
)
@pytest.mark.feature("SMEV-11")
def test_a_weak_password_is_refused_with_what_to_do(password: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        passwords.refuse_weak(password, "ivanova", "Петрова Ия", RULES)


@pytest.mark.parametrize("password", ["берёзы у старой мельницы", "K7-vq9x-m2pt-w4", "ия любит кофе в 6 утра"])
def test_a_good_password_is_taken(password: str) -> None:
    passwords.refuse_weak(password, "ivanova", "Петрова Ия", RULES)


@pytest.mark.parametrize("least", [8, 12, 40])
def test_a_password_that_the_program_makes_obeys_the_rules(least: int) -> None:
    rules = AccessSettings(password_least=least)
    made = {passwords.made("ivanova", "Петрова Ия", rules) for _ in range(20)}
    assert len(made) == 20
    for one in made:
        passwords.refuse_weak(one, "ivanova", "Петрова Ия", rules)


@pytest.mark.parametrize("kept", [None, "", "not a hash"], ids=["nobody", "no password", "broken"])
def test_no_password_fits_where_there_is_none(kept: str | None) -> None:
    assert not passwords.fits("nobody has this password", kept)
    assert not passwords.fits("", kept)


def test_a_hash_of_weaker_parameters_is_outdated() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=16, parallelism=2).hash("берёзы у мельницы")
    assert passwords.fits("берёзы у мельницы", weak)
    assert passwords.is_outdated(weak)
    assert not passwords.is_outdated(passwords.hashed("берёзы у мельницы"))


def test_any_text_can_be_hashed_and_checked() -> None:
    strange = "\x00\ud800 наборы знаков"
    assert passwords.fits(strange, passwords.hashed(strange))
