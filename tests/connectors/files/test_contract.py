"""The connector's contract, with a local folder and with every server as the far side."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence

import pytest

from core.connector import Connector
from core.message import Attachment, Message
from core.testing.connectors import ConnectorContract, Offered
from simulators.ftp.sftp import SftpSimulator

WRONG = (
    ("*", ""),
    ("*", "999 what?"),
    ("*", "\x00\xff"),
    ("CWD", "550 No such directory."),
    ("PASV", "227 Entering passive mode."),
    ("PASV", "227 Entering passive mode (1,2,3,4,999,999)."),
    ("PASV", "425 No."),
    ("MLSD", "500 What?"),
    ("MLSD", ""),
    ("MLST", "250 No facts"),
    ("RETR", "550 Permission denied."),
    ("RETR", "426 Aborted."),
    ("STOR", "553 Name not allowed."),
    ("STOR", "452 No room."),
    ("STOR", ""),
    ("RNFR", "250 Ready"),
    ("RNTO", "553 No."),
    ("TYPE", "530 Please log in."),
    ("PASS", "530 Login incorrect."),
    ("PASS", "421 Too many."),
    ("USER", "331 Password"),
)
"""Command, and what the FTP server answers to it once."""
WRONG_SFTP = (
    ("connect", ""),
    ("connect", "HTTP/1.1 400 Bad Request"),
    ("PASS", "no"),
    ("list_folder", ""),
    ("list_folder", "denied"),
    ("lstat", ""),
    ("lstat", "failure"),
    ("open", "denied"),
    ("open", "failure"),
    ("read", "failure"),
    ("write", "failure"),
    ("posix_rename", "denied"),
    ("posix_rename", ""),
)
_numbers = itertools.count(1)


class FilesHarness:
    """A folder at the suite's command, whoever serves it."""

    source = "smo1.inbox"
    sink = "smo1"
    exceptions: Mapping[str, str] = {}
    patience = 1

    def __init__(self, far, password: str) -> None:
        self.far = far
        self.secrets = (password,)

    def connector(self) -> Connector:
        return self.far.connector(inbox={"queue": ""})

    def offer(self) -> Offered:
        content = f"<список>№ {next(_numbers)} &lt;ё&gt;</список>\r\n".encode()
        name = f"список № {next(_numbers)}.xml"
        self.far.put(name, content)
        return Offered(f"{name}:{len(content)}:{_sha256(content)}", content)

    def offer_bad(self) -> Offered:
        content = f"не XML {next(_numbers)}".encode()
        self.far.put("плохой.xml", content)
        return Offered("", content)

    def intact(self, message: Message, offered: Offered) -> bool:
        return message.body == offered.content

    def time_passes(self) -> None:
        pass

    def outgoing(self) -> Message:
        number = next(_numbers)
        return Message("erz.answer", f"<ответ n='{number}'>ё</ответ>".encode(), external_id=f"ответ {number}")

    def unfit(self) -> Sequence[Message]:
        return [
            Message("erz.answer", b"", external_id="empty"),
            Message("erz.answer", b"<a/>", external_id="both", attachments=(Attachment("b"),)),
            Message("erz.answer", b"", external_id="no content", attachments=(Attachment("b"),)),
            Message("erz.answer", b"<a/>", external_id="я" * 300),
        ]

    def arrived(self, message: Message) -> int:
        out = self.far.home / "out"
        return sum((out / name).read_bytes() == message.body for name in self.far.names("out"))

    def contacts(self) -> int:
        return self.far.mischief.contacts

    def break_down(self) -> None:
        self.far.break_down()

    def restore(self) -> None:
        self.far.restore()

    def misbehaviours(self) -> Mapping[str, Callable[[], None]]:
        if self.far.server is None:
            return {
                "no inbox, a file for an outbox": self._broken_folders,
            }
        wrong = WRONG_SFTP if isinstance(self.far.server, SftpSimulator) else WRONG
        return {f"{' '.join(map(str, how))}": self._misbehaviour(*how) for how in wrong}

    def _misbehaviour(self, *how: object) -> Callable[[], None]:
        def misbehave() -> None:
            self.far.mischief.disarm()
            self.far.mischief.arm(*how)

        return misbehave

    def _broken_folders(self) -> None:
        for folder in ("in", "out"):
            path = self.far.home / folder
            if path.is_dir():
                path.rename(path.with_name(folder + " away"))
        (self.far.home / "out").write_bytes(os.urandom(9))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def harness(far) -> FilesHarness:
    return FilesHarness(far, os.environ["SMO1_PASSWORD"])


class TestFiles(ConnectorContract):
    """Every rule of the contract."""
