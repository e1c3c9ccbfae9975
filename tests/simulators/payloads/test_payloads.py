"""Invented documents: the same seed gives the same bytes, and the bus takes them."""

from __future__ import annotations

import random

import pytest
from lxml import etree

from core import discovery, stages
from core.errors import SchemaViolation
from core.message import Message
from routes.erz.values import snils_is_valid
from simulators.payloads import ffoms, fns, people, sfr, zags

ROUTES = {route.name: route for route in discovery.routes()}
QUESTION = (
    b"<r:SnilsByAdditionalDataRequest xmlns:r='http://kvs.pfr.com/snils-by-additionalData/1.0.1'"
    b" xmlns:c='urn://x-artefacts-smev-gov-ru/supplementary/commons/1.0.1'><c:FamilyName>%s</c:FamilyName>"
    b"<c:FirstName>%s</c:FirstName><r:BirthDate>2026-01-12</r:BirthDate><r:Gender>Male</r:Gender>"
    b"</r:SnilsByAdditionalDataRequest>"
) % ("Лобанов".encode(), "Глеб".encode())


def applied(route: str, body: bytes) -> object:
    return stages.apply(ROUTES[route], Message(kind=route, body=body)).value


def records(notice: bytes, name: str) -> list[bytes]:
    return [etree.tostring(one, encoding="UTF-8") for one in etree.fromstring(notice).iter(f"{{*}}{name}")]


@pytest.mark.parametrize("seed", range(5))
def test_every_generated_document_is_accepted(seed: int) -> None:
    for kind, notice, root in (
        ("zags.death", zags.death_notice(seed, 3, large=seed == 1), "FATALZPRequest"),
        ("zags.birth", zags.birth_notice(seed, 3), "ROGDZPRequest"),
    ):
        applied(f"{kind}.notice", notice)
        found = records(notice, root)
        assert len(found) == 3
        for record in found:
            applied(kind, record)
    applied("fns.egrul", fns.news(seed, 3))
    applied("ffoms.services", ffoms.query(people.people(seed, 1)[0]))
    applied("sfr.snils", sfr.answer(QUESTION))


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert zags.death_notice(1, 2) == zags.death_notice(1, 2)
    assert zags.birth_notice(1, 2) == zags.birth_notice(1, 2)
    assert fns.news(1) == fns.news(1)
    assert sfr.answer(QUESTION) == sfr.answer(QUESTION)
    assert zags.death_notice(1, 2) != zags.death_notice(2, 2)


def test_acts_with_one_number_are_versions_of_one_act() -> None:
    dead = people.people(1, 1)[0]
    acts = [zags.death_request(random.Random(seed), dead, version=seed, number="77")[0] for seed in (1, 2)]
    offices = {act.find("{*}ОрганЗАГС").get("КодЗАГС") for act in acts}
    assert len(offices) == len({act.get("ДатаЗапис") for act in acts}) == 1
    assert [act.get("НомерВерс") for act in acts] == ["1", "2"]


def test_the_large_death_record_is_as_large_as_the_benches_want() -> None:
    [record] = records(zags.death_notice(1, 1, large=True), "FATALZPRequest")
    assert 12_000 <= len(record) <= 20_000


def test_the_broken_record_is_the_one_asked_for() -> None:
    found = records(zags.break_record(zags.death_notice(1, 3), place=2), "FATALZPRequest")
    applied("zags.death", found[0])
    with pytest.raises(SchemaViolation):
        applied("zags.death", found[2])


def test_invented_people_differ_and_have_right_numbers() -> None:
    found = people.people(7, 500)
    assert len({(one.surname, one.given, one.patronymic, one.birth) for one in found}) == 500
    assert all(snils_is_valid(one.snils) and len(one.enp) == 16 for one in found)
    assert all(one.birth.year >= 1934 for one in found)
    assert all((people.TODAY - one.birth).days < 366 for one in people.people(8, 50, youngest=0, oldest=0))
