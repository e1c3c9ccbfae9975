"""Names of strangers: no path, no command to a terminal, no query, no line of a log.

More of the kind: tests/connectors/files/test_ftp.py (hostile names on three kinds of servers, a foreign address in an
answer to PASV, endless replies), tests/connectors/files/test_source.py and test_sink.py, tests/connectors/http.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from typing import Any
from xml.sax.saxutils import escape

import pytest
import structlog
from lxml import etree
from rich.text import Text
from typer.testing import CliRunner

from connectors.files import ftp_listing, names
from connectors.http import source as http_source
from connectors.http import wsdl
from connectors.smev3 import contents
from core import cli, logs, printing
from core.errors import BusError
from core.message import Message
from core.reading import Wanted
from core.search.finding import messages

pytestmark = pytest.mark.feature("BUS-14")

PATHS = [
    b"../../etc/passwd",
    b"..\\..\\boot.ini",
    b"/etc/passwd",
    b"C:\\windows\\win.ini",
    b"..",
    b".",
    b"",
    b" ",
    b"a/b",
    b"a\x00b.xml",
    b"a\r\nDELE list.xml",
    b"a\nb",
    b"\x1b[2J.xml",
    "a\u2028b".encode(),
    "a\x9b2Jb".encode(),
    b"\xff\xfe",
    b"a" * 300,
]


@pytest.mark.parametrize("raw", PATHS)
@pytest.mark.parametrize("form", ["facts", "unix", "dos"])
def test_a_hostile_name_in_an_ftp_answer_is_never_used(form: str, raw: bytes) -> None:
    if form == "facts":
        entry = ftp_listing.of_facts(b"type=file;size=5;modify=20260115100000; " + raw, "utf-8")
        found = [] if entry is None else [entry]
    else:
        start = b"-rw-r--r-- 1 u g 5 Jan 15 10:00 " if form == "unix" else b"01-15-26 10:00AM 5 "
        found, _ = ftp_listing.of_list([start + raw], "utf-8")
    for one in found:
        assert one.problem
        assert not [sign for sign in printing.harmless(one.name) if ord(sign) < 32]
        assert one.name == printing.harmless(one.name)


@pytest.mark.parametrize("raw", PATHS)
def test_a_name_that_we_make_of_a_value_is_no_path(raw: bytes) -> None:
    value = raw.decode("utf-8", "replace")
    for template in ("{a}", "{a}.xml", "x{a}{a}"):
        name = names.filled(template, lambda _: value)
        assert not set(name) & set('/\\:*?"<>|\x00\r\n\x1b\x9b\u2028')
        assert name not in (".", "..")
        assert not name.startswith(".")


@pytest.mark.parametrize(
    "header",
    [
        *(b'attachment; filename="' + raw + b'"' for raw in PATHS),
        *(b"attachment; filename*=utf-8''" + raw for raw in PATHS),
        b"attachment; filename*=utf-8''..%2F..%2Fetc%2Fpasswd",
        b"attachment; filename*=idna''%ff",
        b"attachment; filename*=punycode''%ff",
        b"attachment; filename*=undefined''x",
        b"attachment; filename*=a%00b''x",
        b"attachment; filename*" + b"9" * 5000 + b"*=x",
        b"attachment; filename*0*=a; filename*=b",
        b"attachment" + b"; " * 500_000,
        b"attachment; filename=" + b'"; ' * 200_000,
    ],
)
def test_a_file_name_of_a_request_is_one_name(header: bytes) -> None:
    name = http_source._file_name(header)
    assert 0 < len(name) <= 200
    assert name.isprintable()
    assert not set(name) & set("/\\")
    assert name.strip(". ")


@pytest.mark.parametrize("raw", ["../../etc/passwd", "..\\x", "/etc/passwd", "a\nb", "a\x9b[2J"])
def test_a_name_of_an_attachment_is_kept_as_text_only(raw: str) -> None:
    data = etree.fromstring(
        f"<d><AttachmentHeaderList><h><contentId>{escape(raw)}</contentId></h></AttachmentHeaderList></d>"
    )
    (attachment,) = contents._attachments(data, data)
    assert attachment.name == raw.strip()
    assert attachment.open is None
    assert attachment.payload == ""


@pytest.mark.parametrize("host", ['"><evil/>', "a' onload='x", "<!DOCTYPE x>", "&xxe;", "[::1]", "a" * 60_000])
def test_a_host_header_adds_nothing_to_the_description(host: str) -> None:
    root = etree.fromstring(wsdl.of_queue("w1", f"http://{host}/in/w1"))
    assert {one.get("location") for one in root.iter("{*}address")} == {f"http://{host}/in/w1"}
    assert root.find(".//evil") is None


# ── what a terminal and a log get ────────────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "a\x1b[2J\x1b[1;1Hвсё хорошо",
    "a\x1b]0;заголовок\x07",
    "a\x9b31mкрасным",
    "a\rперезаписано",
    "a\x08\x08\x08\x7f",
    "a\u202eнаоборот",
    "a\u2066b\u2069",
    "[red]разметка[/red]",
    "a\x00b",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("where", ["sentence", "table", "pairs", "styled", "title of a row"])
def test_a_terminal_is_never_commanded(capsys: pytest.CaptureFixture[str], where: str, text: str) -> None:
    match where:
        case "sentence":
            printing.say(text)
        case "table":
            printing.table(["Имя"], [[text]])
        case "pairs":
            printing.pairs([("Имя", text)])
        case "styled":
            printing.table(["Имя"], [[Text(text, style="red")]])
        case _:
            printing.say(Text(text))
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x00\x07\x08\r\x1b\x7f\x9b\u202e\u2066\u2069")
    assert text[:1] in shown
    assert "разметка" not in text or "[red]разметка[/red]" in shown


def test_a_cleaned_text_keeps_its_colours(capsys: pytest.CaptureFixture[str]) -> None:
    given = Text("a\x1bb", style="red")
    printing.say(given)
    assert given.plain == "a\x1bb"
    assert capsys.readouterr().out == "a␛b\n"


@pytest.mark.parametrize("text", [*HOSTILE, 'a\n{"event": "forged"}', "a\r\nb", "a\u2028b", "a\x85b"])
def test_a_value_makes_no_second_line_in_a_log(text: str) -> None:
    written = io.StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        logs.set_up()
        with contextlib.redirect_stderr(written):
            structlog.get_logger("attack").warning("took", name=text)
            logging.getLogger("library").warning("took %s", text)
    finally:
        structlog.reset_defaults()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    lines = written.getvalue().rstrip("\n").split("\n")
    assert len(lines) == 2
    assert json.loads(lines[0])["name"] == text
    assert all(json.loads(line) for line in lines)


# ── what the command line does with it ───────────────────────────────────────────────────────────────────────────────

QUERIES = [
    "' OR '1'='1",
    "'; DROP TABLE bus.message; --",
    "%",
    "_",
    "%(name)s",
    "%s",
    "\\",
    "$1",
    "{0}",
    "a\x00b",
    "\x1b[2J",
]


@pytest.fixture
def omsbus(house, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line on the house's database."""
    monkeypatch.setenv("OMSBUS_DATABASE_URL", house.bus.database.url)
    tree = cli.build()

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(tree, list(arguments))
        if result.exception is not None and not isinstance(result.exception, BusError | SystemExit):
            raise result.exception
        return result.output + (result.exception.reason if isinstance(result.exception, BusError) else "")

    return run


@pytest.mark.parametrize("text", QUERIES)
def test_a_filter_of_the_command_line_is_data(house, omsbus, text: str) -> None:
    house.lives()
    fields = ("queue", "kind", "key", "source", "external_id", "reason_like")
    for field in fields:
        assert not messages(house.bus.database, Wanted(**{field: text}), 10)
    options = [item for field in fields for item in (f"--{field.replace('_', '-')}", text)]
    assert "attack" not in omsbus("message", "list", *options)
    for command in (("message", "list", "--state", text), ("message", "show", text), ("queue", "pause", text)):
        assert "Нет" in omsbus(*command)
    assert "не время" in omsbus("message", "list", "--since", text)
    house.lives()


def test_an_argument_that_is_no_text_is_refused(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["omsbus", "message", "show", "a\udcffb"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Параметр № 3" in capsys.readouterr().err


def test_a_hostile_row_is_shown_without_its_commands(house, omsbus) -> None:
    name = "зло\x1b[2J\x9b31m\r\n\u202e"
    given = Message("attack", b"\x1b[2J<Note/>", queue="attack", external_id=name, headers={name: name}, key=name)
    (accepted,) = house.bus.engine.put([given])
    listed = omsbus("message", "list", "--queue", "attack")
    card = omsbus("message", "show", str(accepted.message_id), "--body")
    for shown in (listed, card):
        assert not set(shown) & set("\x1b\x9b\r\u202e")
    assert "зло" in card
    house.lives()
