"""The wire of СМЭВ 3: one POST of prepared octets, one answer. No bus types, no XML: octets in, octets out.

Keep-alive, thread-safe. An answer is read up to a limit and within a time; its root part is found in plain
`text/xml` and in `multipart/related` alike (FACTS §1: СМЭВ answers multipart even to an empty queue).
Whatever is not a whole answer raises `Lost`, which tells whether the request can have arrived.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import BufferedIOBase

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    PoolError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from connectors.smev3 import mime

_CHUNK_BYTES = 64 * 1024


class Why(StrEnum):
    """Why there is no usable answer."""

    UNREACHABLE = "unreachable"  # the request certainly did not arrive
    TIMEOUT = "timeout"  # it may have arrived
    CUT_OFF = "cut-off"  # the answer broke off: it did arrive
    TOO_LARGE = "too-large"  # the answer is longer than we read
    NOT_SOAP = "not-soap"  # a page of some proxy, an HTTP error without a fault


class Lost(Exception):
    """No usable answer. `detail` is for the journal and names no secret.

    received: what of its body did come, exactly. file: the whole body, when it was too long for memory.
    """

    def __init__(
        self, why: Why, detail: str, status: int = 0, *, received: bytes = b"", file: BufferedIOBase | None = None
    ) -> None:
        super().__init__(why, detail)
        self.why = why
        self.detail = detail
        self.status = status
        self.received = received
        self.file = file


@dataclass(frozen=True, slots=True)
class Answer:
    """status: of HTTP; envelope: octets of the root part; parts: Content-ID → octets of the other MIME parts."""

    status: int
    envelope: bytes
    parts: Mapping[str, bytes] = field(default_factory=dict)


class Client:
    """Speaks to the endpoints of one far side. Construction opens nothing."""

    def __init__(
        self,
        endpoints: Mapping[str, str],
        *,
        connect_timeout_s: float = 10.0,
        answer_timeout_s: float = 60.0,
        answer_most_bytes: int = 48 * 1024 * 1024,
        spool_most_bytes: int = 0,
        connections: int = 8,
    ) -> None:
        self._endpoints = dict(endpoints)
        self._answer_timeout_s = answer_timeout_s
        self._answer_most_bytes = answer_most_bytes
        self._spool_most_bytes = spool_most_bytes
        self._connect_timeout_s = connect_timeout_s
        self._pools = urllib3.PoolManager(num_pools=len(self._endpoints) or 1, maxsize=connections, block=False)

    def call(self, version: str, operation: str, envelope: bytes, *, spool: bool = False) -> Answer:
        """POST `envelope` to the endpoint of `version`; `operation` is SendRequest, GetResponse, Ack…

        Any HTTP status is an answer when its body is a SOAP envelope. Raises Lost; with `spool` an answer that is
        too long for memory comes in its `file`, for the caller to close.
        """
        headers = {
            "Content-Type": "text/xml; charset=UTF-8",
            "SOAPAction": f'"urn:{operation}"',
            "Accept": "multipart/related, text/xml, application/xop+xml",
        }
        until = time.monotonic() + self._answer_timeout_s
        try:
            response = self._pools.request(
                "POST",
                self._endpoints[version],
                body=envelope,
                headers=headers,
                timeout=urllib3.Timeout(connect=self._connect_timeout_s, read=self._answer_timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (NewConnectionError, ConnectTimeoutError, SSLError) as error:
            raise Lost(Why.UNREACHABLE, _words(error)) from None
        except ReadTimeoutError as error:
            raise Lost(Why.TIMEOUT, _words(error)) from None
        except ProtocolError as error:
            raise Lost(Why.CUT_OFF, _words(error)) from None
        except (HTTPError, OSError, ValueError) as error:
            raise Lost(Why.TIMEOUT, _words(error)) from None
        whole = False
        try:
            body = self._read(response, until, spool)
            whole = True
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()
        return _understand(response.status, response.headers.get("Content-Type", ""), body)

    def probe(self, version: str) -> None:
        """Reach the endpoint without moving a message: GET of its WSDL; any HTTP answer below 500 but 404 will do.

        Raises Lost.
        """
        url = self._endpoints[version] + "?wsdl"
        try:
            response = self._pools.request(
                "GET",
                url,
                timeout=urllib3.Timeout(connect=self._connect_timeout_s, read=self._connect_timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise Lost(Why.UNREACHABLE, _words(error)) from None
        response.close()
        if response.status >= 502 or response.status == 404:
            raise Lost(Why.NOT_SOAP, f"HTTP {response.status}", response.status)

    def close(self) -> None:
        """Close every connection; the client can be used again afterwards."""
        self._pools.clear()

    def _read(self, response: urllib3.BaseHTTPResponse, until: float, spool: bool) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Lost(Why.NOT_SOAP, "ответ сжат, хотя сжатие не запрашивалось", response.status)
        body = bytearray()
        try:
            while piece := response.read1(_CHUNK_BYTES):
                body += piece
                if len(body) > self._answer_most_bytes:
                    file = self._spool(response, body, until) if spool else None
                    raise Lost(Why.TOO_LARGE, f"больше {self._answer_most_bytes} байт", response.status, file=file)
                if time.monotonic() > until:
                    words = f"за отведённое время пришло только {len(body)} байт"
                    raise Lost(Why.TIMEOUT, words, response.status, received=bytes(body))
        except ReadTimeoutError as error:
            raise Lost(Why.TIMEOUT, _words(error), response.status, received=bytes(body)) from None
        except (ProtocolError, PoolError, OSError, HTTPError) as error:
            raise Lost(Why.CUT_OFF, _words(error), response.status, received=bytes(body)) from None
        return bytes(body)

    def _spool(self, response: urllib3.BaseHTTPResponse, body: bytearray, until: float) -> BufferedIOBase | None:
        """Read on, but to the disk: the octets are kept, memory does not grow with them. None: even for that too long.

        The file has no name: it is gone with its last user, also after kill -9.
        """
        file = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            size = file.write(body)
            body.clear()
            while size <= self._spool_most_bytes and time.monotonic() < until:
                piece = response.read1(_CHUNK_BYTES)
                if not piece:
                    return file
                size += file.write(piece)
        except BaseException:
            file.close()
            raise
        file.close()
        return None


def _understand(status: int, content_type: str, body: bytes) -> Answer:
    """Find the envelope in an answer that was read to its end."""
    if content_type[:10].lower() == "multipart/":
        try:
            root, parts = mime.split(body, content_type)
        except mime.Broken as error:
            raise Lost(Why.CUT_OFF, str(error), status, received=body) from None
    else:
        root, parts = body, {}
    if not root.strip():
        if 200 <= status < 300 and body == root:
            return Answer(status, b"")
        raise Lost(Why.NOT_SOAP if status >= 300 else Why.CUT_OFF, f"HTTP {status}, пустой ответ", status)
    html = "html" in content_type.lower() or root.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))
    if html or ((status < 200 or status >= 300) and b"Envelope" not in root[:4096]):
        raise Lost(Why.NOT_SOAP, f"HTTP {status}, {content_type[:80] or 'без типа'}", status)
    return Answer(status, root, parts)


def _words(error: Exception) -> str:
    """What happened, without the object addresses of urllib3 and without a query string."""
    return f"{type(error).__name__}: {str(error).rsplit(': ', 1)[-1]}"[:200]
