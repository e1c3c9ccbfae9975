"""Small things that want to become large: compressed frames, MIME parts, base64, names, nested JSON.

More of the kind: test_documents.py (entities, nesting, attributes), test_requests.py (Content-Encoding),
test_signatures.py (certificates, CMS), tests/core/test_payloads.py (damaged frames).
"""

from __future__ import annotations

import hashlib
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard
from lxml import etree
from pydantic import BaseModel

from connectors.smev3 import answers, mime
from core import xml
from core.errors import ConfigError, MalformedXml, Permanent, SchemaViolation
from core.message import Message
from core.payloads import INLINE_MOST_BYTES, PayloadStore, unpacked
from core.replies import Reply
from core.route import Route
from core.settings import load
from core.stages import apply

pytestmark = pytest.mark.feature("BUS-14")

MB = 1024 * 1024
XOP = "http://www.w3.org/2004/08/xop/include"


def grown_bytes(run: Any) -> int:
    """What the run held at its worst, in memory that Python counts."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ── zstd frames ──────────────────────────────────────────────────────────────────────────────────────────────────────


def claiming(content: bytes, size_bytes: int) -> bytes:
    """A frame whose header claims another length."""
    honest = zstandard.ZstdCompressor().compress(content)
    body = honest[zstandard.frame_header_size(honest) :]
    return honest[:4] + b"\xc0\x58" + size_bytes.to_bytes(8, "little") + body


FRAMES = {
    "a petabyte": claiming(b"small", 1 << 50),
    "as long as numbers go": claiming(b"small", (1 << 64) - 3),
    "a little more than there is": claiming(b"small", 6),
    "a little less than there is": claiming(b"small" * 1000, 6),
    "just beyond the limit": claiming(b"small", INLINE_MOST_BYTES + 1),
    "no length at all": zstandard.ZstdCompressor(write_content_size=False).compress(bytes(4 * MB)),
    "a bomb of a gigabyte": claiming(bytes(MB), 1 << 30),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_lies_about_its_length_costs_no_memory(name: str) -> None:
    def unpack() -> None:
        with pytest.raises(Permanent, match="повреждено"):
            unpacked(FRAMES[name])

    assert grown_bytes(unpack) < INLINE_MOST_BYTES + MB


class Rows:
    """A database with one payload."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.row = row

    def execute(self, _query: str, _values: Any) -> Rows:
        return self

    def fetchone(self) -> tuple[Any, ...]:
        return self.row


@pytest.mark.parametrize("name", FRAMES)
def test_a_payload_that_lies_about_its_length_is_damaged(tmp_path: Path, name: str) -> None:
    store = PayloadStore(str(tmp_path), inline_bytes=10, blob_bytes=100)
    digest = hashlib.sha256(b"small").hexdigest()
    with pytest.raises(Permanent, match="повреждено"):
        store.get(Rows((5, FRAMES[name], None)), digest)  # type: ignore[arg-type]


@pytest.mark.parametrize("told_bytes", [5, 500, 300 * MB])
def test_a_blob_that_is_longer_than_told_is_never_handed_out_whole(tmp_path: Path, told_bytes: int) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(50 * MB))
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "x.zst").write_bytes(bomb)
    store = PayloadStore(str(tmp_path), inline_bytes=10, blob_bytes=100)
    stream = store.open(Rows((told_bytes, "ab/x.zst")), "0" * 64)  # type: ignore[arg-type]

    def drain() -> None:
        with stream, pytest.raises(Permanent, match="повреждено"):
            sum(map(len, iter(lambda: stream.read(MB), b"")))

    assert grown_bytes(drain) < 8 * MB


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "removed:x", "' OR true --", "\u202e"])
def test_a_payload_is_found_by_its_row_and_never_by_a_path(tmp_path: Path, name: str) -> None:
    store = PayloadStore(str(tmp_path), inline_bytes=10, blob_bytes=100)

    class Nothing(Rows):
        def fetchone(self) -> Any:
            return None

    for read in (store.get, store.open):
        with pytest.raises(Permanent, match="удалено"):
            read(Nothing(()), name)  # type: ignore[arg-type]


def test_the_name_of_a_blob_has_nothing_of_its_content(tmp_path: Path) -> None:
    store = PayloadStore(str(tmp_path), inline_bytes=10, blob_bytes=100)
    written = store.blobs.write(lambda file: file.write(b"../../x"))[0]
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{32}\.zst", written)


# ── MIME and base64 ──────────────────────────────────────────────────────────────────────────────────────────────────

BOUNDARY = "multipart/related; boundary=b"
MIMES: dict[str, tuple[bytes, str]] = {
    "a hundred thousand parts": (b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--", BOUNDARY),
    "a hundred thousand empty headers": (b"--b\r\n" + b"A:\r\n" * 100_000 + b"\r\nx", BOUNDARY),
    "a boundary everywhere": (b"\n--b" * 500_000, BOUNDARY),
    "no end": (b"--b\r\n\r\n" + b"x" * MB, BOUNDARY),
    "a numbered boundary": (b"--b\r\n\r\nx\r\n--b--", "a/b; boundary*" + "9" * 5000 + "*=b"),
    "a boundary told in two ways": (b"--b\r\n\r\nx\r\n--b--", "a/b; boundary*0*=b; boundary*=c"),
    "a boundary of semicolons": (b"--b\r\n\r\nx\r\n--b--", "a" + '; "' * 30_000),
    "damaged base64": (b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nA\r\n--b--", BOUNDARY),
    "an empty boundary": (b"----", 'a/b; boundary=""'),
}


@pytest.mark.parametrize("name", MIMES)
def test_a_mime_bomb_is_refused(name: str) -> None:
    with pytest.raises(mime.Broken):
        mime.split(*MIMES[name])


def test_one_part_is_not_put_back_ten_thousand_times() -> None:
    document = etree.fromstring(
        f'<a xmlns="urn:a" xmlns:x="{XOP}">' + '<b><x:Include href="cid:p"/></b>' * 10_000 + "</a>"
    )

    def put_back() -> None:
        with pytest.raises(SchemaViolation, match="столько раз"):
            answers.put_back(document, {"p": bytes(MB)})

    assert grown_bytes(put_back) < 8 * MB


@pytest.mark.parametrize("href", ["http://127.0.0.1:9/x", "file:///etc/passwd", "cid:../../etc/passwd", "", "cid:"])
def test_a_part_is_found_among_the_parts_or_nowhere(href: str) -> None:
    document = etree.fromstring(f'<a xmlns="urn:a"><x:Include xmlns:x="{XOP}" href="{href}"/></a>')
    with pytest.raises(SchemaViolation, match="нет в ответе"):
        answers.put_back(document, {"p": b"x"})


# ── names, JSON, TOML ────────────────────────────────────────────────────────────────────────────────────────────────


def test_long_names_of_broken_documents_are_not_remembered() -> None:
    def refuse() -> None:
        for number in range(300):
            with pytest.raises(MalformedXml):
                xml.parse(b"<%b%d><b></%b%d>" % (b"a" * 40_000, number, b"a" * 40_000, number))

    re.purge()
    refuse()
    assert grown_bytes(refuse) < 20 * MB


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"outcome": "status"}',
        b'{"outcome": "no", "codes": [], "texts": []}',
        b'{"outcome": "status", "codes": 5, "texts": []}',
        b'{"outcome": "status", "codes": [[]], "texts": []}',
        b'{"outcome": "status", "codes": [], "texts": [], "parameters": [1]}',
        b'{"outcome": "status", "codes": [], "texts": [], "parameters": {"a": {}}}',
        b'{"outcome": "status", "codes": [' + b"9" * 5000 + b'], "texts": []}',
    ],
)
def test_a_reply_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(SchemaViolation, match="Тело ответа"):
        Reply.from_body(body)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 10_000, b'"\\ud800"', b"{}\x00", b""])
def test_json_of_a_command_is_bound_or_refused(body: bytes) -> None:
    class Command(BaseModel):
        a: str

    with pytest.raises(SchemaViolation, match="неверные поля"):
        apply(Route("x", title="", body=Command), Message("x", body))


@pytest.mark.parametrize(
    "text",
    [
        b"a = " + b"[" * 100_000,
        b"a = " + b"{a=" * 100_000,
        b"a = " + b"9" * 5000,
        b"a = 2026-13-45",
        b"[a]\n[a]",
        b"\xff",
        b'a = "\\uD800"',
        b"workers = 1e400",
        b"database_url = {}",
    ],
)
def test_a_settings_file_that_is_none_is_named(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "omsbus.toml"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=str(file)):
        load(file)


def test_a_folder_in_place_of_a_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load(tmp_path)
