"""Messages of the self-test: the same bytes for the same number, and poison never under a key."""

from __future__ import annotations

import json

from simulators.selftest import cargo
from simulators.selftest.routes import Body


def test_the_same_number_is_the_same_message() -> None:
    assert cargo.make(1, 5, sinks=("partner", "files")) == cargo.make(1, 5, sinks=("partner", "files"))
    assert cargo.make(1, 5).body != cargo.make(2, 5).body


def test_every_kind_of_message_occurs_and_only_poison_does_not_fit_the_route() -> None:
    made = [cargo.make(3, n, key="ordered-1" if n % 3 == 0 else "") for n in range(1, 1500)]
    assert {one.what for one in made} == {"ok", "retry", *cargo.POISONS}
    for one in made:
        assert cargo.number_of(one.body) == one.n
        if one.what in ("broken", "schema"):
            continue
        body = Body.model_validate_json(one.body)
        assert (body.n, body.what, body.key, body.times, tuple(body.to), body.follow) == (
            one.n, one.what, one.key, one.times, one.to, one.follow,
        )  # fmt: skip


def test_poison_has_no_key_since_it_stops_its_key_for_good() -> None:
    made = [cargo.make(7, n, key="ordered-1" if n % 2 else "") for n in range(1, 1500)]
    assert any(one.poison for one in made)
    assert not [one for one in made if one.poison and one.key]


def test_bodies_come_in_every_way_of_being_stored() -> None:
    sizes = [len(cargo.make(1, n).body) for n in range(1, 1000)]
    assert min(sizes) < 1024
    assert any(4096 < size < 32768 for size in sizes)
    assert max(sizes) > 32768


def test_the_number_of_what_is_no_message_is_none() -> None:
    assert cargo.number_of(b"\xff\xfe") is None
    assert cargo.number_of(json.dumps({"m": 1}).encode()) is None
