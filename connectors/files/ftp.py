"""FTP and FTPS (explicit TLS) by ftplib.

Names travel as octets: ftplib speaks latin-1, which is every octet as it is, and the encoding is ours to apply. The
data connection goes to the host of the control connection, whatever address a PASV answer names (ftplib's default).
Under TLS the data connection is protected too (PROT P) and resumes the session of the control connection: many servers
demand that.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import itertools
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final

from connectors.files import ftp_listing
from connectors.files.client import BLOCK_BYTES, LINE_MOST_BYTES, LIST_MOST, LISTING_MOST_BYTES, Absent, Entry, Refused
from core.errors import ConfigError, Unavailable

_REPLY_MOST_LINES: Final = 1000
_NO_ROOM: Final = ("452", "552")
_UNKNOWN: Final = ("500", "501", "502", "504", "202")
_FAILURES: Final[tuple[type[Exception], ...]] = (
    ftplib.Error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
)
"""What ftplib raises, at answers that make no sense too."""
_CROWDED: Final = re.compile(r"max|many|limit|already|busy", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FtpAddress:
    """Where and how to log in. path: as in the URL, relative to the folder of login unless it begins with `//`."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    path: str = ""
    encoding: str = "utf-8"
    context: ssl.SSLContext | None = None
    passive: bool = True
    telnet_iac: bool = False
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 60.0


class FtpClient:
    """One control connection, logged in by the constructor."""

    def __init__(self, address: FtpAddress) -> None:
        self._address = address
        self._encoding = address.encoding
        self._ftp: ftplib.FTP = _Secure(address) if address.context else _Plain(address)
        self._where = f"{address.host}:{address.port}"
        self._type = ""
        self._folder = ""
        self._facts = False
        self._list_only = False
        self._base = ""
        try:
            self._log_in()
        except BaseException:
            self.close()
            raise

    def _log_in(self) -> None:
        address, ftp = self._address, self._ftp
        try:
            ftp.connect(address.host, address.port, timeout=address.connect_timeout_s)
            assert ftp.sock is not None
            ftp.sock.settimeout(address.answer_timeout_s)
            ftp.timeout = address.answer_timeout_s
            ftp.set_pasv(address.passive)
            if isinstance(ftp, _Secure):
                ftp.auth()
            ftp.login(self._sent(address.user), self._sent(address.password))
            if isinstance(ftp, _Secure):
                ftp.prot_p()
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(
                f"Сертификат сервера {self._where} не принят: проверьте адрес и ca_file, уточните у владельца сервера",
                detail=error.verify_message,
            ) from None
        except ftplib.error_perm as error:
            raise self._not_let_in(str(error)) from None
        except _FAILURES as error:
            raise self._away(error) from None
        self._base = self._home()
        features = self._features()
        facts = re.search(r"^ ?MLST\b(.*)", features, re.IGNORECASE | re.MULTILINE)
        self._facts = facts is not None and {"type*", "size*", "modify*"} <= {*facts[1].lower().strip().split(";")}
        if self._encoding == "utf-8" and re.search(r"^ ?UTF8", features, re.IGNORECASE | re.MULTILINE):
            with contextlib.suppress(Refused):
                self._command("OPTS UTF8 ON")

    def _not_let_in(self, words: str) -> Unavailable | ConfigError:
        if words[:3] in ("500", "502", "504", "534") and self._address.context:
            text = f"Сервер {self._where} не согласен на TLS (ftps): уточните протокол у владельца сервера"
            return ConfigError(text, detail=words)
        if words[:3] != "530" or _CROWDED.search(words):
            return Unavailable(f"Сервер {self._where} сейчас не пускает: шина попробует позже", detail=words)
        return ConfigError(
            f"Сервер {self._where} не принял имя или пароль: исправьте user и пароль в настройках", detail=words
        )

    def _home(self) -> str:
        """The folder to which the settings' path leads, absolute where the server says where we are."""
        path = self._address.path.removeprefix("/").rstrip("/").encode(self._encoding).decode("latin-1")
        if path.startswith("/"):
            return path
        with contextlib.suppress(Refused):
            reply = self._command("PWD")
            if found := re.match(r'257[ -]"(.*)"', reply):
                return f"{found[1].replace(chr(34) * 2, chr(34)).rstrip('/')}/{path}".rstrip("/")
        return path

    def _features(self) -> str:
        try:
            return self._command("FEAT")
        except Refused:
            return ""

    # ── what a client does ───────────────────────────────────────────────────────────────────────────────────────

    def listing(self, folder: str) -> list[Entry]:
        self._enter(folder)
        if self._facts:
            lines = self._lines("MLSD")
            found = [ftp_listing.of_facts(line, self._encoding) for line in lines]
            return [one for one in found if one is not None]
        entries, strange = ftp_listing.of_list(self._lines("LIST"), self._encoding)
        if strange and not entries:
            raise Unavailable(
                f"Список файлов сервера {self._where} неизвестного вида: передайте разработчику",
                detail=strange[0][:200].decode("latin-1"),
            )
        if self._list_only:
            return entries
        # LIST shows minutes: size and time to the second are asked of the files that matter (`stat`).
        return [replace(one, mark="") for one in entries]

    def stat(self, folder: str, name: str) -> Entry:
        self._enter(folder)
        if self._facts:
            return self._by_facts(name)
        found = None if self._list_only else self._by_size(name)
        if found is None:
            self._list_only = True
            found = next((one for one in self.listing(folder) if one.name == name and not one.problem), None)
        if found is None:
            raise Absent(name)
        return found

    def _by_facts(self, name: str) -> Entry:
        try:
            reply = self._command(f"MLST {self._sent(name)}")
        except Refused as error:
            raise Absent(str(error)) from None
        for line in reply.splitlines()[1:]:
            if line.startswith(" ") and (found := ftp_listing.of_facts(line[1:].encode("latin-1"), self._encoding)):
                raw = name.encode(self._encoding)
                return Entry(name, raw, found.what, found.size_bytes, found.modified_s, found.mark)
        raise self._away(ftplib.error_proto("MLST"))

    def _by_size(self, name: str) -> Entry | None:
        """By SIZE and MDTM; None when the server has no such commands."""
        self._binary()
        try:
            size = self._command(f"SIZE {self._sent(name)}")[3:].strip()
            modified = self._command(f"MDTM {self._sent(name)}")[3:].strip()
        except Refused as error:
            if str(error).startswith(_UNKNOWN):
                return None
            raise Absent(str(error)) from None
        mark = f"{size}-{modified}"
        moment_s = ftp_listing.moment_s(modified)
        return Entry(name, name.encode(self._encoding), "file", ftp_listing.number(size), moment_s, mark)

    def fetch(self, folder: str, name: str, take: Callable[[bytes], None]) -> None:
        self._enter(folder)
        self._binary()
        with self._of_file(folder, name):
            data = self._transfer(f"RETR {self._sent(name)}")
        with data:
            while block := self._received(data):
                take(block)
            self._end(data)
        with self._translated():
            self._ftp.voidresp()

    def write(self, folder: str, name: str, content: BinaryIO) -> None:
        self._enter(folder)
        self._binary()
        with self._transfer(f"STOR {self._sent(name)}") as data:
            broken = None
            while block := content.read(BLOCK_BYTES):
                try:
                    data.sendall(block)
                except OSError as error:
                    broken = error
                    break
            if broken is None:
                self._end(data)
        with self._translated():
            self._ftp.voidresp()  # the server says why it has hung up: no room, for example
        if broken is not None:
            raise self._away(broken)

    def rename(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        self._enter(folder)
        with self._of_file(folder, name):
            self._command(f"RNFR {self._sent(name)}")
        target = self._sent(to_name) if to_folder == folder else f"{self._path(to_folder)}/{self._sent(to_name)}"
        self._command(f"RNTO {target}")

    def delete(self, folder: str, name: str) -> None:
        self._enter(folder)
        with self._of_file(folder, name):
            self._command(f"DELE {self._sent(name)}")

    def make_folder(self, folder: str) -> None:
        path = self._base
        for part in folder.split("/"):
            path = f"{path}/{self._sent(part)}"
            try:
                self._command(f"CWD {path}")
            except Refused:
                try:
                    self._command(f"MKD {path}")
                except Refused:
                    self._command(f"CWD {path}")  # somebody else has made it meanwhile, or it is refused
            finally:
                self._folder = ""

    def alive(self) -> bool:
        try:
            self._ftp.voidcmd("NOOP")
        except _FAILURES:
            return False
        return True

    def close(self) -> None:
        with contextlib.suppress(*_FAILURES):
            self._ftp.close()

    # ── how it is said ───────────────────────────────────────────────────────────────────────────────────────────

    def _enter(self, folder: str) -> None:
        path = self._path(folder)
        if self._folder == path:
            return
        try:
            self._command(f"CWD {path}")
        except Refused as error:
            raise Absent(str(error)) from None
        self._folder = path

    def _path(self, folder: str) -> str:
        return f"{self._base}/{self._sent(folder)}"

    def _sent(self, name: str) -> str:
        return name.encode(self._encoding).decode("latin-1")

    def _binary(self) -> None:
        self._as("I")

    def _as(self, form: str) -> None:
        if self._type != form:
            self._command(f"TYPE {form}")
            self._type = form

    def _lines(self, command: str) -> list[bytes]:
        self._as("A")
        text = io.BytesIO()
        with self._transfer(command) as data:
            while block := self._received(data):
                text.write(block)
                if text.tell() > LISTING_MOST_BYTES:
                    raise Unavailable(
                        f"Список файлов на {self._where} слишком велик: пусть владелец сервера разберёт папку"
                    )
            self._end(data)
        with self._translated():
            self._ftp.voidresp()
        text.seek(0)
        lines = (line.removesuffix(b"\n").removesuffix(b"\r") for line in text if len(line) <= LINE_MOST_BYTES)
        return list(itertools.islice((line for line in lines if line.strip()), LIST_MOST))

    def _command(self, line: str) -> str:
        with self._translated():
            return self._ftp.sendcmd(line)

    def _transfer(self, command: str) -> socket.socket:
        with self._translated():
            return self._ftp.transfercmd(command)

    def _received(self, data: socket.socket) -> bytes:
        with self._translated():
            return data.recv(BLOCK_BYTES)

    def _end(self, data: socket.socket) -> None:
        """Say goodbye on a protected data connection; a server that does not answer it is no error."""
        if isinstance(data, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                data.unwrap()

    @contextlib.contextmanager
    def _of_file(self, folder: str, name: str) -> Iterator[None]:
        """550 says everything: whether the file is there at all must be asked apart."""
        try:
            yield
        except Refused:
            self.stat(folder, name)
            raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ftplib.error_perm as error:
            words = str(error)
            if words.startswith(_NO_ROOM):
                raise self._full(words) from None
            if words.startswith("530"):  # the login was good: the server has ended the session
                raise self._away(error) from None
            raise Refused(words, of_name=words.startswith(("553", "501"))) from None
        except ftplib.error_temp as error:
            if str(error).startswith(_NO_ROOM):
                raise self._full(str(error)) from None
            raise self._away(error) from None
        except _FAILURES as error:
            raise self._away(error) from None

    def _full(self, words: str) -> Unavailable:
        text = f"На сервере {self._where} нет места: попросите владельца освободить его, шина повторит сама"
        return Unavailable(text, detail=words)

    def _away(self, error: Exception) -> Unavailable:
        what = "отвечает не по протоколу FTP"
        if isinstance(error, ftplib.error_temp):
            what = "не может этого сейчас"
        elif isinstance(error, (OSError, EOFError)):
            what = "недоступен или оборвал соединение"
        return Unavailable(
            f"Сервер {self._where} {what}: проверьте сеть и сервер, шина повторит сама",
            detail=f"{type(error).__name__}: {error}",
        )


class _Spoken(ftplib.FTP):
    """ftplib with the limits and the doubling of 0xFF that it lacks."""

    telnet_iac = False

    def putline(self, line: str) -> None:
        super().putline(line.replace("\xff", "\xff\xff") if self.telnet_iac else line)

    def getline(self) -> str:
        line = super().getline()
        return str(line.replace("\xff\xff", "\xff") if self.telnet_iac else line)

    def getmultiline(self) -> str:
        line = self.getline()
        if line[3:4] != "-":
            return line
        lines, code = [line], line[:3]
        while True:
            lines.append(self.getline())
            if lines[-1][:3] == code and lines[-1][3:4] != "-":
                return "\n".join(lines)
            if len(lines) > _REPLY_MOST_LINES:
                raise ftplib.error_proto("endless reply")


class _Plain(_Spoken):
    def __init__(self, address: FtpAddress) -> None:
        super().__init__(encoding="latin-1")
        self.telnet_iac = address.telnet_iac


class _Secure(_Spoken, ftplib.FTP_TLS):
    def __init__(self, address: FtpAddress) -> None:
        ftplib.FTP_TLS.__init__(self, context=address.context, encoding="latin-1")
        self.telnet_iac = address.telnet_iac

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            return self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session), size
        except BaseException:
            data.close()
            raise
