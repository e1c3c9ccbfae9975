"""What is finished long enough ago goes away, nothing else does, and a late repeat is still a repeat."""

from __future__ import annotations

import hashlib
import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from core import cards, message_card, operations, removal, retention
from core.connector import Receipt
from core.database import driver
from core.errors import ConfigError, Permanent, Retryable
from core.keeper import Keeper
from core.message import Attachment, Message
from core.retention import Retention
from core.settings import RetentionSettings, Settings

LATER = timedelta(days=400)
BODY = b"<person>" + b"x" * 3000 + b"</person>"


@pytest.fixture
def retain(bus_of: Any) -> Any:
    """Runs retention with these settings as if it were so much later; what it did."""

    def run(bus: Any, later: timedelta = LATER, *, dry: bool = False, **values: Any) -> Any:
        settings = RetentionSettings(share=1, **values)
        return Retention(bus.database, bus.payloads, settings).run(dry=dry, now=datetime.now(UTC) + later)

    return run


def _whole(look: Any) -> dict[str, int]:
    """Rows with contents, by table."""
    return {
        table: look.one(f"SELECT count(*) FROM bus.{table} WHERE {column} IS NOT NULL")
        for table, column in (("message", "body"), ("outgoing", "body"), ("event", "output"))
    }


@pytest.fixture
def carried(bus_of: Any, working: Any, far: Any, run_dry: Any) -> Any:
    """A bus with one message that came with an envelope and an attachment, was handled, passed on and sent."""
    route = working(lambda message, context: [message.but(queue="far")], keyed=False)
    bus = bus_of([route], [far], inline_payload_bytes=1000, blob_payload_bytes=2000)
    attachment = Attachment("скан.pdf", open=lambda: io.BytesIO(b"%PDF" * 2000))
    bus.engine.accept([far.offer("1", BODY, received=b"envelope" * 1000, attachments=(attachment,))])
    run_dry(bus)
    run_dry(bus, "far")
    return bus


@pytest.mark.feature("BUS-09")
def test_contents_go_and_leave_their_sha256_while_the_record_stays(carried: Any, retain: Any, look: Any) -> None:
    done = retain(carried, body_days=365)
    assert done.bodies == {"t.work": 1, "far": 1}
    assert done.records.total() == 0
    mark = "removed:" + hashlib.sha256(BODY).hexdigest()
    assert (
        look.rows("SELECT body, body_payload, received, attachments -> 0 ->> 'payload' FROM bus.message")
        == [(None, mark, None, "removed:" + hashlib.sha256(b"%PDF" * 2000).hexdigest())] * 2
    )
    assert look.rows("SELECT DISTINCT body, body_payload FROM bus.outgoing") == [(None, mark)]
    assert look.one("SELECT count(*) FROM bus.event WHERE output IS NOT NULL OR length(output_payload) = 64") == 0
    assert look.one("SELECT count(*) FROM bus.event WHERE stage = 'handled'") == 1


@pytest.mark.feature("BUS-02")
def test_payloads_that_nobody_names_any_more_go_with_their_files(
    carried: Any, retain: Any, look: Any, tmp_path: Any
) -> None:
    look.do("UPDATE bus.payload SET stored_at = stored_at - interval '2 hours'")
    files = lambda: [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()]  # noqa: E731
    assert len(files()) == 3
    assert retain(carried, body_days="never").garbage.payloads == 0
    assert retain(carried, body_days=365).garbage.payloads == 3
    assert files() == []
    assert look.one("SELECT count(*) FROM bus.payload") == 0


@pytest.mark.feature("BUS-09")
def test_a_message_whose_contents_are_gone_is_shown_as_such_and_is_not_sent_again(
    carried: Any, retain: Any, capsys: Any
) -> None:
    retain(carried, body_days=365)
    message_id = cards.find(carried.database, "1")
    card = cards.card(carried.database, message_id)
    assert card.body_removed
    message_card.show(card, {}, detail=True)
    assert "удалено по сроку хранения" in capsys.readouterr().out
    assert cards.outputs(carried.database, carried.payloads, message_id) == []
    with pytest.raises(Permanent, match="удалено по сроку хранения"):
        operations.resend(carried, [message_id], actor="оператор")


@pytest.mark.feature("BUS-09")
def test_a_record_goes_with_everything_that_happened_to_it(carried: Any, retain: Any, look: Any) -> None:
    assert retain(carried, record_days=365).records == {"t.work": 1, "far": 1}
    for table in ("message", "entry", "event", "outgoing"):
        assert look.one(f"SELECT count(*) FROM bus.{table}") == 0, table
    with pytest.raises(Permanent, match="удалена по сроку хранения"):
        cards.find(carried.database, str(look.one("SELECT message_id FROM bus.remembered")))


@pytest.mark.feature("BUS-09")
def test_a_repeat_of_a_removed_message_is_still_a_repeat(
    carried: Any, retain: Any, far: Any, effects: Any, run_dry: Any, look: Any
) -> None:
    retain(carried, record_days=365)
    done = len(effects.texts())
    [again] = carried.engine.accept([far.offer("1", BODY)])
    assert again.repeated
    assert again.problem is None
    [other] = carried.engine.accept([far.offer("1", b"something else")])
    assert not other.repeated
    assert "уже принято другое содержимое" in other.problem.reason
    run_dry(carried)
    assert len(effects.texts()) == done
    assert retain(carried, LATER * 2, record_days=365, remember_days=300).forgotten == 1
    assert look.one("SELECT count(*) FROM bus.event WHERE stage = 'repeated'") == 0
    [fresh] = carried.engine.accept([far.offer("1", BODY)])
    assert not fresh.repeated


@pytest.mark.feature("BUS-09")
def test_only_what_is_finished_is_touched(
    bus_of: Any, working: Any, put: Any, run_dry: Any, look: Any, retain: Any
) -> None:
    def behave(message: Message, context: Any) -> None:
        text = message.body.decode()
        if text.startswith("bad"):
            raise Permanent("Нельзя")
        if text.startswith("later"):
            raise Retryable("Позже", pause_s=3600)

    bus = bus_of([working(behave)])
    put(bus, "good", "bad/1", "bad/2", "later", "dropped")
    run_dry(bus)
    put(bus, "ready")
    [dropped] = look.rows("SELECT id FROM bus.message WHERE body = 'dropped'")
    look.do("UPDATE bus.entry SET state = 'dropped' WHERE message_id = %s", dropped[0])
    states = look.states()
    assert sorted(states.values()) == ["dropped", "handled", "held", "quarantined", "ready", "retry"]
    done = retain(bus, body_days=1, record_days=1)
    assert done.bodies == {"t.work": 2}
    assert done.records == {"t.work": 2}
    assert look.states() == {body: state for body, state in states.items() if state not in ("handled", "dropped")}


@pytest.mark.feature("BUS-09")
def test_what_was_passed_over_goes_when_its_time_comes(
    bus_of: Any, working: Any, put: Any, run_dry: Any, look: Any, retain: Any
) -> None:
    broken = [True]

    def behave(message: Message, context: Any) -> None:
        if broken[0]:
            raise Permanent("Нельзя")

    bus = bus_of([working(behave, keyed=False)])
    [message] = put(bus, "late")
    run_dry(bus)
    assert retain(bus, record_days=1).records.total() == 0
    broken[0] = False
    operations.resend(bus, [message.id], actor="оператор")
    run_dry(bus)
    assert retain(bus, timedelta(hours=1), record_days=1).records.total() == 0
    assert retain(bus, record_days=1).records == {"t.work": 1}
    assert look.one("SELECT count(*) FROM bus.retention_late") == 0


@pytest.mark.feature("BUS-09")
def test_a_question_stays_while_its_answer_is_awaited_and_while_an_answer_of_it_is_unfinished(
    bus_of: Any, working: Any, far: Any, put: Any, run_dry: Any, look: Any, retain: Any
) -> None:
    ask = working(
        lambda message, context: [message.but(queue="far", reply_within_s=1e9)] if message.body == b"ask" else None,
        keyed=False,
    )
    bus = bus_of([ask], [far])
    put(bus, "ask")
    run_dry(bus)
    run_dry(bus, "far")
    done = retain(bus, body_days=1, record_days=1)
    assert done.bodies == {"t.work": 1}
    assert done.records == {"t.work": 1}, "the one that gave rise to it is finished and may go"
    far.offer("a", b"answer", in_reply_to=far.sent[0][0], outcome="answer", key="k")
    bus.engine.accept(far.receive())
    done = retain(bus, body_days=1, record_days=1)
    assert (done.bodies, done.records) == ({"far": 1}, {}), "the answer is not handled yet"
    run_dry(bus)
    look.do("UPDATE bus.entry SET state = 'handled' WHERE queue = 't.work'")
    assert retain(bus, body_days=1, record_days=1).records == {"far": 1, "t.work": 1}


def test_terms_are_by_queue_state_and_content(bus_of: Any, working: Any, far: Any) -> None:
    bus = bus_of([working()], [far])
    settings = RetentionSettings(
        body_days={"handled": 30, "sent": 10},
        record_days=1000,
        queues={"t.work": {"body_days": {"handled": "never", "dropped": 5}}, "far": {"record_days": "never"}},
    )
    found = Retention(bus.database, bus.payloads, settings)
    everything = dict.fromkeys(retention.FINISHED, 1000)
    bodies = {"handled": 30, "sent": 10}
    assert found.terms("body") == {
        "t.work": {"sent": 10, "dropped": 5},
        "far": bodies,
        "bus.answers": bodies,
        "bus.poll": bodies,
        "unknown": bodies,
    }
    assert found.terms("record") == dict.fromkeys(("t.work", "bus.answers", "bus.poll", "unknown"), everything)


@pytest.mark.parametrize(
    ("values", "words"),
    [({"queues": {"t.wrok": {"body_days": 1}}}, "retention.queues: нет очереди t.wrok")],
)
def test_terms_of_a_queue_that_never_was_are_refused(bus_of: Any, retain: Any, values: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        retain(bus_of(), **values)


@pytest.mark.parametrize("values", [{"body_days": 0}, {"body_days": {"ready": 1}}, {"days": 1}, {"share": 2}])
def test_terms_that_make_no_sense_are_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):
        RetentionSettings(**values)


@pytest.mark.feature("BUS-09")
def test_a_dry_run_counts_and_touches_nothing(carried: Any, retain: Any, look: Any) -> None:
    before = _whole(look)
    done = retain(carried, dry=True, body_days=1, record_days=1)
    assert (done.bodies, done.records) == ({"t.work": 1, "far": 1}, {"t.work": 1, "far": 1})
    assert _whole(look) == before
    assert look.one("SELECT count(*) FROM bus.retention_run") == 0
    assert look.one("SELECT count(*) FROM bus.retention_mark") == 0


@pytest.mark.feature("BUS-09")
def test_a_run_goes_on_where_the_last_one_ended_and_begins_anew_under_new_terms(
    bus_of: Any, working: Any, put: Any, run_dry: Any, look: Any, retain: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    bus = bus_of([working(keyed=False)])
    put(bus, *[str(n) for n in range(10)])
    run_dry(bus)
    assert retain(bus, body_days=1).bodies == {"t.work": 10}
    mark = look.one("SELECT seq FROM bus.retention_mark")
    assert mark > look.one("SELECT max(seq) FROM bus.message")
    assert retain(bus, body_days=1).bodies.total() == 0
    assert retain(bus, body_days={"dropped": 1}).bodies.total() == 0
    put(bus, "11")
    run_dry(bus)
    assert retain(bus, body_days=1).bodies == {"t.work": 1}


def test_what_moved_into_a_queue_that_was_gone_through_is_not_forgotten(
    bus_of: Any, working: Any, put: Any, run_dry: Any, retain: Any, look: Any
) -> None:
    bus = bus_of([working(keyed=False)])
    [stray] = put(bus, "stray", kind="t.later")
    retain(bus, queues={"t.work": {"record_days": 1}})
    put(bus, "usual")
    run_dry(bus)
    assert retain(bus, queues={"t.work": {"record_days": 1}}).records == {"t.work": 1}
    look.do("ALTER TABLE bus.message DISABLE TRIGGER ALL")
    look.do("UPDATE bus.message SET kind = 't.work' WHERE id = %s", stray.id)
    look.do("ALTER TABLE bus.message ENABLE TRIGGER ALL")
    operations.resend(bus, [stray.id], actor="оператор")
    run_dry(bus)
    assert retain(bus, queues={"t.work": {"record_days": 1}}).records == {"t.work": 1}


@pytest.mark.feature("BUS-03")
def test_no_repeat_slips_in_while_a_record_goes(
    bus_of: Any, working: Any, far: Any, run_dry: Any, retain: Any, look: Any, effects: Any, monkeypatch: Any
) -> None:
    """A statement that began before the id was remembered holds the deletion up."""
    bus = bus_of([working(keyed=False)], [far])
    bus.engine.accept([far.offer("1", b"once")])
    run_dry(bus)
    monkeypatch.setattr(retention, "SEEN_WAIT_S", 0.3)
    with bus.database.transaction() as connection:
        db = driver(connection)
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        db.execute("SELECT 1 FROM bus.message")
        done = retain(bus, record_days=1)
        assert not done.complete
        assert done.records.total() == 0
    assert retain(bus, record_days=1).records == {"t.work": 1}
    assert bus.engine.accept([far.offer("1", b"once")])[0].repeated
    run_dry(bus)
    assert effects.texts() == ["once"]


@pytest.mark.feature("BUS-03")
def test_repeats_under_way_while_records_go_are_all_repeats(
    bus_of: Any, working: Any, far: Any, run_dry: Any, retain: Any, effects: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(retention, "BATCH", 5)
    bus = bus_of([working(keyed=False)], [far])
    offers = [far.offer(str(n), b"%d" % n) for n in range(60)]
    bus.engine.accept(offers)
    run_dry(bus)
    over = threading.Event()
    failures: list[BaseException] = []

    def repeat(mine: list[Any]) -> None:
        try:
            while not over.is_set():
                for first in range(0, len(mine), 7):
                    assert all(one.repeated for one in bus.engine.accept(mine[first : first + 7]))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(offers[n::2],)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        done = retain(bus, record_days=1)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert done.records == {"t.work": 60}
    assert run_dry(bus) == 0
    assert len(effects.texts()) == 60


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE bus.message SET body = 'forged'",
        "UPDATE bus.message SET body_payload = NULL",
        "UPDATE bus.message SET external_id = 'x', body = NULL, body_payload = 'removed:' || repeat('0', 64)",
        "UPDATE bus.event SET note = 'forged'",
        "UPDATE bus.event SET output = 'forged'",
        "TRUNCATE bus.event",
        "TRUNCATE bus.message",
    ],
)
def test_not_even_retention_may_change_what_a_journal_row_says(carried: Any, database: Any, statement: str) -> None:
    with database.transaction() as connection:
        removal.permit(driver(connection))
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            driver(connection).execute(statement)


@pytest.mark.parametrize("table", ["message", "event"])
def test_journal_rows_are_not_deleted_by_anybody_else(carried: Any, database: Any, table: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"), database.transaction() as connection:
        driver(connection).execute(f"DELETE FROM bus.{table}")


@pytest.mark.feature("BUS-09")
def test_the_keeper_runs_at_its_hour_and_notes_the_disk(
    carried: Any, look: Any, eventually: Any, database_url: str, tmp_path: Any
) -> None:
    settings = Settings(
        database_url=database_url, data_dir=tmp_path, retention=RetentionSettings(cron="* * * * * *", body_days=365)
    )
    keeper = Keeper(carried.database, carried.payloads, settings, look_s=0.05)
    keeper.start()
    try:
        eventually(lambda: look.one("SELECT count(*) FROM bus.retention_run WHERE finished_at IS NOT NULL"))
    finally:
        keeper.stop()
    assert look.one("SELECT count(*) FROM bus.disk_sample WHERE used_bytes > 0") == 1
    assert _whole(look)["message"] + look.one("SELECT count(*) FROM bus.message WHERE length(body_payload) = 64") == 2


def test_a_receipt_and_details_of_errors_are_contents_too(
    bus_of: Any, far: Any, working: Any, put: Any, run_dry: Any, look: Any, retain: Any, make_due: Any, sweep: Any
) -> None:
    bus = bus_of([working(lambda message, context: [message.but(queue="far")])], [far])
    far.send_errors[b"*"] = [Retryable("Занято", detail="Иванов Иван", pause_s=0.0)]
    put(bus, "one")
    run_dry(bus)
    run_dry(bus, "far")
    make_due()
    sweep(bus)
    run_dry(bus, "far")
    assert look.rows("SELECT detail FROM bus.event WHERE stage = 'retry'") == [("Иванов Иван",)]
    retain(bus, body_days=1)
    assert look.rows("SELECT detail FROM bus.event WHERE stage = 'retry'") == [
        ("removed:" + hashlib.sha256("Иванов Иван".encode()).hexdigest(),)
    ]
    receipt = Receipt("", b"<ok/>")
    assert look.rows("SELECT output, output_payload FROM bus.event WHERE stage = 'sent'") == [
        (None, "removed:" + hashlib.sha256(receipt.answer).hexdigest())
    ]
