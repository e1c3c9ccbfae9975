"""Cron in Russian words: what an operator reads in the list of schedules."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.calendars import THE_WEEK
from core.cron_words import words
from core.errors import ConfigError
from core.schedule import Schedule


@pytest.mark.feature("BUS-07")
@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("15 3 * * *", "каждый день в 03:15"),
        ("15 3 * * * 30", "каждый день в 03:15:30"),
        ("0 9 * * 1-5", "по будням в 09:00"),
        ("0 22 * * 1,3,5", "по понедельникам, средам и пятницам в 22:00"),
        ("0 9 * * sun", "по воскресеньям в 09:00"),
        ("0 9 * * 7", "по воскресеньям в 09:00"),
        ("0 9 * * 2-4", "с вторника по четверг в 09:00"),
        ("0 12 * * 5#2", "во вторую пятницу месяца в 12:00"),
        ("0 12 * * 2#3", "в третий вторник месяца в 12:00"),
        ("0 12 * * L3", "в последнюю среду месяца в 12:00"),
        ("0 12 L * *", "в последний день месяца в 12:00"),
        ("0 3 1,15 * *", "1-го и 15-го числа месяца в 03:00"),
        ("0 0 1 1 *", "1-го числа месяца в 00:00, в январе"),
        ("0 9 13 * 5", "13-го числа месяца, а также по пятницам в 09:00"),
        ("1 2,4 * * *", "каждый день в 02:01 и 04:01"),
        ("* * * * *", "каждую минуту"),
        ("*/5 * * * *", "каждые 5 минут"),
        ("*/2 * * * *", "каждые 2 минуты"),
        ("*/21 * * * *", "каждую 21-ю минуту"),
        ("*/10 8-18 * * 1-5", "каждые 10 минут с 08:00 до 18:59, по будням"),
        ("0 */2 * * *", "каждые 2 часа в начале часа"),
        ("15 * * * *", "каждый час в 15 мин"),
        ("* * * * * */20", "каждые 20 секунд"),
        ("* * * * * *", "каждую секунду"),
    ],
)
def test_in_words(cron: str, said: str) -> None:
    assert words(Schedule("t", cron, "q")) == said


@pytest.mark.feature("BUS-07")
@pytest.mark.parametrize(
    ("cron", "rule", "said"),
    [
        ("15 3 * * *", "skip", "каждый рабочий день в 03:15"),
        ("0 9 1 * *", "skip", "1-го числа месяца в 09:00, только если день рабочий"),
        ("0 9 1 * *", "next", "1-го числа месяца в 09:00; из нерабочего дня — на следующий рабочий"),
        ("0 9 1 * *", "previous", "1-го числа месяца в 09:00; из нерабочего дня — на предыдущий рабочий"),
    ],
)
def test_with_a_calendar(cron: str, rule: str, said: str) -> None:
    assert words(Schedule("t", cron, "q", calendar="ru", rule=rule, days=THE_WEEK)) == said


FIELD = st.one_of(
    st.just("*"),
    st.integers(0, 12).map(str),
    st.integers(1, 30).map(lambda n: f"*/{n}"),
    st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.lists(st.integers(1, 7), min_size=1, max_size=4).map(lambda found: ",".join(map(str, found))),
    st.sampled_from(["L", "1#3", "L5", "5-20/3", "mon", "jan-mar", "?"]),
)


@settings(max_examples=100, deadline=None)
@given(fields=st.lists(FIELD, min_size=5, max_size=6))
def test_every_cron_that_is_taken_has_words_without_brackets_of_code(fields: list[str]) -> None:
    try:
        schedule = Schedule("t", " ".join(fields), "q")
    except ConfigError:
        assume(False)
    said = words(schedule)
    assert said
    assert said == " ".join(said.split())
    assert "None" not in said
    assert "[" not in said
