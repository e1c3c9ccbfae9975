"""What the transforms of the five kinds make of a document, in details that a schema cannot promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import discovery, stages
from core.errors import SchemaViolation
from core.message import Message
from core.settings import HOUSE

ROUTES = {route.name: route for route in discovery.routes()}


def made(route: str, sample: str) -> Any:
    schema = Path(ROUTES[route].formats[0].schema).parent
    body = (HOUSE / "schemas" / schema / "samples" / sample).read_bytes()
    return stages.apply(ROUTES[route], Message(kind=route, body=body)).value


def test_incomplete_dates_keep_what_is_known() -> None:
    [act] = made("zags.death", "valid/record-incomplete-dates.xml").acts
    assert (str(act.person.birth), str(act.died)) == ("1950-05", "2025")
    assert act.version_number == 2


def test_an_unidentified_body_has_no_name_no_dates_and_no_sex() -> None:
    [act] = made("zags.death", "valid/record-unidentified.xml").acts
    assert (act.person.full, act.person.birth, act.died, act.person.known_sex) == ("", None, None, None)
    assert act.unidentified
    assert act.certificate is None


def test_a_plain_death_has_all_that_the_registry_keeps() -> None:
    [act] = made("zags.death", "valid/record-plain.xml").acts
    assert act.person.surname
    assert act.person.document
    assert act.person.birth.precision == act.died.precision == "day"
    assert act.certificate.number
    assert not act.is_annulled


def test_annulled_and_restored_acts_are_told_apart() -> None:
    assert made("zags.death", "valid/record-annulled.xml").acts[0].is_annulled
    assert not made("zags.death", "valid/record-restored.xml").acts[0].is_annulled
    assert made("zags.birth", "valid/record-annulled.xml").acts[0].is_annulled


def test_an_impossible_day_is_refused_though_the_schema_lets_it_through() -> None:
    with pytest.raises(SchemaViolation, match="birth"):
        made("zags.death", "invalid/record-impossible-day.xml")


def test_a_foundling_has_no_parents_and_no_patronymic() -> None:
    [act] = made("zags.birth", "valid/record-foundling.xml").acts
    assert (act.mother, act.father, act.person.patronymic) == (None, None, "")
    assert act.alive


def test_a_stillborn_child_is_not_alive() -> None:
    assert not made("zags.birth", "valid/record-stillborn.xml").acts[0].alive


def test_a_notice_is_handed_over_as_it_is() -> None:
    assert made("zags.death.notice", "valid/notice-two-records.xml").tag.endswith("}Request")


def test_an_ended_organization_has_its_last_status() -> None:
    [one] = made("fns.egrul", "valid/ended.xml").organizations
    assert one.status_code == "201"
    assert one.ended is not None


def test_an_organization_without_an_address_has_an_empty_one() -> None:
    [one] = made("fns.egrul", "valid/minimal.xml").organizations
    assert (one.address, one.inn, one.ended) == ("", "", None)


def test_the_order_of_parts_of_an_address_is_from_the_top_down() -> None:
    [one] = made("fns.egrul", "valid/one.xml").organizations
    assert one.address[6:].startswith(", область Светлогорская, город Светлогорье, улица Садовая, ДОМ ")


def test_a_snils_answer_without_a_patronymic_is_understood() -> None:
    answer = made("sfr.snils", "valid/answer-without-patronymic.xml")
    assert answer.patronymic == ""
    assert len(answer.snils) == 11


def test_a_citizens_query_keeps_its_period() -> None:
    query = made("ffoms.services", "valid/query-one-day.xml")
    assert query.since == query.until
