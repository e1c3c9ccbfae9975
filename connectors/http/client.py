"""The wire to a partner: one request with prepared octets, one answer. No bus types: octets in, octets out.

Keep-alive, thread-safe, follows no redirect, retries nothing. An answer is read up to a limit and within a time;
whatever is not a whole answer raises `Lost`, which tells whether the request can have arrived.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import BufferedIOBase
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

_CHUNK_BYTES: Final = 64 * 1024


class Why(StrEnum):
    """Why there is no usable answer."""

    UNREACHABLE = "unreachable"  # the request certainly did not arrive as a whole
    UNTRUSTED = "untrusted"  # there is no agreement on TLS: whose certificate, which version
    TIMEOUT = "timeout"  # it may have arrived
    CUT_OFF = "cut-off"  # the answer broke off, or was not HTTP: it may have arrived


class Lost(Exception):
    """No usable answer. `detail` is for the journal and names no secret; received: what of the answer came."""

    def __init__(self, why: Why, detail: str, *, received: bytes = b"") -> None:
        super().__init__(why, detail)
        self.why = why
        self.detail = detail
        self.received = received


@dataclass(frozen=True, slots=True)
class Answer:
    """status: of HTTP; headers: lower-case names; body: its beginning only, unless `whole`."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Trust:
    """Files of TLS: authorities (None: the system's), our certificate and its key."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises OSError, ssl.SSLError when a file is not what it should be."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file, password=_no_password)
        return context


class Client:
    """Speaks to one address. `trust` is None for plain http."""

    def __init__(
        self,
        url: str,
        method: str,
        *,
        trust: Trust | None,
        connect_timeout_s: float,
        answer_timeout_s: float,
        answer_most_bytes: int,
        connections: int,
    ) -> None:
        """Raises OSError, ssl.SSLError: the files of `trust`."""
        self._url = url
        self._method = method
        self._answer_timeout_s = answer_timeout_s
        self._answer_most_bytes = answer_most_bytes
        self._connect_timeout_s = connect_timeout_s
        self._context = trust.context() if trust else None
        self._pools = urllib3.PoolManager(
            num_pools=1, maxsize=connections, block=False, ssl_context=self._context, blocksize=_CHUNK_BYTES
        )

    def send(self, body: bytes | BufferedIOBase, headers: Mapping[str, str]) -> Answer:
        """One request; a stream goes in chunks. Raises Lost."""
        until = time.monotonic() + self._answer_timeout_s
        try:
            response = self._pools.request(
                self._method,
                self._url,
                body=body,
                headers={"Accept-Encoding": "identity", "User-Agent": "omsbus"} | dict(headers),
                timeout=urllib3.Timeout(connect=self._connect_timeout_s, read=self._answer_timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise Lost(Why.UNREACHABLE, _words(error)) from None
        except SSLError as error:
            raise Lost(Why.UNTRUSTED, _words(error)) from None
        except ReadTimeoutError as error:
            raise Lost(Why.TIMEOUT, _words(error)) from None
        except (HTTPError, OSError, ValueError) as error:
            why = Why.CUT_OFF if isinstance(error, ProtocolError) else Why.TIMEOUT
            raise Lost(why, _words(error)) from None
        if not isinstance(body, bytes):  # a long one took its time: the answer's begins now
            until = time.monotonic() + self._answer_timeout_s
        return self._read(response, until)

    def probe(self) -> None:
        """Connect, agree on TLS, hang up. Raises Lost."""
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        port = parts.port or (443 if self._context else 80)
        try:
            with contextlib.ExitStack() as stack:
                plain = stack.enter_context(socket.create_connection((host, port), self._connect_timeout_s))
                if self._context:
                    stack.enter_context(self._context.wrap_socket(plain, server_hostname=host))
        except ssl.SSLError as error:
            raise Lost(Why.UNTRUSTED, _words(error)) from None
        except OSError as error:
            raise Lost(Why.UNREACHABLE, _words(error)) from None

    def close(self) -> None:
        """Drop all connections; the next request makes new ones."""
        self._pools.clear()

    def _read(self, response: urllib3.BaseHTTPResponse, until: float) -> Answer:
        body = bytearray()
        whole = False
        try:
            while piece := response.read1(_CHUNK_BYTES):
                body += piece
                if len(body) > self._answer_most_bytes:
                    break
                if time.monotonic() > until:
                    words = f"за отведённое время пришло только {len(body)} байт"
                    raise Lost(Why.TIMEOUT, words, received=bytes(body))
            else:
                whole = True
        except ReadTimeoutError as error:
            raise Lost(Why.TIMEOUT, _words(error), received=bytes(body)) from None
        except (HTTPError, OSError) as error:
            raise Lost(Why.CUT_OFF, _words(error), received=bytes(body)) from None
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, bytes(body[: self._answer_most_bytes]), headers, whole)


def _no_password() -> str:
    """OpenSSL asks at the terminal when nobody answers; a key with a password is an error of the settings."""
    return ""


def _words(error: Exception) -> str:
    """What happened, without the object addresses of urllib3 and without an address."""
    return f"{type(error).__name__}: {str(error).rsplit(': ', 1)[-1]}"[:200]
