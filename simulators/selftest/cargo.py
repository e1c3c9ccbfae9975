"""What the self-test sends through the bus: numbered messages, each with what must become of it.

The body of message `n` follows from (seed, n) alone, so a repeat is the same bytes.
"""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from typing import Final

FIRST_QUEUE: Final = "selftest.register"
SECOND_QUEUE: Final = "selftest.follow"
PARTNER: Final = "partner"
FILES: Final = "files"

ORDERED_KEYS = 24
"""Keys whose messages are sent one after another, so that their order is known."""
PAD_SMALL_BYTES, PAD_PAYLOAD_BYTES, PAD_BLOB_BYTES = 200, 8_000, 60_000
"""Within the row, in the payload table, in the blob store (for the settings of simulators.selftest.world)."""

POISONS: Final = {
    "refuse": "обработчик отказывается (Permanent)",
    "defect": "ошибка в программе обработчика",
    "schema": "нет обязательного поля",
    "broken": "тело — не JSON",
}


@dataclass(frozen=True, slots=True)
class Cargo:
    """One message.

    what    "ok", "retry" (fails `times` times first) or a kind of POISONS
    key     order key, "" for none
    to      sinks to which its handler emits one message each
    follow  its handler emits one message to the second route, and that one emits to the sinks
    """

    n: int
    what: str
    key: str
    times: int
    to: tuple[str, ...]
    follow: bool
    body: bytes

    @property
    def poison(self) -> bool:
        return self.what in POISONS

    @property
    def steps(self) -> tuple[str, ...]:
        """Effects that must be in the registry, once each."""
        if self.poison:
            return ()
        return ("first", "second") if self.follow else ("first",)


def make(seed: int, n: int, *, key: str = "", sinks: tuple[str, ...] = (PARTNER,)) -> Cargo:
    """Message `n`; with a key it is a healthy one, since what is poisonous stops its key for good."""
    dice = random.Random(f"{seed}/{n}")
    what = dice.choices(("ok", "retry", *POISONS), (90, 4, 1.5, 1.5, 1.5, 1.5))[0]
    times = dice.randint(1, 3) if what == "retry" else 0
    if key and what in POISONS:
        what = "ok"
    if not key and what not in POISONS and dice.random() < 0.5:
        key = f"person-{dice.randrange(200)}"  # few enough that they meet, no order known to the sender
    to = tuple(sink for sink in sinks if dice.random() < (0.5 if sink == PARTNER else 0.25))
    follow = dice.random() < 0.3
    pad = dice.choices((PAD_SMALL_BYTES, PAD_PAYLOAD_BYTES, PAD_BLOB_BYTES), (90, 6, 4))[0]
    values = {"n": n, "what": what, "key": key, "times": times, "to": to, "follow": follow}
    if what == "schema":
        del values["what"]
    values["pad"] = base64.b64encode(dice.randbytes(dice.randint(pad // 2, pad))).decode()
    body = json.dumps(values).encode()
    if what == "broken":
        body = body[:-2]
    return Cargo(n, what, key, times, to, follow, body)


def number_of(body: bytes) -> int | None:
    """The number in a body, however broken; None when there is none."""
    head = body[:40].decode("ascii", "replace")
    digits = head.partition('"n": ')[2].split(",")[0].strip()
    return int(digits) if digits.isdigit() else None
