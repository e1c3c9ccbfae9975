"""Bodies as text for an editor, and what a change looks like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import editing
from core.errors import MalformedXml, Permanent, SchemaViolation

pytestmark = pytest.mark.feature("BUS-04")
PET = '<?xml version="1.0" encoding="windows-1251"?><pet><name>Мурка</name><!-- кошка --><born/></pet>'


def test_xml_is_laid_out_and_its_declaration_says_what_will_be_sent() -> None:
    text = editing.text_of(PET.encode("windows-1251"))
    assert text.splitlines() == [
        '<?xml version="1.0" encoding="UTF-8"?>', "<pet>", "  <name>Мурка</name>", "  <!-- кошка -->", "  <born/>",
        "</pet>",
    ]  # fmt: skip
    assert editing.text_of(editing.octets_of(text)) == text


def test_a_text_that_keeps_a_foreign_declaration_is_sent_as_utf8() -> None:
    octets = editing.octets_of("\ufeff" + PET.replace("><", ">\r\n<"))
    assert octets.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<pet>')
    assert "Мурка" in octets.decode()


def test_what_is_broken_is_shown_as_it_is_so_that_it_can_be_mended() -> None:
    broken = '<?xml version="1.0" encoding="windows-1251"?><pet><name>Мурка</pet>'
    assert editing.text_of(broken.encode("windows-1251")) == broken
    assert editing.text_of("<кот>".encode("utf-16")) == "<кот>"


def test_what_is_no_text_is_refused() -> None:
    for octets in (b"%PDF\xff\xfe\x00", b"a\x00b", b"\xff\xff"):
        with pytest.raises(Permanent, match="не читается как текст"):
            editing.text_of(octets)


def test_json_is_laid_out_unless_that_would_change_it() -> None:
    assert editing.text_of('{"имя":"Ян","сумма":1.5}'.encode()) == '{\n  "имя": "Ян",\n  "сумма": 1.5\n}\n'
    for delicate in ('{"сумма":1.50000000000000000001}', '{"а":1,"а":2}', "[1e400]", "не JSON"):
        assert editing.text_of(delicate.encode()) == delicate


def test_five_megabytes_and_lone_surrogates_are_refused_with_a_sentence() -> None:
    with pytest.raises(Permanent, match="больше 512 КБ"):
        editing.octets_of("ы" * 5_000_000)
    with pytest.raises(Permanent, match="нет в Юникоде"):
        editing.octets_of("\ud800")


def test_a_difference_shows_the_changed_place_with_what_is_around_it() -> None:
    old = [f"строка {n}" for n in range(20)]
    new = [*old[:10], "строка десять", *old[11:15], *old[16:], "ещё одна"]
    rows = editing.difference("\n".join(old), "\n".join(new))
    kinds = [row.kind for row in rows]
    assert kinds == [
        "gap", *["same"] * 3, "changed", *["same"] * 4, "removed", *["same"] * 4, "added",
    ]  # fmt: skip
    assert rows[0].skipped == 7
    changed = rows[4]
    assert (changed.left_no, changed.left, changed.right) == (11, ("строка ", "10", ""), ("строка ", "десять", ""))
    assert (rows[9].left_no, rows[9].right_no) == (16, None)
    assert (rows[-1].left_no, rows[-1].right_no) == (None, 20)


def test_nothing_changed_is_one_gap() -> None:
    assert [(row.kind, row.skipped) for row in editing.difference("a\nb", "a\nb")] == [("gap", 2)]
    assert editing.difference("", "") == []


def test_a_rewritten_giant_is_compared_as_a_block() -> None:
    old = "\n".join(f"а{n}" for n in range(30_000))
    new = "\n".join(f"б{n}" for n in range(30_000))
    rows = editing.difference(old, new)
    assert len(rows) == editing.SHOWN_MOST
    assert {row.kind for row in rows} == {"changed"}


@given(st.lists(st.sampled_from("абв"), max_size=12), st.lists(st.sampled_from("абв"), max_size=12))
def test_a_difference_tells_both_texts(old: list[str], new: list[str]) -> None:
    rows = editing.difference("\n".join(old), "\n".join(new))
    seen_left = {row.left_no: "".join(row.left) for row in rows if row.left_no}
    seen_right = {row.right_no: "".join(row.right) for row in rows if row.right_no}
    assert all(old[number - 1] == line for number, line in seen_left.items())
    assert all(new[number - 1] == line for number, line in seen_right.items())
    skipped = sum(row.skipped for row in rows)
    assert (len(seen_left) + skipped, len(seen_right) + skipped) == (len(old), len(new))


def test_a_fault_names_the_lines_and_gives_no_advice_to_the_sender() -> None:
    told = editing.fault_of(
        SchemaViolation(
            "Документ не соответствует схеме a.xsd: строка 6, Дата. "
            "Отправитель должен исправить данные и прислать новое сообщение",
            detail="6: Element '{a}Дата': 'вчера' is not a valid value of the atomic type 'xs:date'.\n12: other\n(+)",
        )
    )
    assert told.lines == ((6, "Дата: «вчера» — не дата ГГГГ-ММ-ДД"), (12, "other"))
    assert told.reason == "Документ не соответствует схеме a.xsd: строка 6, Дата."
    malformed = editing.fault_of(MalformedXml("Это не правильный XML (строка 2): исправьте документ у отправителя."))
    assert malformed.reason.endswith("исправьте документ.")


def test_json_of_any_shape_survives_being_laid_out() -> None:
    body = {"a": [1, {"b": None, "в": True}], "c": '\u2028 \\ "'}
    assert json.loads(editing.text_of(json.dumps(body).encode())) == body
