"""News of ЕГРЮЛ: the newest extract of each organization wins."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import text
from sqlalchemy.orm import Session

from connectors.smev3 import messages
from routes.fns import egrul
from simulators.payloads import fns

pytestmark = pytest.mark.feature("SMEV-42")
OGRN = fns.ogrn(random.Random(1))


def organizations(db: Session) -> list[Any]:
    return list(db.execute(text("SELECT * FROM fns.organization ORDER BY ogrn")))


def test_organizations_are_written_and_nobody_is_answered(db: Session, run: Any) -> None:
    emitted, notes = run(egrul.route, fns.news(1, 4), headers={messages.MESSAGE_TYPE: "BROADCAST"})
    assert emitted == []
    assert notes == ["организаций в рассылке: 4, записано: 4"]
    first = organizations(db)[0]
    assert first.address[6:].startswith(", область Светлогорская, город Светлогорье, улица Садовая, ДОМ")
    assert (len(first.inn), len(first.kpp)) == (10, 9)
    assert first.name


def test_an_older_extract_that_comes_late_is_ignored(db: Session, run: Any) -> None:
    run(egrul.route, fns.news(2, 1, ogrns=[OGRN], extracted=date(2026, 1, 20)))
    newest = organizations(db)
    _, notes = run(egrul.route, fns.news(3, 1, ogrns=[OGRN], extracted=date(2026, 1, 10)))
    assert organizations(db) == newest
    assert notes == ["организаций в рассылке: 1, записано: 0"]


def test_a_newer_extract_changes_the_organization(db: Session, run: Any) -> None:
    run(egrul.route, fns.news(2, 1, ogrns=[OGRN], extracted=date(2026, 1, 10)))
    run(egrul.route, fns.news(3, 1, ogrns=[OGRN], extracted=date(2026, 1, 20)))
    [found] = organizations(db)
    assert found.extract_date == date(2026, 1, 20)


def test_one_organization_twice_in_one_broadcast_is_written_once_with_the_newest(db: Session, run: Any) -> None:
    document = etree.fromstring(fns.news(2, 1, ogrns=[OGRN], extracted=date(2026, 1, 20)))
    document.append(etree.fromstring(fns.news(3, 1, ogrns=[OGRN], extracted=date(2026, 1, 10)))[0])
    run(egrul.route, etree.tostring(document, encoding="UTF-8"))
    [found] = organizations(db)
    assert found.extract_date == date(2026, 1, 20)


def test_an_ended_organization_keeps_the_day_and_the_status(db: Session, run: Any) -> None:
    seed = next(seed for seed in range(100) if "СвПрекрЮЛ".encode() in fns.news(seed, 1))
    run(egrul.route, fns.news(seed, 1))
    [found] = organizations(db)
    assert (found.status_code, found.ended) == ("201", date(2026, 1, 15))


def test_a_test_message_changes_nothing(db: Session, run: Any) -> None:
    run(egrul.route, fns.news(1, 2), headers={messages.TEST: "true"})
    assert organizations(db) == []


def test_the_key_is_the_first_organization_and_does_not_name_it() -> None:
    from core.message import Message

    assert egrul.route.key is not None
    key = egrul.route.key(Message(kind="x", body=fns.news(1, 1, ogrns=[OGRN])))
    assert key
    assert OGRN not in key
