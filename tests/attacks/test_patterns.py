"""Our own regular expressions and parsers before inputs made to be slow: 100 KB and more, and all of it in no time.

The time limit of the test is the judge: what is quadratic in 100 KB takes a minute, what is linear milliseconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from connectors.files import ftp_listing, names
from connectors.http import source as http_source
from connectors.smev3 import answers, mime, sink
from core import moments, xml
from core.errors import BusError
from core.signatures.smev_transform import transform_canonical
from routes.erz import values
from routes.sfr import question

pytestmark = [pytest.mark.feature("BUS-14"), pytest.mark.timeout(30)]

N = 100_000

CASES: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "LIST of FTP": (
        lambda line: ftp_listing.of_list([line], "utf-8"),
        [
            b"-rw-r--r-- 1" + b" " * N,
            b"-rw-r--r-- " + b"1" * N,
            b"-rw-r--r-- 1 " + b"a " * (N // 2),
            b"-rw-r--r-- " + b" 1" * (N // 2),
            b"-rw-r--r-- 1" + (b" " * (N // 4) + b"a") * 4 + b" 1",
            b"-rw-r--r-- 1 a b c 5 Jan" + b" " * N + b"x",
            b"-rwxr-xr-x" + b"a" * N + b" ",
            b"01-01-01" + b" " * N,
            b"01-01-01 00:00 " + b"1" * N,
        ],
    ),
    "MLSD of FTP": (lambda line: ftp_listing.of_facts(line, "utf-8"), [b"a=b;" * (N // 4) + b" x", b"=" * N + b" x"]),
    "prolog and end of a document": (
        xml.parse,
        [
            *(piece * (N // len(piece)) for piece in (b"<!--", b"<?", b" ", b"<!-- --", b"<!---->", b"<?a?>", b"<a>")),
            b"<a" + b" " * N,
            b"<a>" + b"</a " * (N // 4),
            b"<a></a" + b" " * N,
            b"<" + b"a" * 40_000 + b">",
            b"<a>" + b"<" * N,
            b"\xef\xbb\xbf" + b"\n" * N + b"<!DOCTYPE",
        ],
    ),
    "a claimed MessageId": (
        answers.claimed_ids,
        [b"<MessageId" + b" " * N, b"<MessageId>" * (N // 11), (b"<" + b"a" * 40) * (N // 41), b"<a:MessageId>  " * N],
    ),
    "the prolog of a document of ours": (sink._PROLOG.match, [b" \n" * N, b"<!--" * N, b"<!---->" * N + b"<!--"]),
    "Idempotency-Key": (
        lambda key: http_source._key({b"idempotency-key": key}),
        [b'"' + b"\\" * N, b'"' + b"\\\\" * N, b'"' + b"a" * N, b'"\\"' * N],
    ),
    "Content-Disposition": (
        http_source._file_name,
        [b"a" + b"; " * N, b"a" + b'; "' * N, b"a; b=" + b"\\" * N, b"a; filename*0*=a" + b"; filename*1*=a" * 9000],
    ),
    "a MIME part": (
        lambda body: mime.split(body, "a/b; boundary=b"),
        [
            b"--b\n" + b"A:" * N + b"\n\n\n--b--",
            b"--b\nA: " + b"\n " * N + b"\n\n--b--",
            b"--b\n" + b"\r" * N + b"\n--b--",
            b"--b\n" * N,
            b"--b\n" + b"a" * N + b"\n\n--b--",
        ],
    ),
    "the transform of СМЭВ": (
        transform_canonical,
        [
            b'<n:a xmlns:n="u" a="' + b">" * N + b'">x</n:a>',
            b'<n:a xmlns:n="u" a="' + b">&gt;" * N + b'"></n:a>',
            b'<n:a xmlns:n="u">' + b"&gt;" * N + b"</n:a>",
            b'<n:a xmlns:n="u">' + b"]&gt;" * N + b"</n:a>",
            b'<n:a xmlns:n="u" b:c="' + b'" a="' * N + b'"></n:a>',
            b'<n:a xmlns:n="u">' + b"&#xD; " * N + b"</n:a>",
            b'<n:a xmlns:n="u">' + b"<n:b>" * N,
        ],
    ),
    "names of files": (
        lambda text: (names.before_taken(text), names.filled(text, str), names.judge(text.encode(), "utf-8")),
        ["." + ".taken" * N, "{" * N, "con" + "." * N, "{a" * N],
    ),
    "moments of a person": (moments._AGO.fullmatch, ["1" * N, "1" + " " * N]),
    "values of registers": (
        lambda text: [one.fullmatch(text) for one in (values._PARTIAL, question._ISSUER, question._CERTIFICATE)],
        ["9" * N, "А" * N, "I" * N, "-" * N],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_takes_quadratic_time(name: str) -> None:
    look, inputs = CASES[name]
    for given in inputs:
        with contextlib.suppress(BusError, mime.Broken, http_source.Refused):
            look(given)
