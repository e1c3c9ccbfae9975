"""Documents are laid out for reading, and what differs between two of them stands side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import formatted
from core.formatted import Pair, difference

pytestmark = pytest.mark.feature("BUS-10")


def test_xml_and_json_get_an_indent_and_other_text_stays() -> None:
    assert formatted.formatted(b"<a><b>1</b> <c/></a>") == "<a>\n  <b>1</b>\n  <c/>\n</a>"
    assert formatted.formatted(b'{"a":[1]}') == '{\n  "a": [\n    1\n  ]\n}'
    assert formatted.formatted("ФИО;Иванов".encode()) == "ФИО;Иванов"
    assert formatted.formatted(b"<a>") == "<a>"


def test_the_text_between_elements_is_not_lost() -> None:
    assert "one" in formatted.formatted(b"<a>one<b/>two</a>")
    assert "two" in formatted.formatted(b"<a>one<b/>two</a>")


def test_bytes_that_are_no_text_are_shown_harmless() -> None:
    assert formatted.raw(b"a\x00\xff\x1b[31m") == "a␀\\xff␛[31m"


def test_what_differs_stands_beside_each_other_with_its_surroundings() -> None:
    first = "<a>" + "".join(f"<b>{n}</b>" for n in range(20)) + "</a>"
    second = first.replace("<b>3</b>", "<b>three</b>").replace("<b>15</b>", "")
    made, whole = difference(first.encode(), second.encode())
    assert whole
    assert Pair("  <b>3</b>", "  <b>three</b>") in made
    assert Pair("  <b>15</b>", None) in made
    assert made.count(Pair(None, None)) == 1
    assert [one for one in made if one.is_same and one.first and "10" in one.first] == []


def test_layout_alone_is_no_difference() -> None:
    assert difference(b"<a><b/></a>", b"<a>\n   <b></b>\n</a>") == ([], True)


def test_of_long_documents_the_beginning_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formatted, "LINES_MOST", 3)
    assert difference(b"1\n2\n3\n4", b"1\n2\n3\n5") == ([], False)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_are_too_strange(first: bytes, second: bytes) -> None:
    made, _ = difference(first, second)
    shown = [one.first for one in made if one.first is not None]
    assert all(line in formatted.formatted(first).splitlines() for line in shown)
