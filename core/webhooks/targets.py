"""Where a webhook may go, and the POST itself.

The bus stands inside a network that its users do not: an address of a subscription must not become a way into it. So
the name is resolved here, every address it stands for is looked at, and the connection goes to exactly the address
that was looked at. No redirect is followed, nothing of the answer but its status is used, and the whole POST has one
deadline.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from core.errors import ConfigError, Permanent, Retryable

URL_MOST: Final = 1000
_Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]
_TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""NAT64, 6to4, Teredo: an IPv4 address inside, whatever it is."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a POST goes: scheme, name (for TLS and Host), port, path with query."""

    secure: bool
    host: str
    port: int
    path: str


def target_of(url: str) -> Target:
    """Raises ConfigError for an URL that is none of ours."""
    wrong = "Адрес вебхука должен быть вида https://узел/путь, без имени пользователя, пароля и решётки"
    if len(url) > URL_MOST or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(wrong)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(wrong) from None
    plain = parts.username is None and parts.password is None and not parts.fragment and "\\" not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or port == 0:
        raise ConfigError(wrong)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    return Target(secure, parts.hostname, port or (443 if secure else 80), path)


def check(url: str, allow: Networks) -> None:
    """Refuse what can never be delivered to; a name is resolved only when it is posted to. Raises ConfigError."""
    target = target_of(url)
    with contextlib.suppress(ValueError):
        _refuse([ipaddress.ip_address(target.host)], target, allow)


def addresses(target: Target, allow: Networks) -> list[_Address]:
    """What the name stands for. Raises ConfigError when one of it is forbidden, Retryable when it can't be resolved."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Retryable(f"Имя {target.host} не находится: проверьте адрес и DNS") from None
    resolved = list(dict.fromkeys(ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found))
    _refuse(resolved, target, allow)
    return resolved


def _refuse(resolved: Sequence[_Address], target: Target, allow: Networks) -> None:
    for one in resolved:
        plain = one.ipv4_mapped or one if isinstance(one, IPv6Address) else one
        permitted = any(plain.version == network.version and plain in network for network in allow)
        if permitted:
            continue
        translated = any(plain.version == 6 and plain in network for network in _TRANSLATED)
        if not plain.is_global or plain.is_multicast or translated:
            raise ConfigError(
                f"{target.host} — адрес внутренней сети: внесите эту сеть в allow таблицы [webhooks], если туда можно"
            )
        if not target.secure:
            raise ConfigError("Без TLS (http://) можно только в сети из allow таблицы [webhooks]: укажите https://")


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow: Networks, ca_file: Path | None, timeout_s: float
) -> int:
    """One POST; the status when it is 2xx.

    Raises Permanent for 410 (nobody is there any more), Retryable for anything else that is not a yes, ConfigError for
    a forbidden address.
    """
    target = target_of(url)
    found = addresses(target, allow)
    trust = _trust(ca_file) if target.secure else None
    try:
        with _connected(found, target, trust, timeout_s) as connection:
            connection.request("POST", target.path, body, dict(headers))
            with contextlib.closing(connection.getresponse()) as answer:
                status = answer.status
    except TimeoutError:
        raise Retryable("Получатель не ответил вовремя") from None
    except ssl.SSLCertVerificationError as error:
        raise Retryable(f"Сертификат получателя не принят: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Retryable(f"Получатель недоступен: {_words(error)}") from None
    if 200 <= status < 300:
        return status
    if status == 410:
        raise Permanent("Получатель ответил 410: он больше не ждёт событий")
    raise Retryable(f"Получатель ответил {status}", detail=str(status))


@contextlib.contextmanager
def _connected(
    found: Sequence[_Address], target: Target, trust: ssl.SSLContext | None, timeout_s: float
) -> Iterator[http.client.HTTPConnection]:
    """A connection to the first of these very addresses that takes one.

    It ends after `timeout_s`, whatever the other side does. Raises TimeoutError then.
    """
    host = f"[{target.host}]" if ":" in target.host else target.host
    connection = http.client.HTTPConnection(host, target.port)
    usual = 443 if target.secure else 80
    connection.default_port = usual  # so that Host names the port only when it must
    connection.auto_open = 0  # it must never look for the name by itself
    late = threading.Event()
    connection.sock = _open(found, target.port, timeout_s)

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError, AttributeError):  # it may be closed this very moment
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        if trust is not None:
            # The handshake comes when the deadline can reach its socket.
            secured = trust.wrap_socket(connection.sock, server_hostname=target.host, do_handshake_on_connect=False)
            connection.sock = secured
            secured.do_handshake()
        yield connection
        if late.is_set():
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        connection.close()


def _open(found: Sequence[_Address], port: int, timeout_s: float) -> socket.socket:
    ends = time.monotonic() + timeout_s
    for place, address in enumerate(found, start=1):
        try:
            return socket.create_connection((str(address), port), timeout=max(0.01, ends - time.monotonic()))
        except OSError:
            if place == len(found) or time.monotonic() > ends:
                raise
    raise TimeoutError


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ConfigError(f"Файл {ca_file} с удостоверяющими центрами не читается: исправьте ca_file") from None


def _words(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, http.client.HTTPException):
        return "отвечает не по HTTP"
    if isinstance(error, ssl.SSLError):
        return "соединение TLS не установлено"
    known = {errno.ECONNREFUSED: "соединение отклонено", errno.ECONNRESET: "соединение прервано"}
    known |= dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH), "нет пути к узлу")
    return known.get(error.errno or 0, f"сетевая ошибка {error.errno or type(error).__name__}")
