"""Hostile stylesheets and schemas: nothing of the house is read or written, and nothing hangs."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import ConfigError
from core.route import Format
from core.settings import HOUSE
from core.trial.candidate import Candidate, from_text, from_upload
from core.trial.sandbox import Broke, Sandbox

EXSL = " ".join(
    [
        'xmlns:exsl="http://exslt.org/common"',
        'xmlns:saxon="http://icl.com/saxon"',
        'xmlns:re="http://exslt.org/regular-expressions"',
        'extension-element-prefixes="exsl saxon"',
    ]
)
MANY = '<xsl:for-each select="//@*|//node()">'


@pytest.fixture
def sandbox() -> Iterator[Callable[[Candidate], Sandbox]]:
    opened: list[Sandbox] = []

    def make(candidate: Candidate, most_s: float = 20.0) -> Sandbox:
        opened.append(Sandbox(candidate, document_most_s=most_s))
        opened[-1].open()
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def document(samples: Callable[[str], bytes]) -> bytes:
    return samples("valid/record-plain.xml")


@pytest.mark.feature("BUS-05", "BUS-08")
def test_a_good_one_makes_what_the_present_one_makes(sandbox, form: Format, present: str, document: bytes) -> None:
    box = sandbox(from_text(present, form))
    made = base64.b64decode(box.apply(document)["output"])
    assert made.startswith(b"<death>")
    assert box.apply(b"<broken")["stage"] == "parse"
    assert base64.b64decode(box.apply(document)["output"]) == made


@pytest.mark.feature("BUS-05")
def test_includes_of_the_upload_are_found(sandbox, form: Format, style: Callable[..., str], document: bytes) -> None:
    main = style('<xsl:include href="parts/part.xsl"/>').encode()
    part = style('<xsl:template match="/"><found/></xsl:template>').encode()
    box = sandbox(from_upload([("main.xsl", main), ("parts/part.xsl", part)], form))
    assert base64.b64decode(box.apply(document)["output"]) == b"<found/>"


@pytest.mark.feature("BUS-05")
@pytest.mark.parametrize(
    "select", ["document('/etc/passwd')", "document('file:///etc/hostname')", "document('http://127.0.0.1:1/x')",
               "document('trial:///../../etc/passwd')"],
)  # fmt: skip
def test_no_document_of_the_disk_or_network_is_read(
    sandbox, form: Format, style: Callable[..., str], document: bytes, select: str
) -> None:
    body = f'<xsl:template match="/"><a><xsl:copy-of select="{select}"/></a></xsl:template>'
    answered = sandbox(from_text(style(body), form)).apply(document)
    assert answered["stage"] == "transform"
    assert "root:" not in str(answered)


@pytest.mark.feature("BUS-05")
@pytest.mark.parametrize(
    "element", ['exsl:document href="{path}"', 'saxon:output href="{path}"'], ids=["exsl", "saxon"]
)
def test_no_file_is_written(
    sandbox, form: Format, style: Callable[..., str], document: bytes, element: str, tmp_path: Path
) -> None:
    target = tmp_path / "pwned.xml"
    name = element.partition(" ")[0]
    body = f'<xsl:template match="/"><a><{element.format(path=target)}><b/></{name}></a></xsl:template>'
    assert sandbox(from_text(style(body, EXSL), form)).apply(document)["stage"] == "transform"
    assert not target.exists()


@pytest.mark.feature("BUS-05")
def test_endless_recursion_is_a_failure_of_the_stylesheet(
    sandbox, form: Format, style: Callable[..., str], document: bytes
) -> None:
    body = ('<xsl:template match="/"><xsl:call-template name="x"/></xsl:template>'
            '<xsl:template name="x"><xsl:call-template name="x"/></xsl:template>')  # fmt: skip
    box = sandbox(from_text(style(body), form))
    assert box.apply(document)["stage"] == "transform"
    assert box.apply(document)["stage"] == "transform", "the child is alive"


@pytest.mark.feature("BUS-05")
@pytest.mark.parametrize(
    "content",
    [
        MANY * 4 + '<xsl:value-of select="count(//node())"/>' + "</xsl:for-each>" * 4,
        "<xsl:value-of select=\"re:test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!','(a+)+$')\"/>",
    ],
    ids=["loops", "regular expression"],
)
def test_an_endless_one_is_killed_and_the_next_document_gets_a_new_child(
    sandbox, form: Format, style: Callable[..., str], document: bytes, content: str
) -> None:
    body = f'<xsl:template match="/"><a>{content}</a></xsl:template><xsl:template match="/quick"><b/></xsl:template>'
    box = sandbox(from_text(style(body, EXSL), form), most_s=1.0)
    with pytest.raises(Broke, match="не уложилось"):
        box.apply(document)
    with pytest.raises(Broke, match="не уложилось"):
        box.apply(document)


@pytest.mark.feature("BUS-05")
def test_a_huge_output_costs_the_child_and_not_us(
    sandbox, form: Format, style: Callable[..., str], document: bytes
) -> None:
    before = psutil.Process().memory_info().rss
    body = (
        '<xsl:template match="/"><a>'
        + MANY * 3
        + '<b><xsl:copy-of select="/"/></b>'
        + "</xsl:for-each>" * 3
        + "</a></xsl:template>"
    )
    box = sandbox(from_text(style(body), form), most_s=2.0)
    with contextlib.suppress(Broke):  # of memory or of time: whichever is over first
        assert box.apply(document)["stage"] in ("limit", "transform")
    assert psutil.Process().memory_info().rss < before + 200 * 1024 * 1024


@pytest.mark.feature("BUS-05")
@pytest.mark.parametrize(
    "body", ['<xsl:value-of select="((("/>', '<xsl:template match="/"><xsl:value-of select="(((" /></xsl:template>']
)
def test_one_that_does_not_compile_is_told_at_once(sandbox, form: Format, style: Callable[..., str], body: str) -> None:
    with pytest.raises(ConfigError, match="не компилируется"):
        sandbox(from_text(style(body), form))


@pytest.mark.feature("BUS-05")
def test_a_schema_refuses_with_the_place_and_resolves_within_the_upload(
    sandbox, form: Format, samples, document: bytes
) -> None:
    given = (HOUSE / "schemas" / form.schema).read_bytes()
    box = sandbox(from_upload([("fatalzp.xsd", given)], form))
    assert box.apply(document) == {"output": ""}
    refused = box.apply(samples("invalid/record-bad-date.xml"))
    assert refused["stage"] == "schema"
    assert "ДатаСмертКаленд" in refused["reason"]


def test_a_child_that_was_killed_is_told_as_such(sandbox, form: Format, present: str, document: bytes) -> None:
    box = sandbox(from_text(present, form))
    assert box._child
    box._child.kill()
    with pytest.raises(Broke, match="процесс остановлен"):
        box.apply(document)
    assert "output" in box.apply(document)


@pytest.mark.feature("BUS-05")
def test_the_child_knows_no_variable_of_ours_and_opens_no_file(
    sandbox, form: Format, present: str, monkeypatch
) -> None:
    monkeypatch.setenv("OMSBUS_TEST_SECRET", "secret-of-the-house")
    child = sandbox(from_text(present, form))._child
    assert child
    assert b"secret-of-the-house" not in Path(f"/proc/{child.pid}/environ").read_bytes()
    limits = Path(f"/proc/{child.pid}/limits").read_text()
    assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")] == ["3"]
