"""The words of the registry."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from routes.erz.values import Act, Identity, PartialDate, document_key, search_key, snils_is_valid


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1950", date(1950, 1, 1), date(1950, 12, 31)),
        ("1952-02", date(1952, 2, 1), date(1952, 2, 29)),
        ("1950-05-17", date(1950, 5, 17), date(1950, 5, 17)),
    ],
)
def test_an_incomplete_date_knows_its_first_and_last_day(text: str, first: date, last: date) -> None:
    parsed = PartialDate.parse(text)
    assert (parsed.first, parsed.last, str(parsed)) == (first, last, text)


@pytest.mark.parametrize("text", ["", "17.05.1950", "1950-13", "1950-02-31", "1950-5", "50"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"дата|month|day"):
        PartialDate.parse(text)


def test_names_that_differ_only_in_writing_have_one_search_key() -> None:
    assert search_key(" иванова -  Щёголева", "Алёна", "") == search_key("ИВАНОВА-ЩЕГОЛЕВА", "АЛЕНА", "")
    assert search_key("Иванова", "Анна", "") != search_key("Иванов", "Анна", "")
    assert search_key("А Б", "В", "") != search_key("А", "Б В", "")


def test_a_document_number_is_compared_by_its_letters_and_digits() -> None:
    assert document_key("45 08 № 123456") == document_key("4508 123456") == "4508123456"
    assert document_key("II-МЮ 612345") == "IIМЮ612345"


@pytest.mark.parametrize("snils", ["11223344595", "04277192057", "00100199700"])
def test_a_right_snils_is_valid(snils: str) -> None:
    assert snils_is_valid(snils)


@pytest.mark.parametrize("snils", ["11223344596", "1122334459", "112-233-445 95", "١١٢٢٣٣٤٤٥٩٥", ""])
def test_a_wrong_snils_is_not(snils: str) -> None:
    assert not snils_is_valid(snils)


def _act(**fields: Any) -> Act:
    given = {"office_code": "1", "office_name": "", "act_number": "1", "act_date": date(2026, 1, 1), "version": "1"}
    return Act(**{**given, "version_date": date(2026, 1, 1), "status_code": "01", **fields})


def test_an_act_restored_on_a_later_day_is_not_annulled() -> None:
    assert _act(annulled=date(2026, 1, 5)).is_annulled
    assert not _act(annulled=date(2026, 1, 5), restored=date(2026, 1, 6)).is_annulled
    assert _act(annulled=date(2026, 1, 5), restored=date(2026, 1, 4)).is_annulled
    assert not _act().is_annulled


def test_a_version_that_is_no_number_counts_as_zero() -> None:
    assert [_act(version=one).version_number for one in ("2", "010", "1а", "²")] == [2, 10, 0, 0]


def test_the_sex_code_three_means_that_it_is_not_known() -> None:
    assert [Identity(sex=one).known_sex for one in (1, 2, 3, None)] == [1, 2, None, None]
