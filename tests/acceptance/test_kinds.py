"""The five kinds on their whole way: from the far side through the bus into the registry and back."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from lxml import etree

from simulators.payloads import ffoms, fns, people, zags

FNS, ZAGS, EPGU = "FNS001", "ZAGS01", "EPGU01"


@pytest.mark.feature("SMEV-01", "SMEV-03", "SMEV-04", "SMEV-42", "BUS-08")
@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_a_broadcast_is_verified_handled_and_acknowledged_and_nobody_is_answered(house: Any, version: str) -> None:
    before = house.organizations()
    message_id = house.control.send(FNS, fns.news(house.number(), 3), version=version)
    kept = house.settled(message_id)
    assert kept.state == "handled"
    headers = house.headers(kept)
    assert (headers["smev.version"], headers["smev.sender_signature"]) == (version, "valid")
    assert house.received(kept) == house.delivered(message_id)
    assert house.closed(message_id) is True
    assert house.organizations() == before + 3
    assert house.kept("m.cause = %s", kept.id) == []
    house.carries_on()


@pytest.mark.feature("SMEV-34", "SMEV-53", "SMEV-02", "BUS-08")
def test_a_birth_brings_a_child_into_the_registry_and_its_number_from_sfr(house: Any) -> None:
    children = [one.but(snils="") for one in people.people(house.number() + 70_000, 2, youngest=0, oldest=0)]
    notice = house.control.send(ZAGS, zags.birth_notice(house.number(), 2, born=children), version="1.3")
    assert house.settled(notice).state == "handled"
    for child in children:
        house.eventually(lambda child=child: house.snils_of(child))
    assert house.answers_to(notice) == 2
    assert {one["content"] for one in house.control.message(notice)["answers"]} == {"content"}
    house.carries_on()


@pytest.mark.feature("SMEV-35", "BUS-08")
def test_a_death_is_written_to_the_person_and_each_record_is_answered(house: Any) -> None:
    one = house.insured_with_services()
    notice = house.control.send(ZAGS, zags.death_notice(house.number(), 3, dead=[one]), version="1.3")
    house.eventually(lambda: house.records_of(notice, {"handled"}, 3))
    [(status, died)] = house.rows("SELECT status, death_date FROM erz.person WHERE enp = %s", one.enp)
    assert (status, isinstance(died, date)) == ("dead", True)
    assert house.answers_to(notice) == 3
    house.carries_on()


@pytest.mark.feature("SMEV-21", "SMEV-01")
@pytest.mark.parametrize("known", [True, False])
def test_a_citizen_learns_of_services_or_that_there_are_none(house: Any, known: bool) -> None:
    asker = house.insured_with_services()
    message_id = house.control.send(EPGU, ffoms.query(asker if known else asker.but(enp="1" * 16)), version="1.2")
    assert house.settled(message_id).state == "handled"
    [answer] = house.eventually(lambda: house.control.message(message_id)["answers"])
    data = etree.fromstring(house.control.data(answer["message_id"]))
    if known:
        assert len(data.findall(".//{*}InsuredRenderingInfo")) == 3
    else:
        assert data.findtext(".//{*}RejectionReasonCode") == "NO_DATA"
    house.carries_on()


@pytest.mark.feature("SMEV-04")
def test_a_bad_signature_of_the_sender_under_a_good_one_of_smev_is_told_and_let_through(house: Any) -> None:
    house.control.arm("wrong_sender_signature", operation="GetRequest", kind="fns.egrul", count=1)
    kept = house.settled(house.send_news())
    assert kept.state == "handled", "sender_signature = record: СМЭВ vouches for the sender"
    verdict = house.headers(kept)["smev.sender_signature"]
    assert verdict.startswith("invalid: ")
    house.for_people(verdict)
    house.carries_on()
