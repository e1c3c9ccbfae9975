"""Clients of the self-test: POST under an Idempotency-Key until the bus says 202, and remember what it said.

Each client thread sends the messages of one ordered key one after another: the next only when the last was
acknowledged, so the order in which they must take effect is known from outside.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulators.selftest import cargo
from simulators.selftest.cargo import FIRST_QUEUE, ORDERED_KEYS, Cargo

CLIENTS = 6
ANSWER_S = 8.0
AGAIN_S = 0.15
RECENT = 400
"""Acknowledged messages that may be sent once more."""
ORDERED_SHARE = 0.4


@dataclass(slots=True)
class Sent:
    """One message as its sender knows it.

    message_id       what the bus answered, "" while nothing was acknowledged
    channel          "http" or "file"
    began, accepted  seconds since the epoch: the first attempt, the acknowledgement
    """

    cargo: Cargo
    began: float
    channel: str = "http"
    message_id: str = ""
    accepted: float = 0.0
    attempts: int = 0
    doubts: int = 0
    """Attempts whose outcome the client does not know."""


@dataclass
class Account:
    """What the clients know. Thread-safe by `lock`.

    answers    status of every answer → how many
    quarrels   what a client was told that contradicts what it was told before, in Russian
    """

    sent: dict[int, Sent] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    quarrels: list[str] = field(default_factory=list)
    repeats: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def acknowledged(self) -> int:
        return sum(1 for one in list(self.sent.values()) if one.accepted)


def key_of(n: int) -> str:
    """Idempotency-Key of message `n`."""
    return f"st-{n}"


class Load:
    """`start`, then `stop`; `account` is what came of it."""

    def __init__(
        self, ports: Sequence[int], *, seed: int, per_second: float, sinks: tuple[str, ...], clients: int = CLIENTS
    ) -> None:
        self.account = Account()
        self._ports = tuple(ports)
        self._seed = seed
        self._pause_s = clients / per_second
        self._sinks = sinks
        self._numbers = iter(range(1, 10**9))
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._recent: list[Sent] = []
        self.duplicate_share = 0.02
        """Part of the messages that are sent twice in a row, acknowledged or not."""
        self._threads = [
            threading.Thread(target=self._run, args=(place,), name=f"client {place}", daemon=True)
            for place in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, patience_s: float) -> None:
        """No new messages; the ones in doubt are repeated for so long at most."""
        self._deadline = time.monotonic() + patience_s
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def next_number(self) -> int:
        """Numbers are shared with whoever brings messages by another way."""
        with self.account.lock:
            return next(self._numbers)

    def again(self, how_many: int, dice: random.Random) -> int:
        """Send acknowledged messages once more, in another order, from a thread of the caller's."""
        with self.account.lock:
            chosen = dice.sample(self._recent, min(how_many, len(self._recent)))
        client = _Client(self._ports, dice)
        for sent in chosen:
            self._post(client, sent)
        client.close()
        return len(chosen)

    def race(self, how_many: int) -> int:
        """The same new message by two connections at the same moment, again and again."""
        for _ in range(how_many):
            sent = self._new("")
            barrier = threading.Barrier(2)

            def post(sent: Sent = sent, barrier: threading.Barrier = barrier) -> None:
                client = _Client(self._ports, random.Random(sent.cargo.n))
                barrier.wait()
                self._insist(client, sent)
                client.close()

            pair = [threading.Thread(target=post) for _ in range(2)]
            for one in pair:
                one.start()
            for one in pair:
                one.join()
        return how_many

    def _run(self, place: int) -> None:
        dice = random.Random(f"{self._seed}/client/{place}")
        client = _Client(self._ports, dice)
        keys = [f"ordered-{key}" for key in range(ORDERED_KEYS) if key % len(self._threads) == place]
        due = time.monotonic() + dice.random() * self._pause_s
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - 0.5) + self._pause_s  # what was missed is not made up for in a burst
            sent = self._new(dice.choice(keys) if keys and dice.random() < ORDERED_SHARE else "")
            if self._insist(client, sent) and dice.random() < self.duplicate_share:
                self._post(client, sent)
        client.close()

    def _new(self, key: str) -> Sent:
        n = self.next_number()
        sent = Sent(cargo.make(self._seed, n, key=key, sinks=self._sinks), time.time())
        with self.account.lock:
            self.account.sent[n] = sent
        return sent

    def _insist(self, client: _Client, sent: Sent) -> bool:
        """Until it is acknowledged or the time is over."""
        while not self._post(client, sent):
            if self._stopping.wait(AGAIN_S):
                if time.monotonic() > self._deadline:
                    return False
                time.sleep(AGAIN_S)
        return True

    def _post(self, client: _Client, sent: Sent) -> bool:
        status, message_id = client.post(FIRST_QUEUE, key_of(sent.cargo.n), sent.cargo.body)
        account = self.account
        with account.lock:
            account.answers[status] += 1
            sent.attempts += 1
            account.repeats += sent.attempts > 1
            if status == 0:
                sent.doubts += 1
            elif status == 202:
                if sent.message_id and sent.message_id != message_id:
                    account.quarrels.append(
                        f"№ {sent.cargo.n}: на повтор ответили другим номером ({sent.message_id} и {message_id})"
                    )
                if not sent.message_id:
                    sent.message_id, sent.accepted = message_id, time.time()
                    self._recent.append(sent)
                    del self._recent[:-RECENT]
            elif status < 500 and status not in (408, 429):
                account.quarrels.append(f"№ {sent.cargo.n}: ответ {status} на верный запрос")
        return status == 202


class _Client:
    """One keep-alive connection; another web process after each failure."""

    def __init__(self, ports: Sequence[int], dice: random.Random) -> None:
        self._ports = ports
        self._place = dice.randrange(len(ports))
        self._connection: http.client.HTTPConnection | None = None

    def post(self, queue: str, key: str, body: bytes) -> tuple[int, str]:
        """(status, message id); (0, "") when nobody knows what became of it."""
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            if self._connection is None:
                port = self._ports[self._place % len(self._ports)]
                self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
            self._connection.request("POST", f"/in/{queue}", body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
            message_id = str(json.loads(content)["message_id"]) if answer.status == 202 else ""
            if answer.status >= 500 or answer.will_close:
                self._next()
            return answer.status, message_id
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            self._next()
            return 0, ""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _next(self) -> None:
        self.close()
        self._place += 1


def per_second(cores: int) -> float:
    """Messages a second that leave room for the faults and everything else on the machine."""
    return min(200.0, 30.0 * cores)
