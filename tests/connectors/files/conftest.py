"""Far sides for the connector's tests: a local folder, and the FTP, FTPS and SFTP simulators over one.

`far_of("ftp", encoding="cp1251")` gives a running one with the folders in/ and out/; `far.connector()` is configured
for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import paramiko
import pytest

from connectors.files.connector import Files, Settings, connect
from core.connector import Delivery
from simulators.ftp.certificates import make_certificate
from simulators.ftp.mischief import Mischief
from simulators.ftp.server import FtpSimulator
from simulators.ftp.sftp import SftpSimulator

PASSWORD = "пароль-only-for-tests-7391"
HOST_KEY = paramiko.ECDSAKey.generate()
TRANSPORTS = ("file", "ftp", "ftps", "sftp")


@dataclass
class FarSide:
    """One far side. home: its root on this disk; server: what runs there, None for a local folder."""

    home: Path
    values: dict[str, Any]
    server: Any = None
    mischief: Mischief = field(default_factory=Mischief)
    made: list[Files] = field(default_factory=list)

    def connector(self, *, inbox: Mapping[str, Any] | None = None, outbox: Mapping[str, Any] | None = None) -> Files:
        made = connect("smo1", Settings.model_validate(self._values(inbox or {}, outbox or {})))
        self.made.append(made)
        return made

    def _values(self, inbox: Mapping[str, Any], outbox: Mapping[str, Any]) -> dict[str, Any]:
        return self.values | {"inbox": {"settle_s": 0, "queue": "erz.lists"} | dict(inbox), "outbox": dict(outbox)}

    def put(self, name: str, content: bytes = b"<a/>", folder: str = "in") -> Path:
        path = self.home / folder / name
        path.write_bytes(content)
        return path

    def names(self, folder: str) -> list[str]:
        """Without the hidden ones."""
        there = self.home / folder
        return sorted(n for n in os.listdir(there) if not n.startswith(".")) if there.is_dir() else []

    def hidden(self, folder: str) -> list[str]:
        return sorted(name for name in os.listdir(self.home / folder) if name.startswith("."))

    def received(self, connector: Files) -> Sequence[Delivery]:
        return connector.sources["smo1.inbox"].receive()

    def one(self, connector: Files) -> Any:
        (delivery,) = self.received(connector)
        return delivery

    def close(self) -> None:
        for connector in self.made:
            connector.close()

    def break_down(self) -> None:
        if self.server is None:
            self.home.rename(self.home.with_name("away"))
        else:
            self.server.stop()

    def restore(self) -> None:
        if self.server is None:
            self.home.with_name("away").rename(self.home)
        else:
            self.server.start()


class FarOf(Protocol):
    def __call__(self, transport: str, **options: Any) -> FarSide: ...


@pytest.fixture
def far_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarOf]:
    """Starts far sides; stops them at the end of the test."""
    monkeypatch.setenv("SMO1_PASSWORD", PASSWORD)
    with ExitStack() as stack:

        def kept(far: FarSide) -> FarSide:
            stack.callback(far.close)
            return far

        def make(transport: str, **options: Any) -> FarSide:
            home = tmp_path / "far side" / f"{transport}-home"
            for folder in ("in", "out"):
                (home / folder).mkdir(parents=True)
            encoding = options.get("encoding", "utf-8")
            values: dict[str, Any] = {"type": "files", "encoding": encoding}
            if transport == "file":
                return kept(FarSide(home, values | {"url": home.as_uri()}))
            values |= {"user": "exchange", "password_env": "SMO1_PASSWORD", "answer_timeout_s": 2}
            server = _server(transport, home, options, values, tmp_path)
            stack.enter_context(server)
            values["url"] = f"{transport}://127.0.0.1:{server.port}/"
            return kept(FarSide(home, values, server, server.mischief))

        yield make


def _server(transport: str, home: Path, options: dict[str, Any], values: dict[str, Any], tmp_path: Path) -> Any:
    if transport == "sftp":
        server = SftpSimulator(home, password=PASSWORD, key=HOST_KEY, **options)
        values["host_key"] = server.fingerprint
        return server
    if transport == "ftps":
        own, trusted = make_certificate(tmp_path / "certificates")
        values["ca_file"] = trusted
        options = {"certificate": own, "reuse_required": True} | options
    return FtpSimulator(home, password=PASSWORD, **options)


@pytest.fixture(params=TRANSPORTS)
def far(request: pytest.FixtureRequest, far_of: FarOf) -> FarSide:
    """One far side of every kind."""
    return far_of(request.param)
