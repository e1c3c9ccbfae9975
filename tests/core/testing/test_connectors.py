"""The contract suite tests itself: an honest connector passes every rule, each planted defect breaks its own rule."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.connector import Connector, Prepared, Receipt
from core.errors import BusError, Permanent, Unavailable
from core.message import Message
from core.testing.connectors import RULES, ConnectorContract, Offered

PASSWORD = "пароль-тайный-4711"


@dataclass
class Post:
    """The far side: a post office in memory."""

    waiting: dict[str, bytes] = field(default_factory=dict)
    handed_out: set[str] = field(default_factory=set)
    arrived: list[tuple[str, bytes]] = field(default_factory=list)
    away: bool = False
    mischief: str = ""
    contacts: int = 0
    numbers: int = 0

    def touch(self) -> str:
        """Every call of the connector begins here."""
        self.contacts += 1
        if self.away:
            raise ConnectionRefusedError
        mischief, self.mischief = self.mischief, ""
        return mischief


class Letter:
    """A delivery of the post office."""

    def __init__(self, post: Post, message: Message, defect: str) -> None:
        self.message = message
        self._post = post
        self._defect = defect
        bad = message.received is not None and message.received.startswith(b"BAD")
        self.problem = Permanent("Письмо испорчено: попросите другое") if bad else None
        if self.problem and defect == "bad as good":
            self.problem = None
        self._name = message.headers["name"]
        self._done = False

    def ack(self) -> None:
        if self._defect == "ack twice fails" and self._done:
            raise Permanent("Уже подтверждено: не повторяйте")
        if self._defect == "ack does nothing":
            return
        self._take()

    def reject(self, reason: Permanent) -> None:
        if self._defect != "reject does nothing":
            self._take()

    def _take(self) -> None:
        self._done = True
        self._post.touch()
        self._post.waiting.pop(self._name, None)


class Memory:
    """The connector of the post office, its source and its sink in one; `defect` plants one fault."""

    interval_s = 1.0

    def __init__(self, post: Post, defect: str) -> None:
        self.name = "post"
        self.settings = f"post, password {PASSWORD if defect == 'secret in settings' else '***'}"
        self.sources = {("in" if defect == "source name" else "post.in"): self}
        self.sinks = {"post": self}
        self._post = post
        self._defect = defect
        self._open = False
        self._sent: set[str] = set()
        if defect == "reads a file at construction":
            Path(__file__).read_text(encoding="utf-8")[:0].encode()
            with open("/etc/hostname", "rb"):
                pass
        if defect == "connects at construction":
            with socket.socket() as client:
                client.connect_ex(("127.0.0.1", 9))

    def open(self) -> None:
        if self._defect == "open twice fails" and self._open:
            raise Permanent("Уже открыто: сначала закройте")
        self._open = True
        if self._defect == "logs the secret":
            logging.getLogger("post").debug("opening with %s", PASSWORD)

    def close(self) -> None:
        self._open = False

    def check(self) -> str:
        if self._defect == "check takes a message" and self._post.waiting:
            self._post.waiting.pop(next(iter(self._post.waiting)))
        try:
            self._post.touch()
        except OSError:
            if self._defect != "check lies":
                raise Unavailable("Почта недоступна: проверьте адрес") from None
        return "Mail is fine" if self._defect == "check in English" else "Почта отвечает"

    def receive(self) -> Sequence[Letter]:
        if self._defect == "stays broken" and getattr(self, "_hurt", False):
            raise Unavailable("Почта недоступна: проверьте адрес")
        try:
            mischief = self._post.touch()
        except OSError:
            self._hurt = True
            if self._defect == "outage is an empty queue":
                return []
            raise Unavailable("Почта недоступна: проверьте адрес") from None
        if mischief:
            if self._defect == "leaks ValueError":
                raise ValueError(mischief)
            raise Unavailable("Почта отвечает непонятно: проверьте адрес")
        for name, body in self._post.waiting.items():
            if name in self._post.handed_out:
                continue
            self._post.handed_out.add(name)
            if self._defect == "acks at once":
                self._post.waiting.pop(name)
            external_id = name
            if self._defect == "new id each time":
                self._post.numbers += 1
                external_id = f"{name}-{self._post.numbers}" if self._post.numbers > 1 else name
            message = Message(
                kind="letter",
                body=body.strip() if self._defect == "trims the body" else body,
                received=b"" if self._defect == "loses bad bytes" and body.startswith(b"BAD") else body,
                source="post.in" if self._defect == "wrong source" else "post",
                external_id=external_id,
                headers={"name": name} | ({"password": PASSWORD} if self._defect == "secret in headers" else {}),
            )
            if self._defect == "loses bad bytes" and body.startswith(b"BAD"):
                message = message.but(body=b"")
                letter = Letter(self._post, message, "")
                letter.problem = Permanent("Письмо испорчено: попросите другое")
                return [letter]
            return [Letter(self._post, message, self._defect)]
        return []

    def prepare(self, message: Message) -> Prepared:
        if not message.body and self._defect != "accepts anything":
            raise Permanent("Пустое письмо: напишите что-нибудь")
        if self._defect == "prepare phones home":
            self._post.touch()
        return Prepared("same" if self._defect == "one id for all" else str(message.id))

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        try:
            mischief = self._post.touch()
        except OSError as error:
            if self._defect == "leaks OSError":
                raise
            raise Unavailable("Почта недоступна: проверьте адрес", detail=repr(error)) from None
        if mischief:
            raise Unavailable("Почта отвечает непонятно: проверьте адрес")
        known = {external_id for external_id, _ in self._post.arrived}
        if prepared.external_id not in known or self._defect == "sends twice":
            body = message.body + b"\n" if self._defect == "adds a line end" else message.body
            self._post.arrived.append((prepared.external_id, body))
        return Receipt("Принято")


class Harness:
    """The post office at the suite's command."""

    exceptions: Mapping[str, str] = {}
    secrets = (PASSWORD,)
    patience = 1
    sink = "post"

    def __init__(self, defect: str = "") -> None:
        self.source = "in" if defect == "source name" else "post.in"
        self.post = Post()
        self._defect = defect
        self._number = 0

    def connector(self) -> Connector:
        return Memory(self.post, self._defect)

    def offer(self) -> Offered:
        return self._put(b" letter ")

    def offer_bad(self) -> Offered:
        return self._put(b"BAD letter ")

    def _put(self, body: bytes) -> Offered:
        self._number += 1
        name = f"n{self._number}"
        self.post.waiting[name] = body
        return Offered(name, body)

    def intact(self, message: Message, offered: Offered) -> bool:
        return message.body == offered.content

    def time_passes(self) -> None:
        self.post.handed_out.clear()

    def outgoing(self) -> Message:
        self._number += 1
        return Message(kind="letter", body=b"letter %d" % self._number, queue="post")

    def unfit(self) -> Sequence[Message]:
        return [Message(kind="letter", body=b"", queue="post")]

    def arrived(self, message: Message) -> int:
        return sum(body == message.body for _, body in self.post.arrived)

    def contacts(self) -> int:
        return self.post.contacts

    def break_down(self) -> None:
        self.post.away = True

    def restore(self) -> None:
        self.post.away = False

    def misbehaviours(self) -> Mapping[str, Callable[[], None]]:
        return {"garbage": lambda: setattr(self.post, "mischief", "garbage")}


DEFECTS = {
    "reads a file at construction": {"construction_does_no_io"},
    "connects at construction": {"construction_does_no_io"},
    "source name": {"names_agree"},
    "wrong source": {"names_agree"},
    "check in English": {"check_tells_the_truth_when_all_is_well"},
    "check lies": {"check_fails_when_the_far_side_is_away"},
    "check takes a message": {"check_moves_no_message"},
    "trims the body": {"what_comes_in_is_untouched"},
    "adds a line end": {
        "what_goes_out_is_untouched",
        "sending_recovers_after_an_outage",
        "a_repeated_send_takes_effect_once",
    },
    "new id each time": {
        "unacknowledged_comes_again",
        "unacknowledged_survives_reopening",
        "a_bad_message_is_kept_with_its_reason",
    },
    "acks at once": {
        "unacknowledged_comes_again",
        "unacknowledged_survives_reopening",
        "ack_is_idempotent",
        "a_bad_message_is_kept_with_its_reason",
    },
    "ack does nothing": {"acknowledged_does_not_come_again", "ack_is_idempotent"},
    "ack twice fails": {"ack_is_idempotent"},
    "reject does nothing": {"rejected_does_not_come_again", "a_bad_message_is_kept_with_its_reason"},
    "bad as good": {"a_bad_message_is_kept_with_its_reason"},
    "loses bad bytes": {"a_bad_message_is_kept_with_its_reason"},
    "outage is an empty queue": {"receiving_recovers_after_an_outage"},
    "stays broken": {"receiving_recovers_after_an_outage"},
    "leaks OSError": {"sending_recovers_after_an_outage"},
    "leaks ValueError": {"only_bus_errors_leak"},
    "prepare phones home": {"prepare_talks_to_nobody"},
    "one id for all": {"prepare_talks_to_nobody"},
    "sends twice": {"a_repeated_send_takes_effect_once"},
    "open twice fails": {
        "open_and_close_are_idempotent",
        "receiving_recovers_after_an_outage",
        "sending_recovers_after_an_outage",
    },
    "accepts anything": {"an_unfit_message_is_refused"},
    "secret in settings": {"no_secret_is_shown"},
    "secret in headers": {"no_secret_is_shown"},
    "logs the secret": {"no_secret_is_shown"},
}
"""Planted defect → the rules that catch it: its own, and those that cannot work at all with such a connector."""


class TestHonestConnector(ConnectorContract):
    @pytest.fixture
    def harness(self) -> Harness:
        return Harness()


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught_by_its_rule_and_by_no_other(defect: str) -> None:
    caught = set()
    for name, rule in RULES.items():
        try:
            rule(Harness(defect))
        except (AssertionError, BusError):
            caught.add(name)
    assert caught == DEFECTS[defect]


def test_every_rule_has_a_defect_that_only_it_or_its_kin_catches() -> None:
    assert set().union(*DEFECTS.values()) == set(RULES)


def test_an_exception_for_an_unknown_rule_is_an_error() -> None:
    harness = Harness()
    harness.exceptions = {"no_such_rule": "нет причины"}
    with pytest.raises(AssertionError, match="no_such_rule"):
        ConnectorContract().test_contract(RULES["names_agree"], harness)


def test_an_exception_is_skipped_with_its_reason() -> None:
    harness = Harness()
    harness.exceptions = {"names_agree": "далёкая сторона не называет себя"}
    with pytest.raises(pytest.skip.Exception, match="далёкая сторона"):
        ConnectorContract().test_contract(RULES["names_agree"], harness)
