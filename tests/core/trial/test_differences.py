"""Places of documents, changes between them, groups of changes. Pure."""

from __future__ import annotations

import copy
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from core.trial.differences import (
    EXAMPLES_MOST,
    FIELDS,
    GROUPS_MOST,
    OUTPUT,
    Change,
    Groups,
    between,
    places_of_value,
    places_of_xml,
)


def _xml(text: str) -> dict[str, str]:
    return places_of_xml(etree.fromstring(text))


def test_places_of_xml() -> None:
    assert _xml('<a x="1"><b>t</b><c/><b>u<i>v</i>w</b></a>') == {
        "a/@x": "1", "a/b[1]": "t", "a/c": "", "a/b[2]": "uw", "a/b[2]/i": "v",
    }  # fmt: skip


@pytest.mark.feature("BUS-05")
@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("<a><b>1</b></a>", "<a><b>2</b></a>", {("a/b", "изменилось")}),
        ("<a><b>1</b></a>", "<a><b>1</b><c>2</c></a>", {("a/c", "появилось")}),
        ('<a x="1"><b/></a>', "<a><b/></a>", {("a/@x", "исчезло")}),
        ('<a xmlns="urn:1"><b/></a>', '<a xmlns="urn:2"><b/></a>', {("a/@xmlns", "изменилось")}),
        ("<a>\n  <b>1</b>\n</a>", "<a><b>1</b></a>", set()),
        ("<a> 1</a>", "<a>1</a>", {("a", "изменилось")}),
    ],
)
def test_changes_between_documents(old: str, new: str, kinds: set[tuple[str, str]]) -> None:
    assert {(one.path, one.kind) for one in between(OUTPUT, _xml(old), _xml(new))} == kinds


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=15,
)


@settings(max_examples=100)
@given(value=VALUES)
def test_a_value_does_not_differ_from_itself_and_an_added_field_does(value: Any) -> None:
    assert between(FIELDS, places_of_value(value), places_of_value(copy.deepcopy(value))) == []
    more = {"field": value, "added": "x"}
    [change] = between(FIELDS, places_of_value({"field": value}), places_of_value(more))
    assert (change.path, change.kind) == ("added", "появилось")


@pytest.mark.feature("BUS-05")
def test_a_group_counts_messages_and_places_and_keeps_a_few_examples() -> None:
    groups = Groups()
    for n in range(37):
        groups.add(UUID(int=n), [Change(OUTPUT, f"a/b[{k}]/c", "1", "2") for k in (1, 2)])
    groups.add(UUID(int=99), [Change(OUTPUT, "a/b[1]/c", "1", None)])
    first, second = groups.all()
    assert (first.path, first.kind, first.messages, first.times) == ("a/b/c", "изменилось", 37, 74)
    assert len(first.examples) == EXAMPLES_MOST
    assert (second.kind, second.messages) == ("исчезло", 1)


def test_more_groups_than_a_person_reads_are_counted_and_not_kept() -> None:
    groups = Groups()
    groups.add(UUID(int=1), [Change(OUTPUT, f"a/p{n}x", "1", "2") for n in range(GROUPS_MOST + 10)])
    assert len(groups.all()) == GROUPS_MOST
    assert groups.left_out == 1


def test_values_do_not_stand_in_a_text_of_the_change_itself() -> None:
    assert "ИВАНОВ" not in repr(Change(OUTPUT, "a", "ИВАНОВ", None))
