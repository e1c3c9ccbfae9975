"""Masking: whatever a document says is hidden, unless its kind says that it is not personal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from core import discovery, masking
from core.masking import MASK, NOTHING_SHOWN, mask, masked_body, masked_subject, masked_values
from core.settings import HOUSE

pytestmark = pytest.mark.feature("BUS-14")

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.from_regex(r"[А-ЯЁа-яё0-9]{3,12}", fullmatch=True)
NAMES = st.sampled_from(["Имя", "Person", "Код", "ИдСвед", "p:Имя", "p:ИдСвед", "q:x"])
SECRET, OPEN = "Тайна", "Открыто"


def said(name: str) -> str:
    return OPEN if name.rpartition(":")[2] == "ИдСвед" else SECRET


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> str:
    """An element: what must be hidden says SECRET, what is plain says OPEN."""
    name = draw(NAMES)
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    attributes = "".join(f' {one}="{said(one)} &amp; {draw(WORDS) if said(one) == OPEN else SECRET}"' for one in names)
    inner = draw(st.sampled_from(["", " \n", said(name), f"<![CDATA[{said(name)}]]>"]))
    for _ in range(draw(st.integers(0, 3 if depth else 0))):
        remark = draw(st.sampled_from(["", f"<!--{SECRET}-->", f"<?{SECRET} {SECRET}?>"]))
        inner += remark + draw(documents(depth - 1)) + draw(st.sampled_from(["", " ", SECRET]))
    spaces = ' xmlns:p="urn:p" xmlns:q="urn:q"' if depth == 3 else ""
    return f"<{name}{spaces}{attributes}>{inner}</{name}>"


@FEW
@given(documents())
def test_no_word_of_a_document_survives_but_the_plain_ones(document: str) -> None:
    masked = masked_body(document.encode(), {"ИдСвед"}).decode()
    assert SECRET not in masked
    root = etree.fromstring(masked)
    texts = [one.text for one in root.iter("{*}ИдСвед")]
    assert all(text is None or MASK not in text or text.startswith(OPEN) for text in texts)
    assert masked.count(OPEN) == document.count(OPEN)


@FEW
@given(documents())
def test_the_structure_stays(document: str) -> None:
    masked = etree.fromstring(masked_body(document.encode(), ()))
    original = list(etree.fromstring(document).iter("*"))
    assert [one.tag for one in masked.iter()] == [one.tag for one in original]
    assert [list(one.attrib) for one in masked.iter()] == [list(one.attrib) for one in original]


SCALARS = st.one_of(WORDS, st.integers(), st.floats(allow_nan=False), st.booleans())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.just("name"), inner, max_size=3),
    max_leaves=20,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in (key, *leaves(inner))]
    if isinstance(value, list):
        return [one for inner in value for one in leaves(inner)]
    return [value]


@FEW
@given(VALUES)
def test_of_json_only_names_of_fields_survive(value: Any) -> None:
    masked = json.loads(masked_body(json.dumps(value).encode(), ()))
    assert all(one == "name" or str(one).startswith(MASK) for one in leaves(masked))


def test_a_plain_field_of_json_stays_and_what_is_nested_in_it_does_not() -> None:
    body = b'{"person_id": 17, "name": "X", "dead": true, "since": null, "source": {"login": "ivanov"}}'
    assert json.loads(masked_body(body, {"person_id", "source"})) == {
        "person_id": 17,
        "name": MASK,
        "dead": MASK,
        "since": None,
        "source": {"login": MASK},
    }


def test_comments_instructions_and_what_stands_outside_the_root_go() -> None:
    body = "<?вид Петров?><!-- Иванов --><a>Сидоров<!-- Кузнецов -->Орлов<?p Лебедев?></a><!-- Зайцев -->".encode()
    assert masked_body(body, ()).decode() == f"<a>{MASK}</a>"


def test_namespaces_and_blank_texts_stay() -> None:
    assert masked_body(b'<p:a xmlns:p="urn:x">\n  <p:b/>\n</p:a>', ()) == b'<p:a xmlns:p="urn:x">\n  <p:b/>\n</p:a>'


@pytest.mark.parametrize(
    "octets",
    [
        "<a>Иванов".encode(),
        '<!DOCTYPE a [<!ENTITY x "Иванов">]><a>&x;</a>'.encode(),
        "ФИО;Иванов Иван".encode("cp1251"),
        '{"ФИО": "Иванов"'.encode(),
        b"\x00\xff\xfe",
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=["torn xml", "entity", "text", "torn json", "bytes", "deep json"],
)
def test_what_cannot_be_read_becomes_a_sentence(octets: bytes) -> None:
    assert masked_body(octets, ()) == NOTHING_SHOWN.encode()


def test_what_is_too_long_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "MASKED_MOST_BYTES", 10)
    assert masked_body(b"<a>0123456789</a>", ()) == NOTHING_SHOWN.encode()


def test_other_encodings_are_hidden_too() -> None:
    for encoding in ("windows-1251", "utf-16"):
        body = f'<?xml version="1.0" encoding="{encoding}"?><a>Иванов</a>'.encode(encoding)
        assert masked_body(body, ()).decode() == f"<a>{MASK}</a>"


def test_nothing_and_blanks_stay_what_they_are() -> None:
    assert (mask(""), mask(" \n"), mask("Иванов")) == ("", " \n", MASK)
    assert masked_body(b"", ()) == b""
    assert masked_values({"a": "Иванов", "b": "1"}, {"b"}) == {"a": MASK, "b": "1"}


def test_the_owner_of_a_certificate_is_shown_unless_it_is_a_person() -> None:
    system = "CN=СМЭВ, O=Минцифры России, L=Москва, ИНН ЮЛ=7710474375"
    assert masked_subject(system) == system
    person = "CN=Громова Алиса, SN=Громова, G=Алиса Юрьевна, O=ТФОМС, СНИЛС=04217324416, E=a@example.org"
    assert masked_subject(person) == f"CN={MASK}, SN={MASK}, G={MASK}, O=ТФОМС, СНИЛС={MASK}, E={MASK}"
    assert masked_subject("Громова Алиса") == MASK


_PERSONAL = ("Фамилия", "Имя", "Отчество", "Snils", "FamilyName", "BirthDate", "UnitedPolicyNumber", "СерНомДок", "ИНН")


def test_no_kind_calls_a_name_plain_that_is_personal() -> None:
    for route in discovery.routes():
        assert not route.plain & set(_PERSONAL), route.name


def test_of_our_own_samples_no_name_survives() -> None:
    for file in sorted((HOUSE / "schemas" / "zags").glob("**/valid/*.xml")):
        masked = masked_body(file.read_bytes(), {"ИдСвед", "НаимЗАГС"}).decode()
        root = etree.fromstring(masked.encode())
        for name in ("Фамилия", "ДатаРождКаленд", "СерНомДок", "НомерЗапис"):
            assert {one.text for one in root.iter(f"{{*}}{name}") if one.text} <= {MASK}
            assert {one.get(name) for one in root.iter("*") if one.get(name)} <= {MASK}
