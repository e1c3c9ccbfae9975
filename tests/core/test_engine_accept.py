"""Accept → journal → commit → acknowledge: nothing acknowledged is lost, nothing that comes again acts twice."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from uuid_utils.compat import uuid7

from core import operations
from core.database import driver
from core.errors import IdReused, Permanent, SignatureRejected, Unavailable
from core.message import Message, Outcome
from core.route import Context, Format, Route


@pytest.mark.feature("BUS-02")
def test_a_source_hears_accepted_only_after_the_commit(bus_of: Any, far: Any, working: Any, database_url: str) -> None:
    bus = bus_of([working()], [far])
    seen_at_ack: list[int] = []

    def look_from_outside(offer: Any) -> None:
        with psycopg.connect(database_url) as other:
            row = other.execute("SELECT count(*) FROM bus.message WHERE id = %s", (offer.message.id,)).fetchone()
        seen_at_ack.append(row[0] if row else 0)

    far.on_ack = look_from_outside
    far.offer("1", b"a"), far.offer("2", b"b")
    bus.engine.accept(far.receive())
    assert seen_at_ack == [1, 1]
    assert far.acked == ["1", "2"]


@pytest.mark.feature("BUS-02")
def test_when_the_acknowledgement_fails_it_comes_again_is_absorbed_and_acknowledged(
    bus_of: Any, far: Any, working: Any, effects: Any, look: Any, run_dry: Any
) -> None:
    bus = bus_of([working()], [far])
    far.offer("1", b"a")
    far.ack_error = Unavailable("Связь прервалась")
    [first] = bus.engine.accept(far.receive())
    far.ack_error = None
    run_dry(bus)
    [second] = bus.engine.accept(far.receive())
    run_dry(bus)
    assert far.acked == ["1"]
    assert (second.message_id, second.repeated) == (first.message_id, True)
    assert effects.texts() == ["a"]
    assert look.events("a") == ["not acknowledged", "handled", "repeated", "acknowledged"]


def test_a_defect_in_one_acknowledgement_does_not_keep_the_others_from_theirs(
    bus_of: Any, far: Any, working: Any, look: Any
) -> None:
    bus = bus_of([working()], [far])
    offers = [far.offer("1", b"a"), far.offer("2", b"b")]

    def break_on_the_first(offer: Any) -> None:
        if offer is offers[0]:
            raise KeyError("a defect of the connector")

    far.on_ack = break_on_the_first
    bus.engine.accept(far.receive())
    assert far.acked == ["2"]
    assert look.events("a") == ["not acknowledged"]


@pytest.mark.feature("BUS-02")
def test_the_same_id_with_the_same_body_has_no_second_effect(
    bus_of: Any, far: Any, working: Any, effects: Any, run_dry: Any
) -> None:
    bus = bus_of([working()], [far])
    for _ in range(3):
        bus.engine.accept([far.offer("1", b"a")])
        run_dry(bus)
    assert effects.texts() == ["a"]


@pytest.mark.feature("BUS-02")
def test_another_body_under_a_known_id_goes_to_quarantine_whole_and_the_first_is_unaffected(
    bus_of: Any, far: Any, working: Any, effects: Any, look: Any, run_dry: Any
) -> None:
    bus = bus_of([working()], [far])
    envelope = b"<envelope>\x00\xff other</envelope>"
    bus.engine.accept([far.offer("1", b"a")])
    [other] = bus.engine.accept([far.offer("1", b"other", received=envelope)])
    run_dry(bus)
    assert look.states() == {"a": "handled", "other": "quarantined"}
    assert effects.texts() == ["a"]
    assert "уже принято другое содержимое" in look.reason("other")
    with bus.database.transaction() as connection:
        db = connection.connection.driver_connection
        assert bus.journal.received(db, other.message_id) == envelope
        assert bus.journal.load(db, [other.message_id])[0].body == b"other"


def test_the_other_body_is_kept_once_however_often_it_comes(bus_of: Any, far: Any, working: Any, look: Any) -> None:
    bus = bus_of([working()], [far])
    bus.engine.accept([far.offer("1", b"a")])
    first, again = (bus.engine.accept([far.offer("1", b"other")])[0] for _ in range(2))
    assert (first.repeated, again.repeated) == (False, True)
    assert look.one("SELECT count(*) FROM bus.message") == 2


def test_duplicates_inside_one_batch_are_absorbed(
    bus_of: Any, far: Any, working: Any, effects: Any, look: Any, run_dry: Any
) -> None:
    bus = bus_of([working()], [far])
    twice = far.offer("3", b"c")
    batch = [far.offer("1", b"a"), far.offer("1", b"a"), far.offer("2", b"b"), far.offer("2", b"x"), twice, twice]
    accepted = bus.engine.accept(batch)
    run_dry(bus)
    assert [one.repeated for one in accepted[:4]] == [False, True, False, False]
    assert accepted[0].message_id == accepted[1].message_id
    assert sorted(effects.texts()) == ["a", "b", "c"]
    assert look.states() == {"a": "handled", "b": "handled", "x": "quarantined", "c": "handled"}


def test_two_intakes_of_the_same_messages_at_once_accept_each_once(
    bus_of: Any, far_side: Any, working: Any, look: Any
) -> None:
    bus = bus_of([working()])
    batches = []
    for _ in range(4):
        far = far_side()
        batches.append([far.offer(str(n), b"%d" % n) for n in range(50)])
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda batch=batch: results.extend(bus.engine.accept(batch))) for batch in batches
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200
    assert sum(not one.repeated for one in results) == 50
    assert look.one("SELECT count(*) FROM bus.entry WHERE state = 'ready'") == 50


@pytest.mark.feature("BUS-01")
def test_an_unknown_kind_waits_with_a_reason_and_goes_on_when_its_route_exists(
    bus_of: Any, far: Any, working: Any, effects: Any, look: Any, run_dry: Any
) -> None:
    before = bus_of([], [far])
    [accepted] = before.engine.accept([far.offer("1", b"a", kind="t.work")])
    assert far.acked == ["1"]
    assert look.states("unknown") == {"a": "quarantined"}
    assert "Неизвестный вид сведений t.work" in look.reason("a")
    with pytest.raises(Permanent, match="по-прежнему не подключён"):
        operations.resend(before, [accepted.message_id], actor="иванов")
    after = bus_of([working()], [far])
    operations.resend(after, [accepted.message_id], actor="иванов")
    run_dry(after)
    assert effects.texts() == ["a"]


def test_a_resent_unknown_message_takes_its_place_in_the_order_of_its_key(
    bus_of: Any, far: Any, working: Any, look: Any, run_dry: Any
) -> None:
    bus_of([], [far]).engine.accept([far.offer("1", b"k/1"), far.offer("2", b"k/2")])

    def fail_the_first(message: Message, _context: Context) -> None:
        if message.body == b"k/1":
            raise Permanent("Нет")

    after = bus_of([working(fail_the_first)], [far])
    operations.resend(after, [look.id_of("k/1"), look.id_of("k/2")], actor="иванов")
    run_dry(after)
    assert look.states() == {"k/1": "quarantined", "k/2": "held"}


def test_a_document_finds_its_route_and_version_by_its_root_element(
    bus_of: Any, far: Any, look: Any, run_dry: Any
) -> None:
    bodies = []
    route = Route("t.doc", title="Документ", formats=[Format("1", "{urn:a}A"), Format("2", "{urn:b}A")])
    route.handler(lambda body, context: bodies.append((body.tag, context.message.version)))
    bus = bus_of([route], [far])
    bus.engine.accept([far.offer("1", b'<A xmlns="urn:b"/>', kind="{urn:b}A")])
    run_dry(bus, "t.doc")
    assert bodies == [("{urn:b}A", "2")]
    assert look.one("SELECT kind FROM bus.message") == "t.doc"


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _asking(working: Any, **question: Any) -> tuple[Route, list[Message]]:
    """`t.work` asks the far side; `t.answers` notes what comes back."""
    answers: list[Message] = []
    route = working(lambda message, context: [Message(kind="far", queue="far", body=b"question", **question)])
    taking = Route("t.answers", title="Ответы")

    def take(_body: Any, context: Context) -> None:
        answers.append(context.message)

    taking.handler(take)
    taking.on(Outcome.TIMEOUT, Outcome.STATUS)(take)
    return [route, taking], answers  # type: ignore[return-value]


@pytest.fixture
def asked(bus_of: Any, far: Any, working: Any, put: Any, run_dry: Any) -> Any:
    """A bus that has asked the far side under the id `out-1`, within an hour; and the answers it got."""
    routes, answers = _asking(working, key="person", replies_to="t.answers", reply_within_s=3600)
    bus = bus_of(routes, [far])
    put(bus, "go/1")
    run_dry(bus)
    run_dry(bus, "far")
    return bus, answers


def test_an_answer_goes_to_who_asked_with_the_cause_and_key_of_the_question(
    asked: Any, far: Any, look: Any, run_dry: Any
) -> None:
    bus, answers = asked
    bus.engine.accept([far.offer("a1", b"answer", kind="", in_reply_to="out-1", outcome=Outcome.ANSWER)])
    run_dry(bus, "t.answers")
    [answer] = answers
    assert (answer.cause, answer.key, answer.kind) == (look.id_of("question"), "person", "far")
    assert look.one("SELECT answer FROM bus.outgoing") == "answer"


def test_without_a_named_route_the_answer_goes_to_the_route_that_asked(
    bus_of: Any, far: Any, working: Any, put: Any, run_dry: Any, look: Any
) -> None:
    asks = working(lambda message, _context: [Message(kind="far", queue="far", body=b"q")] * (message.body == b"go"))
    bus = bus_of([asks], [far])
    put(bus, "go")
    run_dry(bus)
    run_dry(bus, "far")
    bus.engine.accept([far.offer("a1", b"answer", kind="", in_reply_to="out-1", outcome=Outcome.ANSWER)])
    run_dry(bus)
    assert look.states() == {"go": "handled", "answer": "handled"}


def test_an_answer_to_nothing_we_asked_is_kept_and_shown(asked: Any, far: Any, look: Any) -> None:
    bus, answers = asked
    bus.engine.accept([far.offer("a1", b"answer", kind="t.work", in_reply_to="out-99", outcome=Outcome.ANSWER)])
    assert far.acked == ["a1"]
    assert look.states() == {"go/1": "handled", "answer": "quarantined"}
    assert "Ответ на неизвестный запрос" in look.reason("answer")
    assert not answers


def test_a_question_without_an_answer_times_out_once_and_a_late_answer_is_still_handled(
    asked: Any, far: Any, look: Any, run_dry: Any
) -> None:
    bus, answers = asked
    bus.engine.expire()
    assert run_dry(bus, "t.answers") == 0
    look.do("UPDATE bus.outgoing SET answer_due_at = now()")
    for _ in range(2):
        bus.engine.expire()
        run_dry(bus, "t.answers")
    [timeout] = answers
    with bus.database.transaction() as connection:
        assert bus.outgoing.overdue(connection.connection.driver_connection) == [], "looked at once"
    assert (timeout.outcome, timeout.cause, timeout.key) == (Outcome.TIMEOUT, look.id_of("question"), "person")
    bus.engine.accept([far.offer("a1", b"late", kind="", in_reply_to="out-1", outcome=Outcome.ANSWER)])
    run_dry(bus, "t.answers")
    assert [one.outcome for one in answers] == [Outcome.TIMEOUT, Outcome.ANSWER]


@pytest.mark.parametrize(
    ("fields", "still_awaited"),
    [
        ({"outcome": Outcome.ANSWER}, False),
        ({"outcome": Outcome.REJECTION}, False),
        ({"outcome": Outcome.STATUS}, True),
        ({"outcome": Outcome.ANSWER, "problem": SignatureRejected("Подпись неверна")}, True),
    ],
)
def test_only_a_true_final_answer_ends_the_waiting(
    asked: Any, far: Any, look: Any, fields: dict[str, Any], still_awaited: bool
) -> None:
    bus, _ = asked
    bus.engine.accept([far.offer("a1", b"{}", kind="", in_reply_to="out-1", **fields)])
    look.do("UPDATE bus.outgoing SET answer_due_at = now()")
    bus.engine.expire()
    assert bool(look.one("SELECT count(*) FROM bus.message WHERE outcome = 'timeout'")) is still_awaited


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_with_a_problem_is_refused_kept_whole_and_never_handled(
    bus_of: Any, far: Any, working: Any, effects: Any, look: Any, run_dry: Any, sweep: Any
) -> None:
    bus = bus_of([working()], [far])
    bus.engine.accept(
        [far.offer("1", b"k/forged", problem=SignatureRejected("Подпись неверна")), far.offer("2", b"k/2")]
    )
    run_dry(bus)
    sweep(bus)
    run_dry(bus)
    assert (far.refused, far.acked) == (["1"], ["2"])
    assert look.states() == {"k/forged": "quarantined", "k/2": "handled"}
    assert look.reason("k/forged") == "Подпись неверна"
    assert effects.texts() == ["k/2"]


def test_a_body_that_is_no_utf8_is_kept_byte_for_byte(bus_of: Any, far: Any, working: Any, look: Any) -> None:
    bus = bus_of([working(keyed=False)], [far])
    body = '<?xml version="1.0" encoding="windows-1251"?><ФИО>Ёлкина\r\n</ФИО>'.encode("windows-1251")
    bus.engine.accept([far.offer("1", body)])
    assert bytes(look.one("SELECT body FROM bus.message")) == body


@pytest.mark.parametrize(
    "text",
    ["\x00", "a\x00b", "\\u0000", "файл\udcff.xml", '"\\', "😀"],
    ids=["nul", "inner nul", "escape", "surrogate", "quote", "emoji"],
)
def test_any_text_in_headers_and_names_is_accepted(
    bus_of: Any, far: Any, working: Any, effects: Any, look: Any, run_dry: Any, text: str
) -> None:
    seen = []
    bus = bus_of([working(lambda message, context: seen.append(message) or context.note(text))], [far])
    fields = {"headers": {"h": text, text: "v"}, "in_reply_to": "", "version": text}
    for _ in range(2):
        bus.engine.accept([far.offer(f"1{text}", b"a", **fields)])
    run_dry(bus)
    assert effects.texts() == ["a"]
    assert look.one("SELECT count(*) FROM bus.message") == 1
    if "\x00" not in text and "\udcff" not in text:
        assert seen[0].headers == {"h": text, text: "v"}


def test_huge_headers_are_kept(bus_of: Any, far: Any, working: Any, run_dry: Any, effects: Any) -> None:
    seen = []
    bus = bus_of([working(lambda message, context: seen.append(message.headers))], [far])
    headers = {f"имя {n}": "ж" * 1000 for n in range(2000)}
    bus.engine.accept([far.offer("1", b"a", headers=headers)])
    run_dry(bus)
    assert seen == [headers]


def test_a_defect_in_a_key_function_costs_only_its_message(
    bus_of: Any, far: Any, working: Any, effects: Any, look: Any, run_dry: Any
) -> None:
    route = working()
    route.key = lambda message: message.body.decode().split("/")[1]
    bus = bus_of([route], [far])
    bus.engine.accept([far.offer("1", b"nokey"), far.offer("2", b"a/b")])
    run_dry(bus)
    assert far.acked == ["1", "2"]
    assert look.states() == {"nokey": "quarantined", "a/b": "handled"}
    assert "Не определить, за какими сообщениями" in look.reason("nokey")


# ── the database ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-02")
def test_when_the_database_goes_away_nothing_is_acknowledged_and_all_comes_again(
    bus_of: Any, far: Any, working: Any, effects: Any, run_dry: Any, server_url: str, database_url: str
) -> None:
    def cut(_message: Message) -> str:
        name = database_url.rpartition("?")[0].rpartition("/")[2]
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        return ""

    route = working()
    route.key = cut
    bus = bus_of([route], [far])
    far.offer("1", b"a")
    far.offer("2", b"b")
    with pytest.raises(Unavailable):
        bus.engine.accept(far.receive())
    assert far.acked == []
    route.key = None
    bus.engine.accept(far.receive())
    run_dry(bus)
    assert far.acked == ["1", "2"]
    assert effects.texts() == ["a", "b"]


def test_a_full_pool_means_unavailable_not_a_crash(bus_of: Any, far: Any, working: Any) -> None:
    bus = bus_of([working()], [far])
    bus.database.engine.pool._timeout = 0.05
    held = [bus.database.engine.connect() for _ in range(32)]
    with pytest.raises(Unavailable):
        bus.engine.accept([far.offer("1")])
    for connection in held:
        connection.close()
    assert far.acked == []


# ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.feature("BUS-02")
@pytest.mark.parametrize("table", ["message", "event"])
def test_the_journal_refuses_to_be_changed(
    bus_of: Any, working: Any, put: Any, run_dry: Any, look: Any, table: str
) -> None:
    bus = bus_of([working()])
    put(bus, "a")
    run_dry(bus)
    column = "kind" if table == "message" else "note"
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        look.do(f"UPDATE bus.{table} SET {column} = 'x'")


@pytest.mark.feature("BUS-02")
def test_pushed_requests_are_kept_in_one_statement_and_known_ones_are_absorbed(bus_of, working) -> None:
    bus = bus_of([working()])
    message = Message(kind="t.work", queue="t.work", source="in", body=b"{}")
    first = [_Pushed(message.but(id=uuid7(), external_id=str(n))) for n in range(3)]
    kept = bus.engine.keep(first)
    again = bus.engine.keep(
        [
            _Pushed(first[1].message.but(id=uuid7())),
            _Pushed(first[2].message.but(id=uuid7(), body=b'{"other": 1}')),
            _Pushed(first[0].message.but(id=uuid7(), external_id="9")),
        ]
    )
    assert [one.repeated for one in kept] == [False, False, False]
    assert (again[0].message_id, again[0].repeated) == (kept[1].message_id, True)
    assert isinstance(again[1].problem, IdReused)
    assert (again[2].repeated, again[2].problem) == (False, None)


@pytest.mark.feature("BUS-02")
def test_a_connection_lost_in_the_middle_of_the_statement_loses_nothing_and_doubles_nothing(bus_of, working) -> None:
    bus = bus_of([working()])
    given = [_Pushed(Message(kind="t.work", queue="t.work", source="in", external_id="1", body=b"{}"))]
    bus.engine.keep(given)
    with bus.database.at_once() as db:
        [pid] = db.execute("SELECT pg_backend_pid()").fetchone()
    with bus.database.transaction() as connection:
        driver(connection).execute("SELECT pg_terminate_backend(%s)", (pid,))
    [again] = bus.engine.keep(given)
    [other] = bus.engine.keep([_Pushed(given[0].message.but(id=uuid7(), external_id="2"))])
    with bus.database.transaction() as connection:
        [count] = driver(connection).execute("SELECT count(*) FROM bus.message").fetchone()
    assert (again.repeated, other.repeated, count) == (True, False, 2)


@dataclass
class _Pushed:
    message: Message
    problem: None = None

    def ack(self) -> None: ...

    def reject(self, reason: Permanent) -> None: ...
