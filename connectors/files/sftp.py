"""SFTP by paramiko. The server's key must be the one that the settings name: an unknown server is refused.

Names travel as octets: paramiko takes them so everywhere but in listings, so the listing is read here.
"""

from __future__ import annotations

import contextlib
import hmac
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import paramiko
from paramiko.sftp import CMD_CLOSE, CMD_HANDLE, CMD_NAME, CMD_OPENDIR, CMD_READDIR

from connectors.files.client import BLOCK_BYTES, LIST_MOST, Absent, Entry, Refused, What
from connectors.files.names import judge
from connectors.files.sftp_window import Window
from core.errors import ConfigError, Unavailable

_FAILURES: Final = (paramiko.SSHException, OSError, EOFError, ValueError, LookupError, AttributeError)


@dataclass(frozen=True, slots=True)
class SftpAddress:
    """Where and how to log in. path: as in the URL, from the root of the server; `/~/…` from the folder of login.

    host_key: `SHA256:…` of the server's key, or the path of a known_hosts file.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    key: paramiko.PKey | None = field(repr=False)
    host_key: str
    path: str
    encoding: str
    connect_timeout_s: float
    answer_timeout_s: float


def read_key(file: Path, password: str) -> paramiko.PKey:
    """Our private key. Raises ConfigError."""
    try:
        return paramiko.PKey.from_path(file, password=password.encode() if password else None)  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
        text = f"Ключ SFTP {file} не читается: проверьте путь, права и пароль ключа"
        raise ConfigError(text, detail=type(error).__name__) from None


class SftpClient:
    """One connection, logged in by the constructor."""

    def __init__(self, address: SftpAddress) -> None:
        self._encoding = address.encoding
        self._where = f"{address.host}:{address.port}"
        path = address.path.rstrip("/")
        self._base = (path.removeprefix("/~").removeprefix("/") or ".") if path.startswith("/~") else path
        self._ssh = paramiko.SSHClient()
        try:
            self._sftp = self._logged_in(address)
        except BaseException:
            self.close()
            raise

    def _logged_in(self, address: SftpAddress) -> paramiko.SFTPClient:
        self._trust(address.host_key)
        try:
            self._ssh.connect(
                address.host,
                address.port,
                username=address.user,
                password=address.password or None,
                pkey=address.key,
                timeout=address.connect_timeout_s,
                banner_timeout=address.connect_timeout_s,
                auth_timeout=address.answer_timeout_s,
                channel_timeout=address.answer_timeout_s,
                allow_agent=False,
                look_for_keys=False,
            )
            sftp = self._ssh.open_sftp()
            channel = sftp.get_channel()
            assert channel is not None
            channel.settimeout(address.answer_timeout_s)
        except (paramiko.BadHostKeyException, _Stranger) as error:
            raise ConfigError(
                f"Ключ сервера {self._where} не тот, что в настройках: выясните у владельца, не сменён ли он, "
                "и исправьте host_key",
                detail=str(error),
            ) from None
        except paramiko.AuthenticationException as error:
            text = f"Сервер {self._where} не принял имя, пароль или ключ: исправьте user, пароль и key_file"
            raise ConfigError(text, detail=str(error)) from None
        except _FAILURES as error:
            raise self._away(error) from None
        return sftp

    def _trust(self, host_key: str) -> None:
        if host_key.startswith("SHA256:"):
            self._ssh.set_missing_host_key_policy(_Pinned(host_key))
            return
        self._ssh.set_missing_host_key_policy(_Nobody())
        try:
            self._ssh.load_host_keys(host_key)
        except (OSError, ValueError, paramiko.SSHException) as error:
            text = f"Файл ключей серверов {host_key} не читается: исправьте host_key"
            raise ConfigError(text, detail=type(error).__name__) from None

    # ── what a client does ───────────────────────────────────────────────────────────────────────────────────────

    def listing(self, folder: str) -> list[Entry]:
        with self._translated():
            return self._read_folder(self._path(folder))

    def stat(self, folder: str, name: str) -> Entry:
        with self._translated():
            return self._entry(name.encode(self._encoding), self._sftp.lstat(self._path(folder, name)))

    def fetch(self, folder: str, name: str, take: Callable[[bytes], None]) -> None:
        with self._translated():
            file = self._sftp.open(self._path(folder, name), "rb")
        with file:
            with self._translated():
                blocks = Window(self._sftp, file).blocks(file.stat().st_size or 0)
            while True:
                with self._translated():
                    block = next(blocks, None)
                if block is None:
                    break
                take(block)

    def write(self, folder: str, name: str, content: BinaryIO) -> None:
        with self._translated(writing=True):
            file = self._sftp.open(self._path(folder, name), "wb")
        with file:
            window, offset = Window(self._sftp, file), 0
            while block := content.read(BLOCK_BYTES):
                with self._translated(writing=True):
                    window.write(offset, block)
                offset += len(block)
            with self._translated(writing=True):
                window.finish()

    def rename(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        old, new = self._path(folder, name), self._path(to_folder, to_name)
        with self._translated():
            try:
                # In one step; the plain rename of OpenSSH is a link and an unlink.
                self._renamed(self._sftp.posix_rename, old, new, to_folder)
            except Refused:
                self._renamed(self._sftp.rename, old, new, to_folder)

    def _renamed(self, rename: Callable[[bytes, bytes], None], old: bytes, new: bytes, to_folder: str) -> None:
        try:
            rename(old, new)
        except FileNotFoundError:
            self._sftp.lstat(old)
            raise Refused(f"no folder {to_folder}") from None
        except OSError as error:
            if error.errno is None and not isinstance(error, (TimeoutError, ConnectionError)):
                raise Refused(str(error)) from None
            raise

    def delete(self, folder: str, name: str) -> None:
        with self._translated():
            self._sftp.remove(self._path(folder, name))

    def make_folder(self, folder: str) -> None:
        path = ""
        for part in folder.split("/"):
            path = f"{path}/{part}" if path else part
            with self._translated():
                try:
                    self._sftp.stat(self._path(path))
                except FileNotFoundError:
                    self._sftp.mkdir(self._path(path))

    def alive(self) -> bool:
        try:
            self._sftp.stat(self._path("."))
        except FileNotFoundError:
            return True
        except _FAILURES:
            return False
        return True

    def close(self) -> None:
        with contextlib.suppress(Exception):  # whatever a broken connection may say at its end
            self._ssh.close()

    # ── how it is said ───────────────────────────────────────────────────────────────────────────────────────────

    def _read_folder(self, path: bytes) -> list[Entry]:
        """`SFTPClient.listdir_attr` without its decoding of names."""
        kind, answer = self._sftp._request(CMD_OPENDIR, path)  # type: ignore[attr-defined]
        if kind != CMD_HANDLE:
            raise ValueError("no handle")
        handle = answer.get_binary()
        found: list[Entry] = []
        while len(found) < LIST_MOST:
            try:
                kind, answer = self._sftp._request(CMD_READDIR, handle)  # type: ignore[attr-defined]
            except EOFError:
                break
            if kind != CMD_NAME:
                raise ValueError("no names")
            for _ in range(answer.get_int()):
                raw, _long = answer.get_binary(), answer.get_binary()
                attributes = paramiko.SFTPAttributes._from_msg(answer)  # type: ignore[attr-defined]
                if raw not in (b".", b".."):
                    found.append(self._entry(raw, attributes))
        self._sftp._request(CMD_CLOSE, handle)  # type: ignore[attr-defined]
        return found

    def _entry(self, raw: bytes, found: paramiko.SFTPAttributes) -> Entry:
        name, problem = judge(raw, self._encoding)
        size, modified_s = found.st_size or 0, found.st_mtime
        return Entry(name, raw, _what(found.st_mode), size, modified_s, f"{size}-{modified_s}", problem)

    def _path(self, folder: str, name: str = "") -> bytes:
        return f"{self._base}/{folder}{'/' if name else ''}{name}".encode(self._encoding)

    @contextlib.contextmanager
    def _translated(self, *, writing: bool = False) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise Absent(str(error)) from None
        except PermissionError as error:
            raise Refused(str(error)) from None
        except OSError as error:
            if error.errno is not None or isinstance(error, (TimeoutError, ConnectionError)) or "closed" in str(error):
                raise self._away(error) from None
            if writing:  # SFTP has no word for a full disk: it fails, and that is all
                raise Unavailable(
                    f"Сервер {self._where} не записал файл: скорее всего, нет места; попросите владельца проверить",
                    detail=str(error),
                ) from None
            raise Refused(str(error)) from None
        except _FAILURES as error:
            raise self._away(error) from None

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"Сервер {self._where} недоступен или оборвал соединение: проверьте сеть и сервер, шина повторит сама",
            detail=f"{type(error).__name__}: {error}",
        )


class _Stranger(Exception):
    """The server's key is not the one that we know."""


class _Nobody(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        raise _Stranger(f"unknown {key.get_name()} {key.fingerprint}")


class _Pinned(paramiko.MissingHostKeyPolicy):
    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint.rstrip("=")

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        if not hmac.compare_digest(key.fingerprint.rstrip("="), self._fingerprint):
            raise _Stranger(f"{key.get_name()} {key.fingerprint}")


def _what(mode: int | None) -> What:
    if mode is None or stat.S_ISREG(mode) or not stat.S_IFMT(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"
