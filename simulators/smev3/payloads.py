"""Which invented documents scripted participants send and answer with, by kind. They come from simulators.payloads."""

from __future__ import annotations

import random
from collections.abc import Callable

from lxml import etree

from simulators.payloads import ffoms, fns, people, sfr, zags

REQUESTS: dict[str, Callable[[int, int], bytes]] = {
    "zags.birth": lambda seed, records: zags.birth_notice(seed, records),
    "zags.death": lambda seed, records: zags.death_notice(seed, records),
    "fns.egrul": lambda seed, records: fns.news(seed, records),
    "ffoms.services": lambda seed, _records: ffoms.query(people.person(random.Random(f"epgu-{seed}"))),
}
"""Kind to maker of (seed, records)."""

ANSWERS: dict[str, Callable[[etree._Element], bytes]] = {
    "sfr.snils": lambda request: sfr.answer(etree.tostring(request, encoding="utf-8")),
}
"""Kind to maker of an answer from the request document."""


def make_request(kind: str, seed: int, records: int = 1) -> bytes:
    """A made-up request of this kind with so many records. KeyError for a kind without a maker."""
    return REQUESTS[kind](seed, records)
