"""The whole bus against the whole simulator: real PostgreSQL, real HTTP, real keys, workers at work.

One house a module: `house` sends as the partners do, arms what goes wrong, and tells what the journal and the far
side know. Every test ends with `house.carries_on()`: the bus lives, and a healthy message goes its whole way.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core import operations, receivers
from core.bus import Bus
from core.database import driver
from core.settings import Settings
from core.signatures.demo_keys import DemoKeys, make_demo_keys
from routes.erz.demo import seed as seed_persons
from routes.pump.demo import seed as seed_services
from routes.sfr import api as sfr
from routes.sfr import settings as sfr_settings
from simulators.payloads import ffoms, fns, people
from simulators.smev3 import damage, server
from simulators.smev3.application import create_app
from simulators.smev3.control import SimulatorControl
from simulators.smev3.settings import Settings as SimulatorSettings
from simulators.smev3.simulator import Simulator

PASSWORD = "проба пароля"
PASSWORD_ENV = "OMSBUS_ACCEPTANCE_KEY_PASSWORD"
FUND, ZAGS, FNS, SFR, EPGU = "TFOMS01", "ZAGS01", "FNS001", "SFR001", "EPGU01"
POLL_S = 0.1
STATUS_POLL_S, PENALTY_S = 0.6, 2.0
STRANGE_KIND = "urn:omsbus:test/strange/1.0"
DEATHS = "urn://x-artefacts-zags-fatalzp/root/112-25"

_NOT_FOR_PEOPLE = re.compile(
    r"\w(Error|Exception)\b|Traceback|xmlns:|\bline \d|column \d|0x[0-9a-f]{6}|<class|object at"
)
_EXTRA_KINDS = [
    {"name": "test.strange", "title": "Вид сведений, которого шина не знает", "namespace": STRANGE_KIND},
    {"name": "test.other_version", "title": "Смерть, версия из будущего", "namespace": f"{DEATHS}/4.0.9"},
    {"name": "test.other_root", "title": "Смерть, чужой корень", "namespace": f"{DEATHS}/4.0.1"},
]


@dataclass
class Bend:
    """The next answer that fits is sent as `work` makes it; `sent` is what left."""

    operation: str
    work: Callable[[bytes], bytes]
    fits: Callable[[bytes], bool] = lambda envelope: b"MessageMetadata" in envelope  # an answer that brings something
    sent: bytes = b""


class BentSimulator(Simulator):
    """The simulator, whose answers a test may rewrite on their way out."""

    bends: list[Bend]

    def handle(self, version: Any, content_type: str, soap_action: str, body: bytes) -> damage.Answer:
        answer = super().handle(version, content_type, soap_action, body)
        operation = soap_action.strip('"').removeprefix("urn:")
        for bend in self.bends:
            if bend.operation == operation and bend.fits(answer.envelope):
                self.bends.remove(bend)
                bend.sent = bend.work(answer.envelope)
                return damage.plain(bend.sent)
        return answer


@dataclass
class Kept:
    """A message as the journal has it."""

    id: Any
    external_id: str
    kind: str
    outcome: str
    queue: str
    state: str
    error: str
    reason: str
    events: list[tuple[str, str]] = field(default_factory=list)
    """(stage, note)"""

    def stages(self) -> list[str]:
        return [stage for stage, _ in self.events]


_KEPT = """
SELECT m.id, m.external_id, m.kind, m.outcome, e.queue, e.state, e.error, e.reason
FROM bus.message m JOIN bus.entry e USING (seq) WHERE {} ORDER BY m.seq
"""


class House:
    """The bus and its far side."""

    def __init__(self, bus: Bus, control: SimulatorControl, bends: list[Bend], eventually: Any) -> None:
        self.bus = bus
        self.control = control
        self.bends = bends
        self.eventually = eventually
        self._numbers = itertools.count(1)

    # ── what partners do ─────────────────────────────────────────────────────────────────────────────────────────

    def number(self) -> int:
        """Another one each time: for payloads that must differ."""
        return next(self._numbers)

    def news(self) -> bytes:
        """A broadcast of ФНС about one organization that nobody has heard of."""
        return fns.news(self.number(), 1)

    def send_news(self, **fields: Any) -> str:
        """Send a healthy broadcast (1.2); its MessageID."""
        return self.control.send(FNS, self.news(), **{"version": "1.2"} | fields)

    @staticmethod
    def new_id() -> str:
        return str(uuid.uuid1())

    def person(self, surname: str) -> int:
        """An insured person without СНИЛС, by whose surname СФР knows what to answer; the registry's id."""
        one = people.people(self.number() + 5000, 1)[0].but(surname=surname, snils=None)
        with (
            self.bus.database.transaction() as connection,
            Session(connection, join_transaction_mode="create_savepoint") as session,
        ):
            [person_id] = seed_persons(session, [one])
            session.commit()
        return person_id

    def insured_with_services(self) -> people.Invented:
        """A person of the registry who was treated last year."""
        one = people.people(self.number() + 9000, 1)[0]
        with (
            self.bus.database.transaction() as connection,
            Session(connection, join_transaction_mode="create_savepoint") as session,
        ):
            [person_id] = seed_persons(session, [one])
            seed_services(session, person_id, ffoms.services(1))
            session.commit()
        return one

    def ask_snils(self, surname: str) -> int:
        """Have the bus ask СФР about a new person; the registry's id."""
        person_id = self.person(surname)
        self.bus.engine.put([sfr.ask_snils(person_id)])
        return person_id

    def question_state(self, person_id: int) -> str:
        rows = self.rows("SELECT state FROM sfr.snils_request WHERE person_id = %s", person_id)
        return str(rows[0][0]) if rows else ""

    # ── what went wrong on purpose ───────────────────────────────────────────────────────────────────────────────

    def bend(self, operation: str, work: Callable[[bytes], bytes], **fields: Any) -> Bend:
        made = Bend(operation, work, **fields)
        self.bends.append(made)
        return made

    def sent_with(self, fault: str) -> bytes:
        """The envelope of the answer that this armed fault spoilt last."""
        return [
            one["body"] for one in self.control.envelopes() if one["direction"] == "out" and fault in one["injected"]
        ][-1]

    # ── what the journal knows ───────────────────────────────────────────────────────────────────────────────────

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.bus.database.transaction() as connection:
            return driver(connection).execute(sql, values).fetchall()  # type: ignore[arg-type]

    def kept(self, where: str, *values: Any) -> list[Kept]:
        found = [Kept(*row) for row in self.rows(_KEPT.format(where), *values)]
        for one in found:
            one.events = self.rows("SELECT stage, note FROM bus.event WHERE message_id = %s ORDER BY seq", one.id)
        return found

    def journal_of(self, message_id: str) -> list[Kept]:
        """Everything that came under this MessageID or claims it."""
        return self.kept("m.source = 'smev' AND m.headers->>'smev.message_id' = %s", message_id)

    def settled(self, message_id: str) -> Kept:
        """The one message of this id, once it stands still and its acknowledgement is noted."""

        def found() -> Kept | None:
            rows = self.journal_of(message_id)
            if not rows or rows[0].state not in ("handled", "quarantined"):
                return None
            return rows[0] if {"acknowledged", "refused"} & set(rows[0].stages()) else None

        kept: Kept = self.eventually(found)
        assert len(self.journal_of(message_id)) == 1
        return kept

    def by_id(self, external_id: str) -> Kept:
        """The message of this external id, once it stands still."""
        where = "m.source = 'smev' AND m.external_id = %s AND e.state IN ('handled', 'quarantined')"
        kept: Kept = self.eventually(lambda: self.kept(where, external_id))[0]
        return kept

    def bodies(self, kept: Kept) -> bytes:
        with self.bus.database.transaction() as connection:
            [message] = self.bus.journal.load(driver(connection), [kept.id])
        return message.body

    def snils_of(self, one: people.Invented) -> str | None:
        """What the registry has; None also for a person who is not there."""
        rows = self.rows(
            "SELECT snils FROM erz.person WHERE surname = %s AND given = %s AND birth_date = %s",
            one.surname.upper(),
            one.given.upper(),
            one.birth,
        )
        return rows[0][0] if rows else None

    def organizations(self) -> int:
        return int(self.rows("SELECT count(*) FROM fns.organization")[0][0])

    def poll_result(self, source: str, word: str = "") -> str:
        """What the last poll of a source ended with, when it has this word."""
        found = str(self.rows("SELECT poll_result FROM bus.queue WHERE name = %s", source)[0][0])
        return found if word in found else ""

    def records_of(self, message_id: str, states: set[str], count: int) -> list[Kept]:
        """The records of a ЗАГС notice in their order, once all of them stand in one of these states."""
        notice = self.settled(message_id)
        found = self.kept("m.cause = %s AND e.queue = 'zags.death'", notice.id)
        return found if len(found) == count and {one.state for one in found} <= states else []

    def answers_to(self, message_id: str) -> int:
        under_way = (
            "SELECT 1 FROM bus.outgoing WHERE confirmed_at IS NULL UNION ALL "
            "SELECT 1 FROM bus.entry e JOIN bus.queue q ON q.name = e.queue "
            "WHERE e.state = 'ready' AND q.state = 'running'"
        )
        self.eventually(lambda: not self.rows(under_way))
        return len(self.control.message(message_id)["answers"])

    def drop(self, message_id: Any) -> None:
        operations.drop(self.bus, [message_id], actor="тест", reason="исправлено следующим")

    def octets_kept_are(self, octets: bytes) -> Kept:
        """Wait for the message that was received as exactly these octets."""

        def found() -> Kept | None:
            for one in self.kept("m.source = 'smev' AND (m.received IS NOT NULL OR m.received_payload IS NOT NULL)"):
                if self.received(one) == octets:
                    return one
            return None

        kept: Kept = self.eventually(found)
        return kept

    def received(self, kept: Kept) -> bytes | None:
        with self.bus.database.transaction() as connection:
            return self.bus.journal.received(driver(connection), kept.id)

    def headers(self, kept: Kept) -> dict[str, str]:
        [(headers,)] = self.rows("SELECT headers FROM bus.message WHERE id = %s", kept.id)
        return dict(headers)

    def question_of(self, person_id: int, state: str) -> Kept | None:
        """The question to СФР about this person, when it stands in this state."""
        where = "m.id = (SELECT max(message_id::text)::uuid FROM sfr.snils_request WHERE person_id = %s)"
        return next((one for one in self.kept(where, person_id) if one.state == state), None)

    def attempts_answers(self, kept: Kept) -> list[bytes]:
        """What the far side said to attempts that failed."""
        sql = (
            "SELECT output, output_payload FROM bus.event WHERE message_id = %s AND stage <> 'sent' "
            "AND (output IS NOT NULL OR output_payload IS NOT NULL) ORDER BY seq"
        )
        with self.bus.database.transaction() as connection:
            db = driver(connection)
            rows = db.execute(sql, (kept.id,)).fetchall()
            return [self.bus.payloads.join(db, *row) for row in rows]

    def resume(self, queue: str) -> None:
        operations.set_state(self.bus, queue, "running", actor="тест")

    def polled_again(self, source: str) -> None:
        """Wait for the end of a poll that began after now."""
        for _ in range(2):
            [(before,)] = self.rows("SELECT polled_at FROM bus.queue WHERE name = %s", source)
            self.eventually(
                lambda b=before: self.rows("SELECT polled_at FROM bus.queue WHERE name = %s", source) != [(b,)]
            )

    # ── what the far side knows ──────────────────────────────────────────────────────────────────────────────────

    def acks(self, message_id: str) -> list[bool | None]:
        """What the bus told of a message, in order."""
        return [one["accepted"] for one in self.control.message(message_id)["acknowledgements"]]

    def closed(self, message_id: str) -> bool | None:
        """Wait until the far side hands it out no more; what the acknowledgement said."""
        self.eventually(lambda: all(one["closed_at"] for one in self.control.message(message_id)["entries"]))
        return self.control.message(message_id)["entries"][0]["accepted"]

    def delivered(self, message_id: str) -> bytes:
        """The envelope by which this message was handed out last."""
        return [
            one["body"]
            for one in self.control.envelopes()
            if one["direction"] == "out" and one["operation"] != "Ack" and message_id.encode() in one["body"]
        ][-1]

    def question_before(self, answer: bytes) -> bytes:
        """What we had posted when we got this answer."""
        pairs = {(one["exchange"], one["direction"]): one["body"] for one in self.control.envelopes()}
        exchange = next(name for (name, _), body in pairs.items() if body == answer)
        return pairs[exchange, "in"]

    def ids_posted(self, operation: str, kept: Kept) -> list[str]:
        """The MessageIDs under which one of our messages was posted, in order."""
        fresh = self.kept("m.id = %s", kept.id)[0]
        prepared = [note.split()[-1] for stage, note in fresh.events if stage == "prepared"]
        return [one for one in prepared if self.posted(operation, one.encode())]

    @staticmethod
    def fault_named(name: str) -> bytes:
        """A soap:Fault that no version of the contract knows."""
        faults = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/faults/1.2"
        return (
            '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
            "<faultcode>soap:Server</faultcode><faultstring>Ой</faultstring>"
            f'<detail><f:{name} xmlns:f="{faults}"/></detail></soap:Fault></soap:Body></soap:Envelope>'
        ).encode()

    def posted(self, operation: str, words: bytes = b"") -> list[bytes]:
        """What the bus has posted to this operation, in order."""
        return [
            one["body"]
            for one in self.control.envelopes()
            if one["direction"] == "in" and one["operation"] == operation and words in one["body"]
        ]

    @staticmethod
    def for_people(reason: str, *words: str) -> None:
        """A Russian sentence with these words and without the insides of a program."""
        assert re.search("[а-яё]{3}", reason), reason
        assert not _NOT_FOR_PEOPLE.search(reason), reason
        for word in words:
            assert word in reason, reason

    # ── the end of every test ────────────────────────────────────────────────────────────────────────────────────

    def carries_on(self) -> None:
        """The bus is well, none of its parts has stopped, and a healthy message is handled and acknowledged."""
        self.bends.clear()
        self.control.disarm()
        healthy = self.send_news()
        assert self.settled(healthy).state == "handled"
        assert self.closed(healthy) is True
        assert self.bus.healthy()
        names = {thread.name for thread in threading.enumerate()}
        assert {f"source {name}" for name in self.bus.sources} <= names, "a source no longer polls"
        assert self.rows("SELECT name, reason FROM bus.queue WHERE state <> 'running'") == []


@pytest.fixture(scope="session")
def keys() -> Iterator[DemoKeys]:
    with tempfile.TemporaryDirectory(prefix="omsbus-acceptance-") as folder:
        yield make_demo_keys(Path(folder) / "keys", PASSWORD)


def simulator_settings(keys: DemoKeys, database_url: str) -> SimulatorSettings:
    """No delays, what is not acknowledged comes again after half a second, and kinds that the bus does not know."""
    usual = SimulatorSettings.load().model_dump(mode="json")["kinds"]
    extra = [one | {"senders": [EPGU], "recipients": [FUND]} for one in _EXTRA_KINDS]
    return SimulatorSettings.load(
        database_url=database_url,
        keys_dir=keys.directory,
        keys_password=PASSWORD,
        kinds=[*usual, *extra],
        behaviour={"validation_delay_s": 0.0, "redelivery_s": 0.5},
    )


def connector_settings(keys: DemoKeys, url: str) -> dict[str, Any]:
    """The table [connectors.smev] of these tests."""
    return {
        "type": "smev3",
        "endpoints": {version: f"{url}/smev/v{version}/ws" for version in ("1.1", "1.2", "1.3")},
        "versions": {"http://kvs.pfr.com/snils-by-additionalData/1.0.1": "1.2"},
        "key_file": str(keys.key("fund")),
        "certificate_file": str(keys.certificate("fund")),
        "password_env": PASSWORD_ENV,
        "trust_dir": str(keys.trust),
        "operator_subject": ["ОГРН=1020000000002"],
        "poll_floor_s": 0.05,
        "poll_interval_s": POLL_S,
        "polling_penalty_s": PENALTY_S,
        "renew_pause_s": 0.3,
        "overflow_pause_s": 0.3,
        "polls": [
            {"name": "requests", "operation": "requests", "version": "1.2"},
            {"name": "requests-1-1", "operation": "requests", "version": "1.1"},
            {"name": "requests-1-3", "operation": "requests", "version": "1.3"},
            {"name": "node", "operation": "requests", "version": "1.2", "node": "N-7"},
            {"name": "responses", "operation": "responses", "version": "1.2"},
            {"name": "status", "operation": "status", "version": "1.2", "interval_s": STATUS_POLL_S, "jitter": 0.0},
            {"name": "status-1-3", "operation": "status", "version": "1.3"},
        ],
    }


@dataclass
class FarSide:
    """The simulator behind HTTP, whose answers may be bent."""

    url: str
    control: SimulatorControl
    bends: list[Bend]

    def bend(self, operation: str, work: Callable[[bytes], bytes]) -> Bend:
        made = Bend(operation, work)
        self.bends.append(made)
        return made


@pytest.fixture(scope="module")
def far_side(keys: DemoKeys, new_database: Callable[[], str]) -> Iterator[FarSide]:
    bends: list[Bend] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "create_app", lambda settings: create_app(settings, _bent(settings, bends)))
        with server.running(simulator_settings(keys, new_database())) as url:
            yield FarSide(url, SimulatorControl(url), bends)


@pytest.fixture(scope="module")
def connector(keys: DemoKeys, far_side: FarSide) -> Iterator[dict[str, Any]]:
    """The table [connectors.smev], and the password of its key in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_ENV, PASSWORD)
        yield connector_settings(keys, far_side.url)


@pytest.fixture(scope="module")
def house(
    far_side: FarSide, connector: dict[str, Any], new_database: Callable[[], str], eventually: Any
) -> Iterator[House]:
    """The bus with the routes of the checkout, everything running."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(receivers, "REST_MOST_S", 0.2)  # a source that failed rests for seconds
        patch.setattr(receivers, "LOOK_S", 0.05)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="omsbus-acceptance-"))
        settings = Settings(
            database_url=new_database(),
            data_dir=Path(folder) / "data",
            sweep_s=0.2,
            connectors={"smev": connector},
        )
        bus = stack.enter_context(Bus.open(settings))
        bus.start(intake=True, work=True, schedule=False)
        yield House(bus, far_side.control, far_side.bends, eventually)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Questions to СФР wait for half a second."""
    monkeypatch.setenv("OMSBUS_SFR_REPLY_WITHIN_S", "0.5")
    sfr_settings.settings.cache_clear()
    yield
    sfr_settings.settings.cache_clear()


def _bent(settings: SimulatorSettings, bends: list[Bend]) -> BentSimulator:
    made = BentSimulator(settings)
    made.bends = bends
    return made
