"""Names of files: what may be used, what is temporary, how ours are made."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.files import names

NOW = datetime(2026, 11, 24, 12, 3, 9, tzinfo=UTC)


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "cp1251"]))
@settings(max_examples=300, deadline=None)
def test_no_name_of_the_far_side_is_ever_a_path_or_a_command(raw, encoding):
    name, problem = names.judge(raw, encoding)
    if problem:
        assert "\n" not in name
        assert "\r" not in name
        assert "\0" not in name
    else:
        assert name.encode(encoding) == raw
        assert not set(name) & set("/\\\r\n\0")
        assert name not in ("", ".", "..")


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_no_value_makes_a_name_of_ours_a_path_a_command_or_a_hidden_file(value):
    name = names.filled("{external_id}.xml", lambda _field: value)
    assert not set(name) & set('/\\:*?"<>|\r\n\0')
    assert not names.temporary(name.encode("utf-8", "replace"))
    assert name not in ("", ".", "..")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
@pytest.mark.parametrize("name", ["a.xml", "я" * 120 + ".xml", "x" * 251 + ".xml"])
def test_a_stamped_name_is_unique_fits_and_ends_as_the_name_does(name, encoding):
    made = {names.stamped(name, encoding, NOW) for _ in range(50)}
    assert len(made) == 50
    for one in made:
        assert len(one.encode(encoding)) <= names.NAME_MOST_BYTES
        assert one.startswith("20261124T120309-")
        assert one.endswith(".xml")


def test_a_file_half_way_to_being_deleted_knows_its_name():
    assert names.before_taken(names.taken("Файл 1.xml")) == "Файл 1.xml"
    assert names.before_taken(".a.part") == ""
