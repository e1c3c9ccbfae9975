"""What a message carries is shown only after the look is noted, and masked from whoever may not see it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core import contents, removal, signatures_words
from core.access.person import Person
from core.bus import Bus
from core.database import driver
from core.errors import Permanent
from core.journal import Addressed, Event
from core.masking import MASK, NOTHING_SHOWN
from core.message import Attachment, Message, Outcome
from core.route import Route
from core.signatures import xmldsig
from core.signatures.demo_keys import make_demo_keys

pytestmark = pytest.mark.feature("BUS-14")
BODY = '<a ИдСвед="17"><имя>Громова</имя></a>'.encode()
SEES = Person("анна", "Анна", frozenset({"messages.content", "personal.read"}))
MASKED = Person("олег", "Олег", frozenset({"messages.content"}))


@pytest.fixture
def bus(bus_of: Any) -> Bus:
    return bus_of([Route("t.acts", title="Акты", plain=["ИдСвед"])])  # type: ignore[no-any-return]


def put(bus: Bus, body: bytes = BODY, **more: Any) -> UUID:
    message = Message(**({"kind": "t.acts", "body": body} | more))
    with bus.database.transaction() as connection:
        bus.journal.add(driver(connection), [Addressed(message, "t.acts", "handled")])
    return message.id


def ask(bus: Bus, sql: str, *given: Any) -> list[Any]:
    with bus.database.transaction() as connection:
        return driver(connection).execute(sql, given).fetchall()


def test_a_look_is_in_the_journal_and_in_the_audit_with_what_was_looked_at(bus: Bus) -> None:
    message_id = put(bus)
    assert contents.look(bus, message_id, {"body"}, SEES).body == BODY
    contents.look(bus, message_id, {"headers", "detail"}, MASKED)
    told = ask(bus, "SELECT stage, actor, note FROM bus.event ORDER BY seq")
    assert told == [
        ("viewed", "анна", "Просмотр: тело"),
        ("viewed", "олег", "Просмотр: подробности, заголовки (персональные данные скрыты)"),
    ]
    audited = ask(bus, "SELECT actor, action, object_id, note FROM bus.audit ORDER BY seq")
    assert audited == [(actor, "message.viewed", str(message_id), note) for _, actor, note in told]


def test_nothing_is_shown_when_the_look_cannot_be_noted(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    message_id = put(bus)

    def full(*_: Any, **__: Any) -> None:
        raise Permanent("нет места")

    monkeypatch.setattr("core.operations.viewed", full)
    for show in (contents.look, lambda *given: contents.download(bus, message_id, "body", SEES)):
        with pytest.raises(Permanent, match="нет места"):
            show(bus, message_id, {"body"}, SEES)
    with pytest.raises(Permanent, match="нет места"):
        signatures_words.explain(bus, message_id, SEES)


def test_who_lacks_the_permission_sees_only_what_the_kind_calls_plain(bus: Bus) -> None:
    message_id = put(bus, received="<конверт>Громова</конверт>".encode(), headers={"имя": "Громова", "corrected": "1"})
    with bus.database.transaction() as connection:
        output = '{"surname": "Громова"}'.encode()
        event = Event(message_id, "handled", "Обработано", detail="Громова", output=output)
        bus.journal.record(driver(connection), [event])
    seen = contents.look(bus, message_id, contents.PARTS, SEES)
    assert seen.outputs == [("handled", '{"surname": "Громова"}'.encode())]
    assert seen.details == [("handled", "Громова")]
    assert seen.headers == {"имя": "Громова", "corrected": "1"}
    shown = contents.look(bus, message_id, contents.PARTS, MASKED)
    assert shown.masked
    assert "Громова" not in repr([shown.outputs, shown.details, shown.headers])
    assert shown.body is not None
    assert shown.received is not None
    assert "Громова" not in shown.body.decode() + shown.received.decode()
    assert 'ИдСвед="17"' in shown.body.decode()
    assert shown.headers == {"имя": MASK, "corrected": "1"}
    assert json.loads(shown.outputs[0][1]) == {"surname": MASK}


def test_a_part_that_was_not_asked_for_is_not_there(bus: Bus) -> None:
    message_id = put(bus, received=b"<e/>", headers={"a": "b"})
    found = contents.look(bus, message_id, {"received"}, SEES)
    assert (found.body, found.received, found.headers, found.outputs) == (None, b"<e/>", {}, [])
    assert contents.look(bus, message_id, (), SEES).body is None
    assert len(ask(bus, "SELECT 1 FROM bus.event")) == 1


def test_of_a_long_body_the_beginning_is_shown_and_all_of_it_is_downloaded(bus: Bus) -> None:
    for size in (5_000, 400_000, 3_000_000):  # in its row, packed there, in the payload store
        body = b"<a>" + b"x" * size + b"</a>"
        message_id = put(bus, body)
        found = contents.look(bus, message_id, {"body"}, SEES, most_bytes=1000)
        assert found.body == body[:1000]
        assert found.cut == {"body": len(body)}
        got = contents.download(bus, message_id, "body", SEES)
        assert b"".join(got.pieces) == body
        assert (got.size_bytes, got.media_type, got.name[-4:]) == (len(body), "application/xml", ".xml")
        assert b"".join(contents.download(bus, message_id, "body", MASKED).pieces) == f"<a>{MASK}</a>".encode()


def test_a_body_too_long_to_be_masked_is_not_shown(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.masking.MASKED_MOST_BYTES", 20)
    message_id = put(bus)
    assert contents.look(bus, message_id, {"body"}, MASKED).body == NOTHING_SHOWN.encode()
    assert b"".join(contents.download(bus, message_id, "body", MASKED).pieces) == NOTHING_SHOWN.encode()


def test_an_attachment_is_streamed_and_never_to_whoever_may_not_see_it(bus: Bus) -> None:
    content = b"<script>" * 300_000
    file = Attachment("../Громова <1>.html", "text/html", open=lambda: io.BytesIO(content))
    message_id = put(bus, attachments=(file,))
    got = contents.download(bus, message_id, "attachment:0", SEES)
    assert b"".join(got.pieces) == content
    assert (got.name, got.media_type) == ("Громова <1>.html", "application/octet-stream")
    with pytest.raises(Permanent, match="нужно право"):
        contents.download(bus, message_id, "attachment:0", MASKED)
    for wrong in ("attachment:1", "attachment:", "outputs:0", "other", "received"):
        with pytest.raises(Permanent, match="Этого содержимого нет"):
            contents.download(bus, message_id, wrong, SEES)


def test_what_retention_has_taken_is_not_there(bus: Bus) -> None:
    message_id = put(bus, received=b"<e/>")
    with bus.database.transaction() as connection:
        removal.permit(driver(connection))
        removal.take_bodies(driver(connection), [message_id])
    found = contents.look(bus, message_id, contents.PARTS, SEES)
    assert (found.body, found.received, found.outputs) == (None, None, [])
    with pytest.raises(Permanent, match="удалено по сроку"):
        contents.download(bus, message_id, "body", SEES)


def test_a_message_that_is_not_there_is_told_and_leaves_no_trace(bus: Bus) -> None:
    unknown = UUID(int=1)
    for deed in (
        lambda: contents.look(bus, unknown, {"body"}, SEES),
        lambda: contents.download(bus, unknown, "body", SEES),
        lambda: signatures_words.explain(bus, unknown, SEES),
    ):
        with pytest.raises(Permanent, match="Нет сообщения"):
            deed()
    assert not ask(bus, "SELECT 1 FROM bus.event")
    assert not ask(bus, "SELECT 1 FROM bus.audit WHERE action = 'message.viewed'")


def test_codes_of_a_refusal_are_shown_and_its_texts_are_not(bus: Bus) -> None:
    body = '{"outcome": "rejection", "codes": ["NO_DATA"], "texts": ["Громова не найдена"], "parameters": {}}'.encode()
    message_id = put(bus, body, outcome=Outcome.REJECTION)
    shown = json.loads(contents.look(bus, message_id, {"body"}, MASKED).body or b"")
    assert shown == {"outcome": "rejection", "codes": ["NO_DATA"], "texts": [MASK], "parameters": {}}


def test_what_goes_out_belongs_to_the_family_of_its_route(bus: Bus) -> None:
    assert contents.plain_names(bus, "t.acts.answer", "smev") == {"ИдСвед"}
    assert contents.plain_names(bus, "other", "unknown") == frozenset()


@pytest.mark.feature("SMEV-08")
def test_verdicts_of_the_intake_are_told_in_words(bus: Bus) -> None:
    headers = {
        "smev.signer_subject": "CN=СМЭВ, O=Минцифры",
        "smev.sender_signature": "untrusted: сертификат отозван.",
        "smev.sender_signer_subject": "CN=Громова Алиса, SN=Громова, O=ТФОМС",
    }
    message_id = put(bus, headers=headers)
    told = signatures_words.explain(bus, message_id, MASKED)
    assert told.signatures == []
    assert told.verdicts == [
        "Подпись системы отправителя: верна, но сертификату нет доверия: сертификат отозван.",
        f"Система отправителя подписала сертификатом: CN={MASK}, SN={MASK}, O=ТФОМС.",
        "Подпись СМЭВ проверена и верна. Сертификат: CN=СМЭВ, O=Минцифры.",
    ]
    assert "Громова Алиса" in str(signatures_words.explain(bus, message_id, SEES).verdicts)


@pytest.mark.feature("SMEV-08")
def test_signatures_of_the_envelope_are_checked_and_explained(bus: Bus, tmp_path: Path) -> None:
    keys = make_demo_keys(tmp_path / "keys", "demo")
    data = '<e xmlns="urn:e"><d Id="D1"><имя>Громова</имя></d><s></s></e>'.encode()
    signed = data.replace(b"<s></s>", b"<s>" + xmldsig.sign(data, "D1", keys.identity("zags")) + b"</s>")
    spoilt = signed.replace("Громова".encode(), "Громов".encode())
    for envelope, ok in ((signed, True), (spoilt, False)):
        [one] = signatures_words.explain(bus, put(bus, received=envelope), SEES).signatures
        assert (one.ok, one.what, one.where, bool(one.reason)) == (ok, "элемент d", "конверт", not ok)
        assert "ГОСТ Р 34.10-2012" in one.algorithm
        assert "CN=" in one.owner
        assert "CN=" in one.issuer
        assert one.not_before
        assert one.not_after
        assert one.not_before < one.not_after
