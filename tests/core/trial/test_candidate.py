"""What may be uploaded to be tried, and what is refused before anything of it runs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from core.errors import BusError, ConfigError, MalformedXml
from core.route import Format
from core.settings import HOUSE
from core.trial.candidate import UPLOAD_MOST_BYTES, from_text, from_upload

XSD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{ns}">{body}</xs:schema>'
DEATH = HOUSE / "schemas/zags/death/v1"


def _zip(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in files.items():
            archive.writestr(name, octets)
    return packed.getvalue()


def _schema(form: Format, body: str = "", root: str = '<xs:element name="FATALZPRequest"/>') -> str:
    return XSD.format(ns=form.root[1:].partition("}")[0], body=body + root)


@pytest.mark.feature("BUS-05")
def test_one_stylesheet_several_files_and_a_zip_are_taken(form: Format, present: str) -> None:
    assert from_text(present, form).transform == "вставленный.xsl"
    both = from_upload([("v2.xsl", present.encode()), ("new.xsd", _schema(form).encode())], form)
    assert (both.transform, both.schema, both.borrowed) == ("v2.xsl", "new.xsd", ())
    packed = from_upload([("all.zip", _zip({"a/v2.xsl": present.encode(), "a/readme.txt": b"x"}))], form)
    assert packed.transform == "a/v2.xsl"
    assert packed.digest != both.digest


@pytest.mark.feature("BUS-05", "BUS-08")
def test_an_included_file_is_not_the_main_one(form: Format, style: Callable[..., str]) -> None:
    main = style('<xsl:include href="parts/part.xsl"/>').encode()
    part = style('<xsl:template match="/"><a/></xsl:template>').encode()
    assert from_upload([("x/main.xsl", main), ("x/parts/part.xsl", part)], form).transform == "x/main.xsl"
    with pytest.raises(ConfigError, match="Какое преобразование главное"):
        from_upload([("a.xsl", part), ("b.xsl", part)], form)


@pytest.mark.feature("BUS-05")
def test_parts_of_a_schema_that_are_missing_come_from_the_present_version(form: Format) -> None:
    found = from_upload([("fatalzp.xsd", (DEATH / "fatalzp.xsd").read_bytes())], form)
    assert found.schema == form.schema
    assert "zags/death/v1/types.xsd" in found.borrowed
    whole = [(path.relative_to(HOUSE / "schemas").as_posix(), path.read_bytes())
             for folder in ("zags", "smev3") for path in (HOUSE / "schemas" / folder).rglob("*.xsd")]  # fmt: skip
    assert from_upload(whole, form).borrowed == ()


@pytest.mark.feature("BUS-05")
@pytest.mark.parametrize(
    "reference", ["http://127.0.0.1:1/x.xsd", "file:///etc/passwd", "/etc/passwd", "../../../x.xsd"]
)
@pytest.mark.parametrize("kind", ["include", "import", "redefine"])
def test_nothing_is_fetched_from_a_network_or_the_disk(form: Format, reference: str, kind: str) -> None:
    namespace = 'namespace="urn:x" ' if kind == "import" else ""
    with pytest.raises(ConfigError, match="в загрузке его нет"):
        from_text(_schema(form, f'<xs:{kind} {namespace}schemaLocation="{reference}"/>'), form)


def test_a_reference_to_the_internet_is_met_by_a_file_of_that_name(form: Format) -> None:
    main = _schema(form, '<xs:import namespace="urn:x" schemaLocation="http://www.w3.org/TR/part.xsd"/>')
    part = XSD.format(ns="urn:x", body="")
    assert from_upload([("m.xsd", main.encode()), ("lib/part.xsd", part.encode())], form).schema == "m.xsd"


@pytest.mark.feature("BUS-05")
@pytest.mark.parametrize(
    "given",
    [("t.py", b"def transform(document): ..."), ("t.zip", _zip({"x/t.PY": b"import os"}))],
    ids=["file", "zip"],
)
def test_python_is_refused_with_the_way_that_there_is(form: Format, given: tuple[str, bytes]) -> None:
    with pytest.raises(ConfigError, match="omsbus replay"):
        from_upload([given], form)
    with pytest.raises(ConfigError, match="omsbus replay"):
        from_text("def transform(document):\n    return {}", form)


@pytest.mark.feature("BUS-05")
def test_a_bomb_of_entities_is_refused(form: Format, style: Callable[..., str]) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + style(
        "<xsl:template match='/'>&b;</xsl:template>"
    )
    for attempt in (lambda: from_text(bomb, form), lambda: from_upload([("b.xsl", bomb.encode())], form)):
        with pytest.raises(MalformedXml, match="DOCTYPE"):
            attempt()


def test_a_bomb_of_zip_is_not_unpacked(form: Format) -> None:
    packed = _zip({f"{n}.xsl": b"\0" * (UPLOAD_MOST_BYTES // 2) for n in range(4)})
    assert len(packed) < 100_000
    with pytest.raises(ConfigError, match="больше чем в 8 МБ"):
        from_upload([("bomb.zip", packed)], form)
    with pytest.raises(ConfigError, match="слишком много файлов"):
        from_upload([("many.zip", _zip({f"{n}.xsl": b"" for n in range(1000)}))], form)


@pytest.mark.parametrize(
    ("name", "octets", "said"),
    [
        ("a.zip", b"PK\x03\x04junk", "не распаковывается"),
        ("a.zip", b"junk", "не распаковывается"),
        ("../../etc/x.xsl", b"<a/>", "не бывает"),
        ("c:\\x.xsl", b"<a/>", "не бывает"),
        ("a.xsl", b"<a/>", "не преобразование XSLT"),
        ("a.xsl", b"not xml", "a.xsl: Это не правильный XML"),
        ("a.txt", b"text", "Загрузите новое преобразование"),
        ("a.xsd", b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include/></xs:schema>', "нужен файл"),
    ],
    ids=range(8),
)
def test_what_is_nothing_to_try_is_refused_with_the_file(form: Format, name: str, octets: bytes, said: str) -> None:
    with pytest.raises(BusError, match=said):
        from_upload([(name, octets)], form)


def test_a_kind_without_a_transformer_tries_only_schemas(style: Callable[..., str]) -> None:
    with pytest.raises(ConfigError, match="нет преобразования"):
        from_text(style(""), Format("1", "{urn:x}a", schema="x/y.xsd"))
