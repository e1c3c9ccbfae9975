"""What a server of files can be told to do wrong. Shared by the FTP and the SFTP simulator; thread-safe."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class Fault:
    """Armed for one command (`RETR`, `STOR`, `PASS`, `*`; SFTP: `open`, `write`, `rename`, …).

    reply    FTP: answer this instead (`552 No space`); "" : hang up. SFTP: any text is a failure
    after    octets of the transfer that still pass; the data connection is cut then (RETR and STOR only)
    delay_s  do what was asked, but so much later
    times    how often; -1 for ever
    done     let the command take effect, then hang up before the answer (FTP only)
    """

    command: str
    reply: str = ""
    after: int = -1
    delay_s: float = 0.0
    times: int = 1
    done: bool = False


@dataclass
class Mischief:
    """foreign_pasv: address that PASV answers name; names: extra octets listed as names of files."""

    foreign_pasv: str = ""
    names: list[bytes] = field(default_factory=list)
    contacts: int = 0
    """Commands and connections so far."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def arm(self, command: str, reply: str = "", **how: object) -> None:
        """See Fault."""
        with self._lock:
            self._faults.append(Fault(command, reply, **how))  # type: ignore[arg-type]

    def disarm(self) -> None:
        """Behave again."""
        with self._lock:
            self._faults.clear()
            self.names.clear()
            self.foreign_pasv = ""

    def next(self, command: str) -> Fault | None:
        """The fault of this command, used up by that."""
        with self._lock:
            self.contacts += 1
            for fault in self._faults:
                if fault.command in (command, "*") and fault.times:
                    fault.times -= 1
                    return fault
        return None
