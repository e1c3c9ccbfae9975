"""Seeded mutants of octets, and a bombardment of one parser with them: whatever comes in, only its own errors come out.

Input `number` is the same on every machine, so what fails can be run again alone.
"""

from __future__ import annotations

import gc
import random
import re
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

import psutil
from lxml import etree

from core.errors import BusError

SEED: Final = 20261124
INPUT_MOST_BYTES: Final = 200_000
HANG_S: Final = 5.0
"""Of CPU for one input; an honest one takes a hundredth of it."""
GROWTH_MOST_BYTES: Final = 64 * 1024 * 1024

TOKENS: Final = (
    *(b"<", b">", b"&", b'"', b"'", b"]]>", b"<![CDATA[", b"<!--", b"-->", b"<?x ?>", b"<!DOCTYPE a>", b"&#0;", b"&x;"),
    *(
        b"\x00",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\r\n",
        b"\x85",
    ),
    *(b' xmlns=""', b' xmlns:t="urn:x"', b' Id="SIGNED_BY_SMEV"', b' xml:id="a"', b' xsi:type="t:Fault"', b"xml:base"),
    *(
        b"-1",
        b"9" * 400,
        b"1e999",
        b"NaN",
        b"0x10",
        "٣".encode(),
        b"%00",
        b"%s",
        b"../",
        b"' or '1'='1",
        b"null",
        b"true",
    ),
    *(
        b"[" * 50,
        b"{" * 50,
        b"<a>" * 300,
        b"</a>",
        b"<S:Fault/>",
        b"<t:Cancel/>",
        b"2026-13-45",
        b"\x30\x84\xff\xff\xff\xff",
    ),
    *(b"--b\r\n", b"--b--", b"boundary*0*=", b"utf-8''", b"idna''", b"cid:part", b"=?q?=", b"\x28\xb5\x2f\xfd"),
    *(
        b'encoding="UTF-16"',
        b'encoding="windows-1251"',
        b'encoding="UTF-7"',
        "ёЁ".encode("cp1251"),
        "\u202e😀".encode(),
    ),
)
WELL_FORMED: Final = 0.5
"""Share of the mutants of XML that are XML again."""
_NOT_OF_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG: Final = re.compile(rb"<[^<>]{1,200}>")


def mutant(seeds: Sequence[bytes], number: int) -> tuple[bytes, random.Random]:
    """The input of this number, and the dice for whatever else is to be thrown."""
    dice = random.Random(SEED * 1_000_003 + number)
    data = bytearray(dice.choice(seeds))
    if data[:1] == b"<" and dice.random() < WELL_FORMED:
        for _ in range(dice.choice((1, 1, 2, 5))):
            data = _reshaped(data, dice)
    else:
        for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
            data = _changed(data, seeds, dice)
    return bytes(data[:INPUT_MOST_BYTES]), dice


def _changed(data: bytearray, seeds: Sequence[bytes], dice: random.Random) -> bytearray:
    if not data:
        return bytearray(dice.choice(seeds))
    place = dice.randrange(len(data))
    length = dice.choice((1, 2, 8, 40, 300))
    match dice.randrange(11):
        case 0:
            data[place] ^= 1 << dice.randrange(8)
        case 1:
            data[place : place + length] = dice.randbytes(length)
        case 2:
            data[place:place] = dice.choice(TOKENS)
        case 3:
            data[place : place + length] = dice.choice(TOKENS)
        case 4:
            del data[place : place + length]
        case 5:
            data[place:place] = data[place : place + length] * dice.choice((1, 2, 30))
        case 6:
            other = dice.choice(seeds)
            data[place:] = other[dice.randrange(len(other) + 1) :]
        case 7:
            del data[place:]
        case 8:
            tags = list(_TAG.finditer(data))
            if len(tags) > 1:
                one, two = sorted(dice.sample(tags, 2), key=lambda found: found.start())
                data[two.start() : two.end()], data[one.start() : one.end()] = one[0], two[0]
        case 9:
            quotes = [found.start() for found in re.finditer(rb'"', data)]
            if len(quotes) > 1:
                number = dice.randrange(len(quotes) - 1)
                data[quotes[number] + 1 : quotes[number + 1]] = dice.choice(TOKENS)
        case _:
            text = data.decode("utf-8", "replace")
            data = bytearray(text.encode(dice.choice(("utf-16", "cp1251", "utf-8-sig", "utf-32-le")), "replace"))
    return data


def _reshaped(data: bytearray, dice: random.Random) -> bytearray:
    """Another document: what spoils octets seldom gets past a parser of XML, and the readers behind it want a share."""
    try:
        root = etree.fromstring(bytes(data), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return data
    elements = list(root.iter("*"))
    one, other = dice.choice(elements), dice.choice(elements)
    above = one.getparent()
    match dice.randrange(9):
        case 0 if above is not None:
            above.remove(one)
        case 1 if above is not None:
            above.insert(dice.randrange(len(above) + 1), deepcopy(one))
        case 2:
            other.insert(dice.randrange(len(other) + 1), deepcopy(one))
        case 3:
            one.text = _NOT_OF_XML.sub("", dice.choice(TOKENS).decode("utf-8", "replace"))
        case 4:
            one.tag = other.tag
        case 5:
            one.tag = dice.choice(("{urn:x}a", "a", "{urn:x}Request", "Id"))
        case 6:
            names = [*other.attrib, "Id", "{http://www.w3.org/XML/1998/namespace}id", "href"]
            one.set(
                dice.choice(names), dice.choice([*map(str, other.attrib.values()), "#SIGNED_BY_SMEV", "cid:part", ""])
            )
        case 7 if one.attrib:
            del one.attrib[dice.choice(list(one.attrib))]
        case _:
            text = one.text or ""
            place = dice.randrange(len(text) + 1)
            wedge = dice.choice((etree.Comment("x"), etree.ProcessingInstruction("p", "q")))
            one.text, wedge.tail = text[:place], text[place:]
            one.insert(0, wedge)
    made = etree.tostring(root)
    return bytearray(made if len(made) < INPUT_MOST_BYTES else data)


@dataclass(frozen=True)
class Target:
    """A parser. run: takes an input and dice; own: what it may raise."""

    seeds: Sequence[bytes]
    run: Callable[[bytes, random.Random], Any]
    own: tuple[type[Exception], ...] = (BusError,)
    close: Callable[[], None] = field(default=lambda: None)


def bombard(name: str, target: Target, numbers: Sequence[int]) -> tuple[int, int]:
    """(read, refused). Raises AssertionError with the number of the first input that brings out anything else,
    takes longer than HANG_S, or when memory grows."""
    read = refused = settled = 0
    process = psutil.Process()
    for place, number in enumerate(numbers):
        data, dice = mutant(target.seeds, number)
        begun = time.thread_time()
        try:
            target.run(data, dice)
            read += 1
        except target.own:
            refused += 1
        except Exception as error:
            raise AssertionError(_told(name, number, f"brings out {error!r}", data)) from error
        if (took_s := time.thread_time() - begun) > HANG_S:
            raise AssertionError(_told(name, number, f"takes {took_s:.1f} s", data))
        if place == len(numbers) // 3:
            gc.collect()
            settled = process.memory_info().rss
    gc.collect()
    if settled and (grown := process.memory_info().rss - settled) > GROWTH_MOST_BYTES:
        raise AssertionError(f"{name}: {grown / 2**20:.0f} MB more after {len(numbers)} inputs")
    return read, refused


def _told(name: str, number: int, what: str, data: bytes) -> str:
    return f"{name}: input {number} of seed {SEED} {what}\n{data[:500]!r}"
