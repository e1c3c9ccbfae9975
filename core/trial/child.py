"""The child process in which an uploaded stylesheet or schema runs: no file, no network, little memory, no secrets.

`python -m core.trial.child`; frames on stdin and stdout, each a length of 4 octets and its content. First what is tried
(JSON), answered by "" or the reason why it does not compile; then document after document, each answered by JSON
{stage, reason, detail} or {output}. The parent decides how long it waits (`core.trial.sandbox`).

After the set-up the process can open no file descriptor any more, so neither document(), exsl:document nor a forgotten
door of libxml2 reaches a file or a socket. The access control of libxslt and the resolver say no before that.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import resource
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from lxml import etree

from core import stages, xml
from core.errors import BusError, SchemaViolation
from core.trial.candidate import resolve

MEMORY_MOST_BYTES: Final = 1024**3
"""Address space."""
CPU_MOST_S: Final = 600
OUTPUT_MOST_BYTES: Final = 16 * 1024 * 1024
FRAME_MOST_BYTES: Final = 64 * 1024 * 1024
BASE: Final = "trial:///"
_LENGTH: Final = struct.Struct(">I")
_PR_SET_PDEATHSIG: Final = 1


class Closed(Exception):
    """A reference that leads out of the upload."""


class Upload(etree.Resolver):
    """Gives files of the upload and nothing else."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self._files = files

    def resolve(self, system_url: str, public_id: str, context: Any) -> Any:  # type: ignore[override]  # noqa: ARG002
        name = resolve("", (system_url or "").removeprefix(BASE), self._files)
        if name is None:
            raise Closed(system_url or "")
        xml.parse(self._files[name])
        return self.resolve_string(self._files[name], context, base_url=BASE + name)


def main() -> None:
    """Serve until the parent closes the pipe."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    with contextlib.suppress(OSError, AttributeError):  # the parent was killed: nobody waits any more
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    given = read_frame(source)
    if given is None:
        return
    told = json.loads(given)
    files = {name: base64.b64decode(text) for name, text in told["files"].items()}
    close_in()
    try:
        apply = compiled(files, told["schema"], told["transform"])
    except BusError as error:
        write_frame(sink, error.reason.encode())
        return
    except Exception as error:  # whatever libxml2 makes of a stranger's file
        write_frame(sink, f"Загруженное не компилируется: {_words(error)}".encode())
        return
    write_frame(sink, b"")
    while (document := read_frame(source)) is not None:
        write_frame(sink, json.dumps(answer(apply, document)).encode())


def close_in() -> None:
    """From here on: no new file descriptor, no written file, this much memory and time."""
    limits = (
        (resource.RLIMIT_AS, MEMORY_MOST_BYTES),
        (resource.RLIMIT_CPU, CPU_MOST_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 3),
    )
    for limit, value in limits:
        with contextlib.suppress(ValueError, OSError):  # a lower limit stands already
            resource.setrlimit(limit, (value, value))


def compiled(files: Mapping[str, bytes], schema: str, transform: str) -> Callable[[bytes], bytes]:
    """What is tried, as one function: document → what the stylesheet makes of it, b"" without one."""
    checks = etree.XMLSchema(_document(files, schema)) if schema else None
    style = etree.XSLT(_document(files, transform), access_control=stages.NOTHING) if transform else None

    def apply(octets: bytes) -> bytes:
        document = xml.parse(octets)
        if checks is not None:
            stages.check_by(checks, schema, document)
        if style is None:
            return b""
        made = style(document).getroot()
        return b"" if made is None else etree.tostring(made, encoding="UTF-8")

    return apply


def answer(apply: Callable[[bytes], bytes], document: bytes) -> dict[str, str]:
    """One document; errors as what an operator reads. Of the stylesheet's own words only `detail` has any: they may
    quote the document."""
    try:
        output = apply(document)
    except etree.XSLTApplyError as error:
        return {"stage": "transform", "reason": "Новое преобразование не выполнилось", "detail": _words(error)}
    except SchemaViolation as error:
        return {"stage": "schema", "reason": error.reason, "detail": error.detail}
    except BusError as error:
        return {"stage": "parse", "reason": error.reason, "detail": error.detail}
    except MemoryError:
        return {"stage": "limit", "reason": "Новому преобразованию не хватило памяти (1 ГБ)", "detail": ""}
    except Exception as error:
        return {"stage": "transform", "reason": "Новое преобразование не выполнилось", "detail": _words(error)}
    if len(output) > OUTPUT_MOST_BYTES:
        return {"stage": "limit", "reason": "Новое преобразование дало больше 16 МБ", "detail": ""}
    return {"output": base64.b64encode(output).decode()}


def _document(files: Mapping[str, bytes], name: str) -> etree._ElementTree:
    parser = etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False, huge_tree=False)
    parser.resolvers.add(Upload(files))
    return etree.ElementTree(etree.fromstring(files[name], parser, base_url=BASE + name))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def read_frame(source: IO[bytes]) -> bytes | None:
    """None at the end. Raises OSError, EOFError."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > FRAME_MOST_BYTES:
        raise EOFError("a frame without measure")
    content = source.read(length)
    return content if len(content) == length else None


def write_frame(sink: IO[bytes], content: bytes) -> None:
    sink.write(_LENGTH.pack(len(content)) + content)
    sink.flush()


if __name__ == "__main__":
    main()
