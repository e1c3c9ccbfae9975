"""FTP and FTPS (explicit TLS) on a port of this machine, in a thread, over a folder; by pyftpdlib.

with FtpSimulator(folder, password="…") as server:
    server.port, server.mischief.arm("STOR", "552 No space left")
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    # pyftpdlib stands on asyncore and asynchat, which it brings along itself from Python 3.12 on.
    warnings.simplefilter("ignore", DeprecationWarning)
    from OpenSSL import SSL
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

from simulators.ftp.mischief import Fault, Mischief

RIGHTS = "elradfmwMT"
_TICK_S = 0.02


class FtpSimulator:
    """One server. `without`: commands it does not know (`MLSD`, `MLST`, `SIZE`, `MDTM`, `MKD`)."""

    def __init__(
        self,
        home: Path,
        *,
        user: str = "exchange",
        password: str,
        host: str = "127.0.0.1",
        port: int = 0,
        encoding: str = "utf-8",
        without: Sequence[str] = (),
        certificate: Path | None = None,
        reuse_required: bool = False,
    ) -> None:
        """certificate: PEM with the key; makes it FTPS. reuse_required: data connections must resume the session."""
        self.home = home
        self.mischief = Mischief()
        self.host, self.port = host, port
        self._handler = _handler(self.mischief, encoding, without, certificate, reuse_required)
        self._handler.authorizer = DummyAuthorizer()
        self._handler.authorizer.add_user(user, password, str(home), perm=RIGHTS)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; on the port of the last time, if there was one."""
        loop = IOLoop()
        server = FTPServer((self.host, self.port), self._handler, ioloop=loop)
        self.port = server.address[1]
        self._stopping.clear()
        self._thread = threading.Thread(target=self._serve, args=(loop, server), name="ftp simulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Break every connection and listen no more. Files stay."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _serve(self, loop: Any, server: Any) -> None:
        try:
            while not self._stopping.is_set():
                loop.loop(timeout=_TICK_S, blocking=False)
        finally:
            server.close_all()

    def __enter__(self) -> FtpSimulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _handler(
    mischief: Mischief, encoding: str, without: Sequence[str], certificate: Path | None, reuse_required: bool
) -> Any:
    base = TLS_FTPHandler if certificate else FTPHandler
    values: dict[str, Any] = {
        "mischief": mischief,
        "encoding": encoding,
        "unicode_errors": "surrogateescape",
        "use_sendfile": False,
        "banner": "omsbus simulator",
        "auth_failed_timeout": 0,
        "permit_foreign_addresses": True,
        "proto_cmds": {name: value for name, value in base.proto_cmds.items() if name not in without},
        "dtp_handler": _ReusedData if reuse_required else _SecureData if certificate else _PlainData,
    }
    if certificate:
        values |= {"certfile": str(certificate), "tls_control_required": True, "tls_data_required": True}
        values["ssl_context"] = None
    return type("Handler", (_Misbehaving, base), values)


class _Misbehaving:
    """Of a handler of control connections."""

    mischief: Mischief
    cut_after = -1
    _hang_up = False

    def pre_process_command(self: Any, line: str, command: str, argument: str) -> None:
        fault = self.mischief.next(command)
        self.masquerade_address = self.mischief.foreign_pasv or None
        if fault is None:
            super().pre_process_command(line, command, argument)  # type: ignore[misc]
        elif fault.delay_s:
            go_on = super().pre_process_command  # type: ignore[misc]
            self.ioloop.call_later(fault.delay_s, go_on, line, command, argument)
        else:
            self._do_wrong(fault, line, command, argument)

    def _do_wrong(self: Any, fault: Fault, line: str, command: str, argument: str) -> None:
        if fault.after >= 0:
            self.cut_after = fault.after
            super().pre_process_command(line, command, argument)  # type: ignore[misc]
        elif fault.done:
            self._hang_up = True
            super().pre_process_command(line, command, argument)  # type: ignore[misc]
        elif fault.reply:
            self.push(f"{fault.reply}\r\n")
        else:
            self.close()

    def push(self: Any, data: str) -> None:
        if self._hang_up and not data.startswith("1"):  # a transfer may begin
            self.close()
        else:
            super().push(data)  # type: ignore[misc]

    def push_dtp_data(self: Any, data: Any, isproducer: bool = False, file: Any = None, cmd: str = "") -> None:
        if cmd in ("MLSD", "LIST") and self.mischief.names:
            form = {
                "MLSD": b"type=file;size=9;modify=20260101000000; %b\r\n",
                "LIST": b"-rw-r--r--   1 owner    group           9 Jan 01 00:00 %b\r\n",
            }[cmd]
            data = _Before(b"".join(form.replace(b"%b", name) for name in self.mischief.names), data)
        super().push_dtp_data(data, isproducer, file=file, cmd=cmd)  # type: ignore[misc]


class _Before:
    """A producer: some octets, then another producer."""

    def __init__(self, first: bytes, then: Any) -> None:
        self._first = first
        self._then = then

    def more(self) -> bytes:
        first, self._first = self._first, b""
        return first or self._then.more()


class _Cutting:
    """Of a handler of data connections: ends a transfer after so many octets."""

    def send(self: Any, data: bytes) -> int:
        if self._cut(self.tot_bytes_sent):
            return 0
        limit = self.cmd_channel.cut_after
        if limit >= 0:
            data = data[: max(1, limit - self.tot_bytes_sent)]
        return int(super().send(data))  # type: ignore[misc]

    def handle_read(self: Any) -> None:
        super().handle_read()  # type: ignore[misc]
        self._cut(self.tot_bytes_received)

    def handle_read_event(self: Any) -> None:
        super().handle_read_event()  # type: ignore[misc]
        self._cut(self.tot_bytes_received)

    def _cut(self: Any, passed: int) -> bool:
        limit = self.cmd_channel.cut_after
        if limit < 0 or passed < limit or not self.cmd:
            return False
        self.cmd_channel.cut_after = -1
        self._resp = ("426 Connection closed; transfer aborted.", lambda _text: None)
        self.close()
        return True


class _PlainData(_Cutting, DTPHandler):  # type: ignore[misc]
    pass


class _SecureData(_Cutting, TLS_DTPHandler):  # type: ignore[misc]
    pass


class _ReusedData(_SecureData):
    """As vsftpd, ProFTPD and FileZilla demand it by default."""

    def handle_ssl_established(self) -> None:
        if not SSL._lib.SSL_session_reused(self.socket._ssl):
            self.cmd_channel.respond("522 SSL connection failed: session reuse required")
            self.close()
