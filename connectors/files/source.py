"""Files come in: looked at twice, read, journaled, and only then moved away at the far side.

The external id is name + size + sha256 of the content. So a file that is left in place (a crash, a rename that was
refused) is a repeat and is absorbed, while a file of the same name with other content is a new message. The same
content under the same name is always a repeat, even when the partner has put it anew: a name that comes every day
with content that may be equal must carry a date or a number.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import time
import weakref
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

import structlog
from lxml import etree

from connectors.files.client import Absent, Client, Entry, Refused, TooLong
from connectors.files.leaving import Leaving
from connectors.files.looks import Looks
from connectors.files.names import temporary
from connectors.files.reading import Content, read
from connectors.files.sessions import Sessions
from connectors.files.settings import WAIT_MOST_S, Inbox, Settings
from core import xml
from core.connector import Delivery
from core.crashpoints import crash_point
from core.errors import MalformedXml, Permanent, Retryable, Unavailable
from core.message import Attachment, Message

BATCH_MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one commit, unless its first file alone is longer."""
FILE_NAME: Final = "file_name"
FILE_SIZE: Final = "file_size"
FILE_SHA256: Final = "file_sha256"
"""Headers of a message from here."""
REFUSED_KIND: Final = "files.refused"
"""Kind of a file that could not even be read."""

_log = structlog.get_logger(__name__)
_READ = crash_point("files.read", "файл прочитан, в журнале его ещё нет")
_ODD: Final = {
    "folder": "это папка, а не файл",
    "link": "это ссылка: шина по ссылкам не ходит",
    "other": "это не обычный файл",
}


class FileDelivery:
    """One file that stays in the inbox until `ack` or `reject`."""

    def __init__(
        self, source: FilesSource, one: Entry, message: Message, problem: Permanent | None, content: Content | None
    ) -> None:
        self.message = message
        self.problem = problem
        self._source = source
        self._one = one
        self._sha256 = content.sha256 if content else ""
        self._done = False
        if content is not None and content.file is not None:
            weakref.finalize(self, content.close)

    def ack(self) -> None:
        """Move the file to the done ones, or delete it. Raises Unavailable, Retryable, ConfigError."""
        if not self._done:
            self._source._leave(self._one, self._sha256, None)
            self._done = True

    def reject(self, reason: Permanent) -> None:
        """Move it to the bad ones with the reason beside it; what can't be moved is left alone and not told again."""
        if not self._done:
            self._source._leave(self._one, self._sha256, reason)
            self._done = True

    def __repr__(self) -> str:
        return f"FileDelivery({self.message.external_id!r})"


class FilesSource:
    """The inbox of one far side."""

    def __init__(self, connector: str, inbox: Inbox, settings: Settings, sessions: Sessions) -> None:
        self.name = f"{connector}.inbox"
        self.cron = inbox.cron
        self.interval_s = inbox.interval_s
        self._connector = connector
        self._inbox = inbox
        self._settings = settings
        self._sessions = sessions
        self._looks = Looks(inbox.settle_s)
        self._leaving = Leaving(inbox, settings.encoding)
        self._pattern = re.compile(fnmatch.translate(inbox.pattern), re.IGNORECASE)
        here = PurePosixPath(inbox.folder)
        own = [inbox.done_folder, inbox.bad_folder, *([settings.outbox.folder] if settings.outbox else [])]
        self._own_folders = {PurePosixPath(one).relative_to(here).parts[0] for one in own if _below(one, here)}

    def receive(self) -> Sequence[Delivery]:
        """Files that nobody is writing any more, oldest first. Raises Unavailable, Retryable, ConfigError."""
        found: list[FileDelivery] = []
        room = BATCH_MOST_BYTES
        for one in self._ready():
            if len(found) >= self._inbox.batch_most or (found and one.size_bytes > room):
                break
            try:
                delivery = self._taken(one)
            except Retryable:
                # The next poll begins with the others: it may be this file that breaks the connection.
                self._looks.rest(one)
                if found:
                    break
                raise
            if delivery is not None:
                found.append(delivery)
                room -= one.size_bytes
        if found:
            _READ()
        return found

    def waiting(self, client: Client) -> int:
        """How many files lie there, for `check`."""
        return len([one for one in self._listed(client) if self._wanted(one)])

    # ── which files ──────────────────────────────────────────────────────────────────────────────────────────────

    def _ready(self) -> list[Entry]:
        ready, waiting = self._look()
        if not ready and waiting and self._inbox.settle_s <= WAIT_MOST_S:
            time.sleep(self._inbox.settle_s)
            ready, waiting = self._look()
        self.interval_s = min(self._inbox.interval_s, self._inbox.settle_s) if waiting else self._inbox.interval_s
        return sorted(ready, key=lambda one: (one.modified_s or 0.0, one.raw))

    def _look(self) -> tuple[list[Entry], list[Entry]]:
        with self._sessions.use() as client:
            entries = self._listed(client)
            if self._leaving.bring_back(client, entries):
                entries = self._listed(client)
            self._looks.keep_only(entries)
            names = {one.name for one in entries}
            wanted = self._looks.awake(one for one in entries if self._wanted(one))
            odd = [one for one in wanted if _oddity(one)]
            usual = [one for one in wanted if not _oddity(one)]
            if self._inbox.ready_suffix:
                usual = [one for one in usual if one.name + self._inbox.ready_suffix in names]
            if any(not one.mark for one in usual):
                usual = self._asked(client, sorted(usual, key=lambda one: one.raw)[: self._inbox.batch_most])
        settled, waiting = self._looks.settled(usual)
        return odd + settled, waiting

    def _listed(self, client: Client) -> list[Entry]:
        try:
            return client.listing(self._inbox.folder)
        except (Absent, Refused) as error:
            raise Unavailable(
                f"Входящая папка {self._inbox.folder} недоступна: проверьте, что она есть и шина может её читать",
                detail=str(error),
            ) from None

    def _wanted(self, one: Entry) -> bool:
        suffix = self._inbox.ready_suffix
        if temporary(one.raw) or (suffix and one.name.endswith(suffix)):
            return False
        if one.what == "folder" and one.name in self._own_folders:
            return False
        return bool(one.problem or self._pattern.match(one.name))

    def _asked(self, client: Client, entries: Sequence[Entry]) -> list[Entry]:
        found = []
        for one in entries:
            try:
                found.append(one if one.mark else client.stat(self._inbox.folder, one.name))
            except (Absent, Refused):
                continue
        return found

    # ── what becomes of a file ───────────────────────────────────────────────────────────────────────────────────

    def _taken(self, one: Entry) -> FileDelivery | None:
        """None: nothing to hand over this time."""
        if words := _oddity(one):
            return self._refused(one, words)
        try:
            with self._sessions.use() as client:
                content = read(
                    client,
                    self._inbox.folder,
                    one,
                    memory_most_bytes=self._inbox.body_most_bytes,
                    spool=self._settings.spool_folder,
                )
        except (TooLong, Absent):
            content = None
        except Refused as error:
            return self._refused(one, "другая сторона не даёт его прочитать, проверьте права на него", str(error))
        if content is None:
            self._looks.forget(one)
            return None
        return self._delivery(one, content)

    def _delivery(self, one: Entry, content: Content) -> FileDelivery:
        kind, problem = self._kind(one, content)
        attachments = (Attachment(one.name, open=content.open),) if content.file else ()
        message = Message(
            kind,
            content.body,
            queue=self._inbox.queue,
            headers={FILE_NAME: one.name, FILE_SIZE: str(one.size_bytes), FILE_SHA256: content.sha256},
            attachments=attachments,
            source=self._connector,
            external_id=f"{one.name}:{one.size_bytes}:{content.sha256}",
            fingerprint=content.sha256,
        )
        return FileDelivery(self, one, message, problem, content)

    def _kind(self, one: Entry, content: Content) -> tuple[str, Permanent | None]:
        usual = self._inbox.kind or self._inbox.queue
        if not one.size_bytes:
            text = f"Файл {one.name} пуст: попросите отправителя прислать его заново"
            return usual or REFUSED_KIND, Permanent(text)
        if usual:
            return usual, None
        if content.file:
            text = f"Файл {one.name} слишком длинный, чтобы искать очередь по его содержимому: задайте queue или kind"
            return REFUSED_KIND, Permanent(text)
        try:
            return str(etree.QName(xml.parse(content.body)).text), None
        except MalformedXml as error:
            error.reason = f"Файл {one.name} не читается как XML, а очередь для таких не задана. {error.reason}"
            return REFUSED_KIND, error

    def _refused(self, one: Entry, words: str, detail: str = "") -> FileDelivery | None:
        if self._looks.told(one):
            self._looks.rest(one)
            return None
        problem = Permanent(f"Файл «{one.name}» не принят: {words}", detail=detail)
        sign = hashlib.sha256(one.raw + b"\0" + f"{one.mark} {words}".encode()).hexdigest()
        message = Message(
            REFUSED_KIND,
            b"",
            headers={FILE_NAME: one.name},
            source=self._connector,
            external_id=f"refused:{sign}",
            fingerprint=sign,
        )
        return FileDelivery(self, one, message, problem, None)

    def _leave(self, one: Entry, sha256: str, reason: Permanent | None) -> None:
        if not sha256:  # it could not be read, so it can't be moved safely either
            self._looks.rest(one, told=True)
            return
        try:
            with self._sessions.use() as client:
                if reason is None:
                    left = self._leaving.done(client, one, sha256)
                else:
                    left = self._leaving.bad(client, one, sha256, reason.reason)
        except Retryable:
            self._looks.rest(one)
            raise
        if not left:
            self._looks.forget(one)
            _log.info("file changed after it was read: it stays and is read anew", source=self.name)


def _oddity(one: Entry) -> str:
    return one.problem or _ODD.get(one.what, "")


def _below(folder: str, here: PurePosixPath) -> bool:
    return PurePosixPath(folder) != here and PurePosixPath(folder).is_relative_to(here)
