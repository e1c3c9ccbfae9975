"""The XML door: what it lets in, and the reason in words for everything else."""

from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import MalformedXml
from core.xml import MAX_DEPTH, MAX_MARKS, MAX_TEXT_BYTES, TruncatedXml, parse

LEVELS = b"".join(b"<!ENTITY a%d '%b'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 12))
BOMB = b"<!DOCTYPE a [<!ENTITY a0 'aaaaaaaaaa'>" + LEVELS + b"]><a x='&a11;'>&a11;</a>"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("<a>Ёж</a>".encode(), "Ёж"),
        (b"\xef\xbb\xbf" + "<a>Ёж</a>".encode(), "Ёж"),
        ('<?xml version="1.0" encoding="UTF-8"?><a>Ёж</a>'.encode(), "Ёж"),
        ('<?xml version="1.0" encoding="windows-1251"?><a>Ёж</a>'.encode("cp1251"), "Ёж"),
        ('<?xml version="1.0" encoding="UTF-16"?><a>Ёж</a>'.encode("utf-16"), "Ёж"),
        (b"<a><![CDATA[<!DOCTYPE x>]]></a>", "<!DOCTYPE x>"),
        (b"<a>" + b"x" * (MAX_TEXT_BYTES - 1) + b"</a>", "x" * (MAX_TEXT_BYTES - 1)),
    ],
)
def test_a_good_document_in_an_encoding_we_take_is_read(data: bytes, text: str) -> None:
    assert parse(data).text == text


def test_nesting_up_to_the_limit_is_read_and_beyond_it_is_refused() -> None:
    assert parse(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH).tag == "a"
    for depth in (MAX_DEPTH + 1, 10_000):
        with pytest.raises(MalformedXml, match="Вложенность"):
            parse(b"<a>" * depth + b"</a>" * depth)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE a><a/>",
        b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x --><?pi?><!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x"> %x;]><a/>',
        b'<!DOCTYPE a [<!ATTLIST a Id CDATA "default">]><a/>',
        BOMB,
        BOMB.decode().encode("utf-16"),
        "<!DOCTYPE a><a/>".encode("utf-16"),
    ],
)
def test_a_doctype_is_refused_in_every_disguise(data: bytes) -> None:
    with pytest.raises(MalformedXml, match="DOCTYPE"):
        parse(data)


def test_xinclude_is_left_as_it_stands() -> None:
    root = parse(b'<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="/etc/passwd" parse="text"/></a>')
    assert root[0].tag == "{http://www.w3.org/2001/XInclude}include"
    assert root.xpath("string()") == ""


@pytest.mark.parametrize(
    "data",
    [
        b"<a>" + b"x" * (MAX_TEXT_BYTES + 1) + b"</a>",
        b"<a b='" + b"x" * (MAX_TEXT_BYTES + 1) + b"'/>",
        b"<a><![CDATA[" + b"x" * (MAX_TEXT_BYTES + 1) + b"]]></a>",
        b"<" + b"a" * 60_000 + b"/>",
    ],
)
def test_a_huge_node_is_refused_with_the_remedy(data: bytes) -> None:
    with pytest.raises(MalformedXml, match="вложением"):
        parse(data)


def test_a_document_over_the_limit_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(MalformedXml, match="больше"):
        parse(b"<a/>" + b" " * 2048, max_bytes=1024)
    with pytest.raises(MalformedXml, match="больше 64 МБ"):
        parse(bytes(200 * 1024 * 1024))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  \n",
        b"<",
        b"<?xml version='1.0'",
        b"<a",
        b"<a>",
        b"<a b='1",
        b"<a><b>x</b",
        b"<a>x</a",
        b"<a>&am",
        b"<a><!-- x ",
        b"<a><![CDATA[x",
        "<a>Ё".encode()[:-1],
        b"<a/><!-- ",
        "<a>Ё</a".encode("utf-16"),
        b"<!--x-->" * 20_000 + b"<a>",
        b" " * 60_000 + b"<a>",
    ],
)
def test_a_document_that_breaks_off_is_told_apart(data: bytes) -> None:
    with pytest.raises(TruncatedXml, match="обрывается"):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"<a><b></a>",
        b"<a/><b/>",
        b"<a/>junk",
        b"<a>a & b</a>",
        b"<a>&nbsp;</a>",
        b"<a b='1' b='2'/>",
        b"<p:a/>",
        b"<a>\x00</a>",
        b"<a>&#0;</a>",
        b"<a>\xff</a>",
        b"\x1f\x8b\x08abc",
        b"Lo\xa7\x94",
        b"<?xml version='1.0' encoding='bogus'?><a/>",
        b"<a>a & b</a> <!-- end -->",
        b"<a xmlns='urn:a b'/>",
    ],
)
def test_what_is_wrong_but_whole_is_not_called_truncated(data: bytes) -> None:
    with pytest.raises(MalformedXml) as caught:
        parse(data)
    assert not isinstance(caught.value, TruncatedXml)
    assert caught.value.reason.endswith(".")


def test_an_element_with_absurdly_many_attributes_is_refused() -> None:
    def with_attributes(count: int) -> str:
        return "<a>" + "x" * 40_000 + "<b " + " ".join(f'м{n}="1"' for n in range(count)) + "/></a>"

    for encoding in ("utf-8", "utf-16"):
        assert len(parse(with_attributes(1000).encode(encoding))[0].attrib) == 1000
        with pytest.raises(MalformedXml, match="атрибутов"):
            parse(with_attributes(1001).encode(encoding))


@pytest.mark.parametrize("encoding", ["koi8-r", "iso-8859-5", "utf-7", "utf-32"])
def test_another_encoding_is_refused_with_the_remedy(encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding}"?><a>x</a>'
    with pytest.raises(MalformedXml, match="UTF-8"):
        parse(data.encode("ascii" if encoding != "utf-32" else "utf-32"))


def test_octets_of_another_encoding_than_declared_are_refused() -> None:
    with pytest.raises(MalformedXml, match="кодировке"):
        parse('<?xml version="1.0" encoding="UTF-8"?><a>Ёж</a>'.encode("cp1251"))


def test_the_reason_quotes_nothing_of_the_document() -> None:
    with pytest.raises(MalformedXml) as caught:
        parse("<Петров><Иванов></Петров>".encode())
    assert "Петров" not in caught.value.reason
    assert "Петров" in caught.value.detail


def test_many_threads_parse_at_once() -> None:
    problems: list[object] = []

    def work(number: int) -> None:
        for _ in range(50):
            if parse(b"<a>%d</a>" % number).text != str(number):
                problems.append(number)
            try:
                parse(b"<a>%d" % number)
            except TruncatedXml:
                continue
            problems.append("not refused")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_every_cut_of_a_document_is_called_truncated() -> None:
    whole = '<?xml version="1.0"?><p:a xmlns:p="urn:1" b="2"><c>Ёж &amp; x</c><!-- y --></p:a>'.encode()
    for cut in range(1, len(whole)):
        with pytest.raises(TruncatedXml):
            parse(whole[:cut])


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_octets_are_read_or_refused_in_words(data: bytes) -> None:
    for octets in (data, b"<a>" + data + b"</a>"):
        with contextlib.suppress(MalformedXml):
            parse(octets)


def test_a_document_of_millions_of_tiny_elements_is_refused_before_it_becomes_a_tree() -> None:
    document = b"<r>" + b"<a/>" * (MAX_MARKS + 1) + b"</r>"
    with pytest.raises(MalformedXml, match="слишком много элементов"):
        parse(document)
