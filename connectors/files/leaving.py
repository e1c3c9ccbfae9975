"""How a file that we hold leaves the inbox: moved to the folder of the done ones or of the bad ones, or deleted.

A file that has changed since it was read must stay: nobody has read what it is now. So it is looked at before the
rename, and once more after it, under a name that the partner does not know; a changed one is put back. What remains
is a writer that keeps the file open and writes on after the rename: his octets end in the done file. `settle_s` or
`ready_suffix` guard against him.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterable
from datetime import datetime

import structlog

from connectors.files.client import Absent, Client, Entry, Refused
from connectors.files.names import NAME_MOST_BYTES, before_taken, shortened, stamped, taken
from connectors.files.settings import Inbox
from core.crashpoints import crash_point
from core.errors import Retryable

_log = structlog.get_logger(__name__)
_RENAMED = crash_point("files.renamed", "файл убран из входящей папки, отметка об этом не записана")


class Leaving:
    """Of one inbox."""

    def __init__(self, inbox: Inbox, encoding: str) -> None:
        self._inbox = inbox
        self._encoding = encoding
        self._times_stay = True

    def done(self, client: Client, one: Entry, sha256: str) -> bool:
        """After the commit; False: it has changed and stays. One that is gone is fine. Raises Retryable."""
        if self._inbox.done == "delete":
            to = self._inbox.folder, taken(one.name)
            if len(to[1].encode(self._encoding)) > NAME_MOST_BYTES:
                to = self._inbox.done_folder, self._stamped(one.name)
            left = self._left(client, one, sha256, to)
            if left:
                with contextlib.suppress(Absent):
                    client.delete(*to)
        else:
            left = self._left(client, one, sha256, (self._inbox.done_folder, self._stamped(one.name)))
        _RENAMED()
        return left

    def bad(self, client: Client, one: Entry, sha256: str, reason: str) -> bool:
        """The same for a file that is refused; the reason is put beside it for whoever looks into the folder."""
        folder, name = self._inbox.bad_folder, self._stamped(one.name)
        left = self._left(client, one, sha256, (folder, name))
        if left:
            text = f"{one.name}\r\n{reason}\r\n".encode("utf-8-sig")
            try:
                client.write(folder, shortened(name, self._encoding) + ".reason.txt", io.BytesIO(text))
            except (Absent, Refused) as error:  # the journal has the reason
                _log.warning("reason not written beside a bad file", folder=folder, detail=str(error))
        _RENAMED()
        return left

    def bring_back(self, client: Client, entries: Iterable[Entry]) -> bool:
        """Files that a crash left half-way to being deleted get their names back, and are read once more; did any?"""
        names = {one.name for one in entries}
        back = [(one.name, name) for one in entries if (name := before_taken(one.name)) and name not in names]
        for hidden, name in back:
            with contextlib.suppress(Absent, Refused):
                client.rename(self._inbox.folder, hidden, self._inbox.folder, name)
        return bool(back)

    def _left(self, client: Client, one: Entry, sha256: str, to: tuple[str, str]) -> bool:
        folder = self._inbox.folder
        try:
            if client.stat(folder, one.name).mark != one.mark:
                return False
            if self._inbox.ready_suffix:
                # First: a marker without its file would vouch for the next file of this name, still half-written.
                with contextlib.suppress(Absent):
                    client.delete(folder, one.name + self._inbox.ready_suffix)
            self._rename(client, one.name, to)
        except Absent:
            return True
        except Refused as error:
            raise Retryable(
                f"Файл {one.name} принят, но не убирается из папки {folder} в {to[0]}: дайте шине права на обе папки",
                detail=str(error),
            ) from None
        if self._is_what_was_read(client, one, sha256, to):
            return True
        with contextlib.suppress(Absent, Refused):
            self._put_back(client, one.name, to)
        return False

    def _rename(self, client: Client, name: str, to: tuple[str, str]) -> None:
        try:
            client.rename(self._inbox.folder, name, *to)
        except Refused:
            client.make_folder(to[0])
            client.rename(self._inbox.folder, name, *to)

    def _is_what_was_read(self, client: Client, one: Entry, sha256: str, to: tuple[str, str]) -> bool:
        if not self._times_stay or not sha256:
            return True
        try:
            now = client.stat(*to)
            if (now.size_bytes, now.modified_s) == (one.size_bytes, one.modified_s):
                return True
            if now.size_bytes != one.size_bytes:
                return False
            found = hashlib.sha256()
            client.fetch(*to, found.update)
        except (Absent, Refused):
            return True  # somebody works in the folder of the done ones: nothing more to be found out
        same = found.hexdigest() == sha256
        # A store that gives a new time at a rename (object storage behind a gateway) can't be asked this way.
        self._times_stay = not same
        return same

    def _put_back(self, client: Client, name: str, to: tuple[str, str]) -> None:
        _log.warning("file replaced while it was being taken: put back", folder=self._inbox.folder)
        try:
            client.stat(self._inbox.folder, name)
        except Absent:
            client.rename(*to, self._inbox.folder, name)
        else:  # replaced a second time: both are to be read
            client.rename(*to, self._inbox.folder, self._stamped(name))

    def _stamped(self, name: str) -> str:
        return stamped(name, self._encoding, datetime.now().astimezone())
