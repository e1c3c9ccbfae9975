"""SFTP on a port of this machine, in threads, over a folder; by paramiko. Links are shown as they are, never followed
out of the folder, for nothing is opened but what lies below it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.sftp import SFTP_FAILURE, SFTP_NO_SUCH_FILE, SFTP_OK, SFTP_PERMISSION_DENIED

from simulators.ftp.mischief import Mischief


class SftpSimulator:
    """One server with a fresh key of its own, or with the one given; login by password or by `client_key`."""

    def __init__(
        self,
        home: Path,
        *,
        user: str = "exchange",
        password: str = "",
        client_key: paramiko.PKey | None = None,
        key: paramiko.PKey | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        encoding: str = "utf-8",
    ) -> None:
        self.home = home
        self.mischief = Mischief()
        self.host, self.port = host, port
        self.user, self.password, self.client_key = user, password, client_key
        self.encoding = encoding
        self.key = key or paramiko.RSAKey.generate(2048)
        self._listener: socket.socket | None = None
        self._transports: set[paramiko.Transport] = set()
        self._threads: list[threading.Thread] = []

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` of the server's key."""
        return str(self.key.fingerprint)

    def start(self) -> None:
        """Listen; on the port of the last time, if there was one."""
        self._listener = socket.create_server((self.host, self.port))
        self.port = self._listener.getsockname()[1]
        thread = threading.Thread(target=self._accept, args=(self._listener,), name="sftp simulator", daemon=True)
        self._threads = [thread]
        thread.start()

    def stop(self) -> None:
        """Break every connection and listen no more. Files stay."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in list(self._transports):
            transport.close()
        for thread in self._threads:
            thread.join(timeout=5)
        self._transports.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            fault = self.mischief.next("connect")
            if fault is not None:
                time.sleep(fault.delay_s)
                if fault.reply:
                    with contextlib.suppress(OSError):
                        near.sendall(fault.reply.encode())
                near.close()
                continue
            transport = paramiko.Transport(near)
            transport.add_server_key(self.key)
            transport.set_subsystem_handler("sftp", _Server, _Folder, simulator=self)
            self._transports.add(transport)
            # A client that hangs up during the greeting is his own affair.
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(event=threading.Event(), server=_Door(self))

    def __enter__(self) -> SftpSimulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Door(paramiko.ServerInterface):
    def __init__(self, simulator: SftpSimulator) -> None:
        self._simulator = simulator

    def check_auth_password(self, username: str, password: str) -> int:
        wanted = (self._simulator.user, self._simulator.password)
        refused = self._simulator.mischief.next("PASS") is not None
        good = bool(password) and (username, password) == wanted and not refused
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == self._simulator.user and key == self._simulator.client_key
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002
        allowed = kind == "session"
        return OPEN_SUCCEEDED if allowed else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return "password,publickey"


class _Text(paramiko.Message):
    """A request whose names are in the simulator's encoding."""

    encoding = "utf-8"

    def get_text(self) -> str:
        return self.get_string().decode(self.encoding, "surrogateescape")


class _Server(paramiko.SFTPServer):
    def __init__(self, *arguments: Any, simulator: SftpSimulator) -> None:
        super().__init__(*arguments, simulator=simulator)
        self._simulator = simulator

    def _process(self, kind: int, number: int, message: paramiko.Message) -> None:
        message.__class__ = type("_Text", (_Text,), {"encoding": self._simulator.encoding})
        super()._process(kind, number, message)  # type: ignore[misc]


class _Folder(paramiko.SFTPServerInterface):
    """Files below the home, whatever path is asked for."""

    def __init__(self, server: paramiko.ServerInterface, *, simulator: SftpSimulator) -> None:
        super().__init__(server)
        self._simulator = simulator

    def list_folder(self, path: str) -> Any:
        def work() -> list[Any]:
            found = []
            for name in os.listdir(self._real(path)):
                attributes = paramiko.SFTPAttributes.from_stat(os.lstat(f"{self._real(path)}/{name}"))
                attributes.filename = name.encode(self._simulator.encoding, "surrogateescape")  # type: ignore[assignment]
                found.append(attributes)
            for raw in self._simulator.mischief.names:
                attributes = paramiko.SFTPAttributes.from_stat(os.lstat(__file__))
                attributes.filename = raw  # type: ignore[assignment]
                found.append(attributes)
            return found

        return self._done("list_folder", work)

    def stat(self, path: str) -> Any:
        return self._done("stat", lambda: paramiko.SFTPAttributes.from_stat(os.stat(self._real(path))))

    def lstat(self, path: str) -> Any:
        return self._done("lstat", lambda: paramiko.SFTPAttributes.from_stat(os.lstat(self._real(path))))

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:  # noqa: ARG002
        def work() -> _File:
            file = os.open(self._real(path), flags, 0o666)
            handle = _File(self._simulator.mischief, flags)
            mode = "wb" if flags & os.O_WRONLY else "rb"
            handle.readfile = handle.writefile = os.fdopen(file, mode)
            return handle

        return self._done("open", work)

    def remove(self, path: str) -> Any:
        return self._done("remove", lambda: os.remove(self._real(path)))

    def rename(self, oldpath: str, newpath: str) -> Any:
        if os.path.lexists(self._real(newpath)):
            return SFTP_FAILURE
        return self._done("rename", lambda: os.rename(self._real(oldpath), self._real(newpath)))

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        return self._done("posix_rename", lambda: os.rename(self._real(oldpath), self._real(newpath)))

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> Any:  # noqa: ARG002
        return self._done("mkdir", lambda: os.mkdir(self._real(path)))

    def _real(self, path: str) -> str:
        return str(self._simulator.home) + os.path.normpath("/" + path)

    def _done(self, command: str, work: Any) -> Any:
        if (fault := self._simulator.mischief.next(command)) is not None:
            time.sleep(fault.delay_s)
            if fault.done:
                work()
            if not fault.reply:
                raise EOFError  # the session ends
            return SFTP_PERMISSION_DENIED if "denied" in fault.reply else SFTP_FAILURE
        try:
            result = work()
        except FileNotFoundError:
            return SFTP_NO_SUCH_FILE
        except PermissionError:
            return SFTP_PERMISSION_DENIED
        except OSError:
            return SFTP_FAILURE
        return SFTP_OK if result is None else result


class _File(paramiko.SFTPHandle):
    readfile: Any
    writefile: Any

    def __init__(self, mischief: Mischief, flags: int) -> None:
        super().__init__(flags)
        self._mischief = mischief

    def read(self, offset: int, length: int) -> Any:
        return SFTP_FAILURE if self._mischief.next("read") else super().read(offset, length)

    def write(self, offset: int, data: Any) -> Any:
        return SFTP_FAILURE if self._mischief.next("write") else super().write(offset, data)

    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))
