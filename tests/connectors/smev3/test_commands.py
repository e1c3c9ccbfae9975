"""`omsbus smev transform | sign | verify`: exact octets, honest exit codes, words for everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.smev3.commands import app
from core import xml
from core.signatures import xmldsig
from core.signatures.demo_keys import DemoKeys, make_demo_keys
from core.signatures.smev_transform import transform

pytestmark = pytest.mark.feature("SMEV-04")

TYPES = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2"
BASIC = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"
DATA = (
    f'<t:SenderProvidedRequestData xmlns:t="{TYPES}" Id="SIGNED_BY_CONSUMER">\n  <t:MessageID>1</t:MessageID>'
    f'<b:MessagePrimaryContent xmlns:b="{BASIC}"><d:Запрос xmlns:d="urn:d" Id="PERSONAL" a="1 &gt; 0">Ёлкин'
    "</d:Запрос></b:MessagePrimaryContent>{personal}</t:SenderProvidedRequestData>"
)


def envelope(slot: str = "", attachments: str = "", personal: str = "", declaration: str = "") -> bytes:
    return (
        f"{declaration}<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>"
        f"<t:SendRequestRequest xmlns:t='{TYPES}' xmlns:b='{BASIC}'>{DATA.replace('{personal}', personal)}"
        f"{attachments}{slot}</t:SendRequestRequest></s:Body></s:Envelope>"
    ).encode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DemoKeys:
    return make_demo_keys(tmp_path_factory.mktemp("keys"), "demo password")


@pytest.fixture
def real() -> Path:
    path = Path(__file__).parents[4] / "shared" / "smev3" / "messages" / "smev-signed-SendRequestResponse-1.2.xml"
    if not path.is_file():
        pytest.skip("../shared is not here")
    return path


def run(*arguments: object, data: bytes | None = None, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(item) for item in arguments], input=data, env=env)


def signed(
    tmp_path: Path, keys: DemoKeys, data: bytes, element_id: str = "SIGNED_BY_CONSUMER", name: str = "fund"
) -> bytes:
    source = tmp_path / "in.xml"
    source.write_bytes(data)
    result = run(
        "sign",
        source,
        "--id",
        element_id,
        "--key",
        keys.key(name),
        "--cert",
        keys.certificate(name),
        "--password-env",
        "TEST_PASSWORD",
        env={"TEST_PASSWORD": keys.password},
    )
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


# --- transform --------------------------------------------------------------------------------------------------


def test_transform_prints_exactly_the_octets_of_the_element_or_of_the_root(tmp_path: Path) -> None:
    source = tmp_path / "e.xml"
    source.write_bytes(b"\xef\xbb\xbf" + envelope(declaration='<?xml version="1.0" encoding="UTF-8"?>\n<!-- c -->\n'))
    root = xml.parse(source.read_bytes())
    assert run("transform", source).stdout_bytes == transform(root)
    result = run("transform", source, "--id", "PERSONAL")
    assert result.exit_code == 0
    assert result.stdout_bytes == ('<ns1:Запрос xmlns:ns1="urn:d" Id="PERSONAL" a="1 > 0">Ёлкин</ns1:Запрос>'.encode())
    assert run("transform", "-", "--id", "PERSONAL", data=source.read_bytes()).stdout_bytes == result.stdout_bytes
    text = b"<a xmlns='urn:1'>x &gt;</a>"
    assert run("transform", "-", "--escaping", "c14n", data=text).stdout_bytes.endswith(b">x &gt;</ns1:a>")
    assert run("transform", "-", data=text).stdout_bytes.endswith(b">x ></ns1:a>")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<a", "обрывается"),
        (b"", "обрывается"),
        (b"hello", "XML"),
        (b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE"),
        (b"<a>" * 10_000, "Вложенность"),
        (b"\xff\xfe\x00", "Ошибка"),
    ],
)
@pytest.mark.parametrize("command", ["transform", "verify"])
def test_bad_input_is_one_russian_sentence_and_exit_code_2(command: str, data: bytes, words: str) -> None:
    result = run(command, "-", data=data)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout_bytes == b""
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (b"<a/>", (), "без пространства имён"),
        (b"<a xmlns='urn:1'/>", ("--id", "X"), "Элемента с таким Id"),
        (b"<a xmlns='urn:1' Id='X'><b Id='X'/></a>", ("--id", "X"), "повторяется"),
    ],
)
def test_transform_refuses_an_element_that_cannot_be_signed(
    data: bytes, arguments: tuple[str, ...], words: str
) -> None:
    result = run("transform", "-", *arguments, data=data)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout_bytes == b""


def test_a_missing_file_is_named() -> None:
    for command in (("transform",), ("verify",), ("sign", "--id", "X", "--key", "k")):
        result = run(command[0], "/no/such/file.xml", *command[1:])
        assert result.exit_code == 2
        assert "/no/such/file.xml" in result.stderr


# --- sign -------------------------------------------------------------------------------------------------------


@pytest.mark.feature("SMEV-03")
@pytest.mark.parametrize(
    "slot",
    [
        "<t:CallerInformationSystemSignature/>",
        "<t:CallerInformationSystemSignature ></t:CallerInformationSystemSignature >",
        "<t:CallerInformationSystemSignature>\n  </t:CallerInformationSystemSignature>",
        "<t:CallerInformationSystemSignature x='>'/>",
    ],
)
@pytest.mark.parametrize("declaration", ["", "\ufeff<?xml version='1.0' encoding='UTF-8'?>\r\n<!-- > / -->\n"])
def test_sign_fills_the_empty_slot_and_touches_nothing_else(
    tmp_path: Path, keys: DemoKeys, slot: str, declaration: str
) -> None:
    attachments = "<b:AttachmentContentList/>"
    source = envelope(slot, attachments, declaration=declaration)
    result = signed(tmp_path, keys, source)
    begin = result.index(b"<ds:Signature")
    end = result.index(b"</ds:Signature>") + len(b"</ds:Signature>")
    before = source.index(slot.encode())
    assert result[:before] == source[:before]
    assert result[end:].endswith(b"</t:SendRequestRequest></s:Body></s:Envelope>")
    assert result[before:begin].startswith(b"<t:CallerInformationSystemSignature")
    assert xmldsig.verify_all(result)[0].ok
    assert run("verify", "-", data=result).exit_code == 0


def test_sign_makes_the_slot_where_the_schema_wants_it(tmp_path: Path, keys: DemoKeys) -> None:
    result = signed(tmp_path, keys, envelope(attachments="<b:AttachmentContentList/>"))
    names = [str(item.tag).split("}")[1] for item in xml.parse(result)[0][0]]
    assert names == ["SenderProvidedRequestData", "AttachmentContentList", "CallerInformationSystemSignature"]
    assert run("verify", "-", data=result).exit_code == 0


def test_sign_puts_a_persons_signature_into_its_own_slot(tmp_path: Path, keys: DemoKeys) -> None:
    source = envelope("<t:CallerInformationSystemSignature/>", personal=f'<b:PersonalSignature xmlns:b="{BASIC}"/>')
    once = signed(tmp_path, keys, source, "PERSONAL", "zags")
    twice = signed(tmp_path, keys, once)
    findings = xmldsig.verify_all(twice)
    assert [item.element_id for item in findings] == ["PERSONAL", "SIGNED_BY_CONSUMER"]
    assert all(item.ok for item in findings)
    slots = [item.getparent().tag.split("}")[1] for item in xmldsig.signatures_in(xml.parse(twice))]
    assert slots == ["PersonalSignature", "CallerInformationSystemSignature"]
    assert run("verify", "-", data=twice).exit_code == 0


def test_sign_elsewhere_puts_the_signature_after_the_element_and_in_the_root_inside(
    tmp_path: Path, keys: DemoKeys
) -> None:
    plain = b"<?xml version='1.0' encoding='windows-1251'?><p:a xmlns:p='urn:p' Id='R'><p:b Id='B'/>\xc8</p:a>"
    after = signed(tmp_path, keys, plain, "B")
    assert after.startswith(plain[: plain.index(b"/>") + 2] + b"<ds:Signature")
    assert after.endswith(b"</ds:Signature>\xc8</p:a>")
    inside = signed(tmp_path, keys, plain, "R")
    assert inside.endswith(b"\xc8<ds:Signature" + inside[inside.index(b"<ds:Signature") + 13 :])
    assert inside.endswith(b"</ds:Signature></p:a>")
    alone = signed(tmp_path, keys, b"<p:a xmlns:p='urn:p' Id='R' />", "R")
    for document in (after, inside, alone):
        assert run("verify", "-", data=document).exit_code == 0


def test_sign_writes_a_file_when_told(tmp_path: Path, keys: DemoKeys) -> None:
    (tmp_path / "in.xml").write_bytes(envelope())
    result = run(
        "sign",
        tmp_path / "in.xml",
        "--id",
        "SIGNED_BY_CONSUMER",
        "--key",
        keys.key("fund"),
        "--cert",
        keys.certificate("fund"),
        "--password-file",
        keys.directory / "password",
        "--out",
        tmp_path / "out.xml",
        env={"OMSBUS_KEY_PASSWORD": None},
    )  # type: ignore[dict-item]
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == b""
    assert xmldsig.verify_all((tmp_path / "out.xml").read_bytes())[0].ok


def test_sign_refuses_in_words(tmp_path: Path, keys: DemoKeys) -> None:
    good = {"--key": keys.key("fund"), "--cert": keys.certificate("fund"), "--id": "SIGNED_BY_CONSUMER"}
    once = signed(tmp_path, keys, envelope("<t:CallerInformationSystemSignature/>"))
    utf16 = "<?xml version='1.0' encoding='utf-16'?><p:a xmlns:p='urn:p' Id='SIGNED_BY_CONSUMER'/>".encode("utf-16")
    for data, change, words in (
        (once, {}, "уже подписан"),
        (envelope(), {"--id": "NOBODY"}, "Элемента с таким Id"),
        (envelope().replace(b"PERSONAL", b"SIGNED_BY_CONSUMER"), {}, "повторяется"),
        (envelope(), {"--key": tmp_path / "no.key"}, "no.key"),
        (envelope(), {"--cert": keys.certificate("smev")}, "не на ключ"),
        (envelope()[:-9], {}, "обрывается"),
        (utf16, {}, "UTF-8"),
    ):
        arguments = [part for pair in {**good, **change}.items() for part in pair]
        result = run("sign", "-", *arguments, data=data, env={"OMSBUS_KEY_PASSWORD": keys.password})
        assert result.exit_code in (1, 2)
        assert words in result.stderr
        assert result.stdout_bytes == b""
    result = run(
        "sign",
        "-",
        *[part for pair in good.items() for part in pair],
        data=envelope(),
        env={"OMSBUS_KEY_PASSWORD": "wrong"},
    )
    assert result.exit_code == 2
    assert "пароль" in result.stderr


# --- verify -----------------------------------------------------------------------------------------------------


def test_verify_the_real_message(real: Path) -> None:
    result = run("verify", real)
    assert result.exit_code == 0
    for words in ("MessageMetadata", "сходится", "верна", "РТ Лабс", "05.12.2020", "сейчас не действует"):
        assert words in result.stdout
    facts = json.loads(run("verify", real, "--json").stdout)
    assert facts["ok"] is True
    (signature,) = facts["signatures"]
    assert (signature["digest_ok"], signature["signature_ok"], signature["trusted"]) == (True, True, False)
    assert signature["certificate"]["valid_now"] is False
    assert signature["id"] == "SIGNED_BY_SMEV"


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?>\n"])
def test_verify_the_real_message_after_a_byte_order_mark(real: Path, mark: bytes) -> None:
    assert run("verify", "-", data=mark + real.read_bytes()).exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"500502_3T", b"500502_4T", "НЕ СХОДИТСЯ"),
        (b"PwhfByA", b"PwhfByB", "НЕВЕРНА"),
        (b"7ENVzZIH", b"7ENVzZIG", "НЕ СХОДИТСЯ"),
        (b'Id="SIGNED_BY_SMEV"', b'Id="OTHER"', "Элемента с таким Id"),
        (b"<ds:KeyInfo>", b"<ds:KeyInfo/><ds:KeyInfo>", "Состав подписи"),
    ],
)
def test_verify_fails_on_a_tampered_real_message(real: Path, old: bytes, new: bytes, words: str) -> None:
    data = real.read_bytes()
    assert data.count(old) == 1
    result = run("verify", "-", data=data.replace(old, new))
    assert result.exit_code == 1
    assert words in result.stdout
    assert json.loads(run("verify", "-", "--json", data=data.replace(old, new)).stdout)["ok"] is False


def test_verify_fails_when_an_id_is_repeated_anywhere(real: Path) -> None:
    data = real.read_bytes().replace(b"<soap:Body>", b'<soap:Body><x Id="TWICE"/><y Id="TWICE"/>')
    result = run("verify", "-", "--json", data=data)
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert facts["repeated_ids"] == ["TWICE"]
    assert facts["signatures"][0]["ok"] is True, "the signature itself holds"


def test_verify_fails_on_wrapped_variants_of_the_real_message(real: Path) -> None:
    data = real.read_bytes()
    begin, end = data.index(b"<ns2:MessageMetadata"), data.index(b"<ns2:SMEVSignature>")
    original = data[begin:end]
    forged = original.replace(b"requestIsQueued", b"responseIsDelivered")
    other = forged.replace(b"SIGNED_BY_SMEV", b"OTHER")
    for variant in (
        forged + original,
        original + forged,
        other + original,
        original + other,
        other + b"<x>" + original + b"</x>",
        forged.replace(b' Id="SIGNED_BY_SMEV"', b"") + b"<x>" + original + b"</x>",
        forged.replace(b" Id=", b" ID=") + b"<x>" + original + b"</x>",
    ):
        result = run("verify", "-", data=data[:begin] + variant + data[end:])
        assert result.exit_code == 1, variant
        assert "повторяется" in result.stdout or "подмена" in result.stdout


def test_verify_fails_without_any_signature() -> None:
    result = run("verify", "-", data=envelope())
    assert result.exit_code == 1
    assert "нет ни одной подписи" in result.stdout


def test_trust_is_told_apart_and_does_not_change_the_exit_code(tmp_path: Path, keys: DemoKeys) -> None:
    for name, trusted, words in (
        ("fund", True, "Цепочка"),
        ("foreign", False, "не внесён"),
        ("expired", False, "истёк"),
    ):
        document = signed(tmp_path, keys, envelope("<t:CallerInformationSystemSignature/>"), name=name)
        result = run("verify", "-", "--json", "--trust", keys.trust, data=document)
        assert result.exit_code == 0
        (signature,) = json.loads(result.stdout)["signatures"]
        assert signature["trusted"] is trusted
        assert words in signature["trust_reason"]
    assert run("verify", "-", "--trust", tmp_path / "nowhere", data=envelope()).exit_code == 2
