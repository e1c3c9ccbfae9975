"""`omsbus smev`: the tools that adapter users beg for: transform, sign and verify a file, exactly as the bus does.

Octets go in and out as they are: `transform` prints nothing but the transformed octets, `sign` changes nothing
but the place where it puts the signature.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from lxml import etree

from connectors.smev3 import slots
from core import printing, xml
from core.errors import BusError, ConfigError, MalformedXml, SignatureRejected
from core.signatures import octets, xmldsig
from core.signatures.certificates import Trust, TrustStore
from core.signatures.demo_keys import PASSWORD_ENV
from core.signatures.keys import load_identity, read_password
from core.signatures.smev_transform import TRANSFORM_URI
from core.signatures.smev_transform import transform as smev_transform

NAME = "smev"
app = typer.Typer(help="Инструменты СМЭВ 3: преобразование, подпись и проверка файла.", no_args_is_help=True)

EXIT_BAD_SIGNATURE: Final = 1
EXIT_BAD_INPUT: Final = 2
_ENVELOPED: Final = (xmldsig.ENVELOPED, xmldsig.EXCLUSIVE, TRANSFORM_URI)
_NO_STORE: Final = "Хранилище доверия не указано: добавьте --trust КАТАЛОГ с сертификатами УЦ."
_IDS: Final[Any] = etree.XPath("//@Id")


class Escaping(StrEnum):
    """Escaping rules of the transform."""

    WOODSTOX = "woodstox"
    C14N = "c14n"


File = Annotated[str, typer.Argument(metavar="ФАЙЛ", help="Файл XML; «-» — стандартный ввод.")]
Rules = Annotated[Escaping, typer.Option("--escaping", help="Правила экранирования преобразования.")]


@app.command()
def transform(
    file: File,
    element_id: Annotated[str | None, typer.Option("--id", help="Id элемента; без него — корневой элемент.")] = None,
    escaping: Rules = Escaping.WOODSTOX,
) -> None:
    """Напечатать байты элемента после преобразования СМЭВ: ровно то, что хешируется, без перевода строки."""
    with _refusals():
        root = xml.parse(_read(file))
        element = xmldsig.element_by_id(root, element_id) if element_id is not None else root
        _write(None, smev_transform(element, escaping=escaping.value))


@app.command()
def sign(
    file: File,
    element_id: Annotated[str, typer.Option("--id", help="Id подписываемого элемента.")],
    key: Annotated[Path, typer.Option("--key", help="Закрытый ключ: PKCS#8 (PEM) или PKCS#12.")],
    certificate: Annotated[
        Path | None, typer.Option("--cert", help="Сертификат этого ключа (PEM или DER); для PKCS#12 не нужен.")
    ] = None,
    password_env: Annotated[str, typer.Option(help="Переменная окружения с паролем ключа.")] = PASSWORD_ENV,
    password_file: Annotated[Path | None, typer.Option(help="Файл с паролем ключа (первая строка).")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Куда записать; по умолчанию — на стандартный вывод.")
    ] = None,
    escaping: Rules = Escaping.WOODSTOX,
) -> None:
    """Подписать элемент конверта и напечатать конверт с подписью; остальные байты не меняются.

    Подпись попадает в пустое место конверта, предназначенное для этого элемента
    (CallerInformationSystemSignature, SMEVSignature, PersonalSignature, …). Если в сообщении СМЭВ такого места нет,
    оно создаётся там, где его ждёт схема; в другом документе подпись встаёт сразу после элемента, а подпись
    корневого элемента — последней внутри него (enveloped).
    """
    with _refusals():
        data = _read(file)
        root = xml.parse(data)
        element = xmldsig.element_by_id(root, element_id)
        identity = load_identity(key, certificate, read_password(password_env, password_file))
        _write(
            out,
            _signed(
                data,
                root,
                element,
                lambda transforms: xmldsig.sign_element(
                    element, identity, transforms=transforms, escaping=escaping.value
                ),
            ),
        )


@app.command()
def verify(
    file: File,
    trust: Annotated[Path | None, typer.Option("--trust", help="Каталог хранилища доверия.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Ответ в JSON.")] = False,
    escaping: Rules = Escaping.WOODSTOX,
) -> None:
    """Проверить все подписи документа.

    Код выхода 0 — есть хотя бы одна подпись, ни один Id не повторяется и все подписи верны криптографически.
    Доверие к сертификату сообщается отдельно и на код выхода не влияет. 1 — подписи нет или она неверна,
    2 — файл не удалось разобрать.
    """
    with _refusals():
        root = xml.parse(_read(file))
        store = TrustStore.from_directory(trust) if trust is not None else None
        repeated = sorted(value for value, count in Counter(map(str, _IDS(root))).items() if count > 1)
        findings = [
            _judge(signature, finding, store) for signature, finding in xmldsig.examine(root, escaping=escaping.value)
        ]
    ok = bool(findings) and not repeated and all(finding.ok for finding in findings)
    if as_json:
        printing.as_json(
            {
                "file": file,
                "ok": ok,
                "repeated_ids": repeated,
                "reason": _summary(findings, repeated),
                "signatures": [finding.facts() for finding in findings],
            }
        )
    else:
        for number, finding in enumerate(findings, 1):
            typer.echo(f"Подпись {number}")
            for line in finding.lines():
                typer.echo(f"  {printing.harmless(line)}")
        typer.echo(_summary(findings, repeated) or "Все подписи верны криптографически.")
    if not ok:
        raise typer.Exit(EXIT_BAD_SIGNATURE)


@dataclass(frozen=True)
class _Finding:
    """One signature: what it says (None: its structure was refused), whether its signer is trusted, and why not."""

    verified: xmldsig.Verified | None
    trust: Trust
    reason: str
    misplaced: bool = False

    @property
    def ok(self) -> bool:
        return self.verified is not None and self.verified.ok and not self.misplaced

    def facts(self) -> dict[str, Any]:
        verified = self.verified
        facts: dict[str, Any] = {
            "element": None,
            "id": None,
            "algorithm": None,
            "digest_ok": False,
            "signature_ok": False,
            "ok": self.ok,
            "certificate": None,
            "trusted": self.trust.trusted,
            "trust_reason": self.trust.reason,
            "reason": self.reason,
        }
        if verified is not None:
            certificate = verified.certificate
            facts |= {
                "element": verified.element,
                "id": verified.element_id,
                "algorithm": verified.algorithm,
                "digest_ok": verified.digest_ok,
                "signature_ok": verified.signature_ok,
                "certificate": {
                    "subject": certificate.subject,
                    "issuer": certificate.issuer,
                    "serial": certificate.serial,
                    "not_before": certificate.not_before.isoformat(),
                    "not_after": certificate.not_after.isoformat(),
                    "valid_now": not certificate.validity(),
                    "fingerprint": certificate.fingerprint,
                },
            }
        return facts

    def lines(self) -> Iterator[str]:
        verified = self.verified
        if verified is not None:
            certificate = verified.certificate
            yield f"элемент:    {verified.element} (Id {verified.element_id})"
            yield f"хеш:        {'сходится' if verified.digest_ok else 'НЕ СХОДИТСЯ'}"
            yield f"подпись:    {'верна' if verified.signature_ok else 'НЕВЕРНА'} ({certificate.key_title})"
            yield f"сертификат: {certificate.subject}"
            yield (
                f"действует:  с {certificate.not_before:%d.%m.%Y} по {certificate.not_after:%d.%m.%Y}"
                f"{'' if not certificate.validity() else ' — сейчас не действует'}"
            )
            yield f"доверие:    {'да' if self.trust.trusted else 'нет'}. {self.trust.reason}"
        if self.reason:
            yield f"причина:    {self.reason}"


def _judge(
    signature: etree._Element, verified: xmldsig.Verified | SignatureRejected, store: TrustStore | None
) -> _Finding:
    if isinstance(verified, SignatureRejected):
        return _Finding(None, Trust(False, "Подпись не разобрана, доверие не проверялось."), verified.reason)
    trust = Trust(False, _NO_STORE)
    if store is not None:
        trust = store.check(verified.certificate, intermediates=verified.chain)
    wrapped = slots.misplaced(signature, verified.signed)
    return _Finding(verified, trust, verified.reason or wrapped, bool(wrapped))


def _summary(findings: list[_Finding], repeated: list[str]) -> str:
    """What is wrong with the whole, in Russian; empty when nothing is."""
    if repeated:
        return (
            f"Id повторяется: {', '.join(repeated)[:200]}. Каждый Id должен быть единственным, подписи нельзя верить."
        )
    if not findings:
        return "В документе нет ни одной подписи (ds:Signature)."
    bad = sum(not finding.ok for finding in findings)
    return f"Неверных подписей: {bad} из {len(findings)}." if bad else ""


def _signed(
    data: bytes, root: etree._Element, element: etree._Element, make: Callable[[Sequence[str]], bytes]
) -> bytes:
    """The envelope with the signature in its place (see `sign`)."""
    if element is root:
        signature = make(_ENVELOPED)
        span = octets.span_of(data, root, element)
        if span.content_end == span.end:
            return octets.filled(data, span, signature)
        return octets.inserted(data, span.content_end, signature)
    slot = slots.slot_for(element)
    if slot is not None:
        return octets.filled(data, octets.span_of(data, root, slot), make(xmldsig.SMEV))
    if slots.is_signed(element):
        raise ConfigError("Этот элемент уже подписан: уберите прежнюю подпись из конверта и подпишите снова.")
    missing = slots.missing_slot(element)
    if missing is None:
        return octets.inserted(data, octets.span_of(data, root, element).end, make(xmldsig.SMEV))
    name, after = missing
    parent = element.getparent()
    assert parent is not None  # missing_slot looked at it
    prefix = f"{parent.prefix}:" if parent.prefix else ""
    signature = f"<{prefix}{name}>".encode() + make(xmldsig.SMEV) + f"</{prefix}{name}>".encode()
    return octets.inserted(data, octets.span_of(data, root, after).end, signature)


def _read(file: str) -> bytes:
    """The whole file. Raises ConfigError; stops reading beyond the limit of the XML door."""
    try:
        if file == "-":
            return sys.stdin.buffer.read(xml.MAX_DOCUMENT_BYTES + 1)
        with open(file, "rb") as source:
            return source.read(xml.MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"Файл {file} не читается: проверьте путь и права.", detail=str(error)) from None


def _write(path: Path | None, data: bytes) -> None:
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"Файл {path} не пишется: проверьте путь и права.", detail=str(error)) from None


@contextmanager
def _refusals() -> Iterator[None]:
    """A bus error becomes one Russian sentence: exit 2 for input we cannot read, 1 for a signature refused."""
    try:
        yield
    except BusError as error:
        typer.echo(f"Ошибка: {error.reason}", err=True)
        bad_input = isinstance(error, MalformedXml | ConfigError)
        raise typer.Exit(EXIT_BAD_INPUT if bad_input else EXIT_BAD_SIGNATURE) from None
    except BrokenPipeError:
        sys.exit(1)
