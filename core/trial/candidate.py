"""What was uploaded to be tried: a stylesheet, a schema, or both, with the files that they include.

Files refer to each other only within the upload: by their relative path, or by a name that is there once. Parts of a
schema that are missing there are taken from the present version of this kind, and from nowhere else. Every file is read
by the guarded parser first, so none has a DTD.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lxml import etree

from core import xml
from core.errors import BusError, ConfigError
from core.route import Format
from core.settings import HOUSE

UPLOAD_MOST_BYTES: Final = 8 * 1024 * 1024
"""Everything together, unpacked."""
FILES_MOST: Final = 200
XSL: Final = "http://www.w3.org/1999/XSL/Transform"
XSD: Final = "http://www.w3.org/2001/XMLSchema"
_REFERENCES: Final = {
    f"{{{XSL}}}include": "href",
    f"{{{XSL}}}import": "href",
    f"{{{XSD}}}include": "schemaLocation",
    f"{{{XSD}}}import": "schemaLocation",
    f"{{{XSD}}}redefine": "schemaLocation",
}
NO_PYTHON: Final = (
    "Python из формы не запускается: это значило бы выполнить чужую программу на сервере шины. Преобразование на "
    "Python проверяет разработчик у себя: omsbus replay ВИД --candidate файл.py"
)


@dataclass(frozen=True)
class Candidate:
    """files: relative name → octets. transform, schema: names of the main files; "": the present one stays.

    python: a transformer of a developer, run in this very process: never from an upload
    borrowed: names of the files that were taken from the present version
    """

    files: Mapping[str, bytes]
    transform: str = ""
    schema: str = ""
    python: Path | None = None
    borrowed: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Hex sha256 of names and contents."""
        found = hashlib.sha256(self.python.read_bytes() if self.python else b"")
        for name, octets in sorted(self.files.items()):
            found.update(f"{name}\0{len(octets)}\0".encode() + octets)
        return found.hexdigest()

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.transform, self.schema, self.python.name if self.python else "")))


def from_upload(given: Iterable[tuple[str, bytes]], form: Format) -> Candidate:
    """Files as they were uploaded, zips unpacked. Raises ConfigError, MalformedXml: the reason names the file."""
    files: dict[str, bytes] = {}
    for name, octets in given:
        for inner, content in _unpacked(name, octets):
            path = _path(inner)
            if path.lower().endswith(".py"):
                raise ConfigError(NO_PYTHON)
            if path.lower().endswith((".xsl", ".xslt", ".xsd")):
                if path in files:
                    raise ConfigError(f"Файл {path} загружен дважды: оставьте один")
                files[path] = content
            if len(files) > FILES_MOST or sum(map(len, files.values())) > UPLOAD_MOST_BYTES:
                raise ConfigError(f"Слишком много: не больше {FILES_MOST} файлов и 8 МБ всего")
    if not files:
        raise ConfigError("Загрузите новое преобразование (.xsl), новую схему (.xsd) или архив zip с ними")
    roots = {name: _read(name, octets) for name, octets in files.items()}
    uploaded = set(files)
    if form.schema and any(one is None for name, root in roots.items() for _, one in _references(name, root, files)):
        files, uploaded = _beside_the_present(files, form.schema)
        roots = {name: _read(name, octets) for name, octets in files.items()}
    used = {target for name, root in roots.items() for target in _targets(name, root, files)}
    styles = [name for name in files if roots[name].tag in (f"{{{XSL}}}stylesheet", f"{{{XSL}}}transform")]
    schemas = [name for name in files if roots[name].tag == f"{{{XSD}}}schema"]
    if other := [name for name in files if name not in (*styles, *schemas)]:
        raise ConfigError(f"Файл {other[0]} — не преобразование XSLT и не схема XSD")
    mine = [name for name in schemas if name in uploaded]
    borrowed = tuple(sorted(set(files) - uploaded))
    return Candidate(files, _main_style(styles, used, form), _main_schema(mine, roots, used, form), borrowed=borrowed)


def from_text(text: str, form: Format) -> Candidate:
    """One pasted file. Raises ConfigError, MalformedXml."""
    octets = text.encode("utf-8", "backslashreplace")
    head = text.lstrip("\ufeff \t\r\n")
    if not head.startswith("<"):
        raise ConfigError(NO_PYTHON if "def transform" in text else "Вставьте текст XSLT или XSD: он начинается с <")
    if "encoding=" in head.partition("?>")[0]:  # the text was decoded by the browser
        octets = head.partition("?>")[2].encode("utf-8", "backslashreplace") if head.startswith("<?xml") else octets
    kind = "xsd" if _read("вставленный текст", octets).tag == f"{{{XSD}}}schema" else "xsl"
    return from_upload([(f"вставленный.{kind}", octets)], form)


def _unpacked(name: str, octets: bytes) -> Iterator[tuple[str, bytes]]:
    if not name.lower().endswith(".zip") and not octets.startswith(b"PK\x03\x04"):
        yield name, octets
        return
    left = UPLOAD_MOST_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            if len(archive.infolist()) > FILES_MOST * 2:
                raise ConfigError(f"В архиве слишком много файлов, а можно {FILES_MOST}")
            for one in archive.infolist():
                if one.is_dir():
                    continue
                with archive.open(one) as packed:
                    content = packed.read(left + 1)  # never more, whatever the archive promises
                left -= len(content)
                if left < 0:
                    raise ConfigError("Архив распаковывается больше чем в 8 МБ: загрузите только нужные файлы")
                yield one.filename, content
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, OSError, EOFError) as error:
        raise ConfigError(
            f"Архив {name[:80]} не распаковывается: сожмите файлы заново, без пароля", detail=str(error)
        ) from None


def _path(name: str) -> str:
    path = posixpath.normpath(name.replace("\\", "/").lstrip("/"))
    if path.startswith("..") or "\x00" in path or ":" in path or len(path) > 300:
        raise ConfigError("В именах файлов не бывает «..», двоеточия и пути от корня: переименуйте и загрузите снова")
    return path


def _read(name: str, octets: bytes) -> etree._Element:
    try:
        return xml.parse(octets)
    except BusError as error:
        raise type(error)(f"{name}: {error.reason}", detail=error.detail) from None


def resolve(base: str, reference: str, names: Iterable[str]) -> str | None:
    """The file of the upload that a file `base` means by `reference`; None when there is none."""
    known = list(names)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), reference))
    if path in known:
        return path
    same = [name for name in known if posixpath.basename(name) == posixpath.basename(reference)]
    return same[0] if len(same) == 1 else None


def _references(name: str, root: etree._Element, files: Iterable[str]) -> Iterator[tuple[etree._Element, str | None]]:
    """(the element that refers, the file it means); None: there is none. An import may name only its namespace."""
    for element in root.iter(*_REFERENCES):
        reference = element.get(_REFERENCES[str(element.tag)])
        if reference is not None:
            yield element, resolve(name, reference, files)
        elif element.tag != f"{{{XSD}}}import":
            yield element, None


def _targets(name: str, root: etree._Element, files: Mapping[str, bytes]) -> Iterator[str]:
    for element, target in _references(name, root, files):
        if target is None:
            wanted = (element.get(_REFERENCES[str(element.tag)]) or "")[:200]
            raise ConfigError(
                f"{name}, строка {element.sourceline}: нужен файл «{wanted}», а в загрузке его нет. Загрузите все "
                "файлы вместе (несколько сразу или zip): из сети и с диска сервера ничего не берётся"
            )
        yield target


def _beside_the_present(files: Mapping[str, bytes], schema: str) -> tuple[dict[str, bytes], set[str]]:
    """(the present schema with its parts and the upload laid over it, names of what was uploaded)."""
    laid = _present(schema)
    places: dict[str, str] = {}
    for name in files:
        if not name.lower().endswith(".xsd"):
            places[name] = name
            continue
        same = [one for one in laid if posixpath.basename(one) == posixpath.basename(name)]
        own = [one for one in same if posixpath.dirname(one) == posixpath.dirname(schema)]
        found = same if len(same) == 1 else own
        places[name] = found[0] if found else posixpath.join(posixpath.dirname(schema), name)
    if len(set(places.values())) < len(places):
        return dict(files), set(files)
    laid |= {place: files[name] for name, place in places.items()}
    return laid, set(places.values())


def _present(schema: str) -> dict[str, bytes]:
    """The present schema of the house and everything that it includes, by their paths below schemas/."""
    house, found, waiting = HOUSE / "schemas", dict[str, bytes](), [schema]
    while waiting:
        name = waiting.pop()
        if name in found or not (house / name).is_file():
            continue
        found[name] = (house / name).read_bytes()
        for element in xml.parse(found[name]).iter(*_REFERENCES):
            if reference := element.get(_REFERENCES[str(element.tag)]):
                waiting.append(posixpath.normpath(posixpath.join(posixpath.dirname(name), reference)))
    return found


def _main_style(styles: list[str], used: set[str], form: Format) -> str:
    if not styles:
        return ""
    if not form.transform:
        raise ConfigError("У этого вида нет преобразования: документ получает сам обработчик. Проверить можно схему")
    main = [name for name in styles if name not in used]
    if len(main) != 1:
        raise ConfigError(f"Какое преобразование главное? Подходят: {', '.join(main or styles)}. Оставьте одно")
    return main[0]


def _main_schema(schemas: list[str], roots: Mapping[str, etree._Element], used: set[str], form: Format) -> str:
    """The one that declares the root element of the documents."""
    if not schemas:
        return ""
    root = etree.QName(form.root)
    main = [
        name
        for name in schemas
        if (roots[name].get("targetNamespace") or None) == root.namespace
        and any(one.get("name") == root.localname for one in roots[name].iterfind(f"{{{XSD}}}element"))
    ]
    main = main or [name for name in schemas if name not in used]
    if len(main) != 1:
        raise ConfigError(
            f"Ни одна из схем не объявляет {form.root}, либо таких несколько: загрузите схему этого вида с её частями"
        )
    return main[0]
