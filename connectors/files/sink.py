"""Files go out: under a temporary name, verified, entered into a register, and only then renamed.

How the far side recognises a repeat. Plain FTP has no ids, and a partner may take a file away between our rename and
our confirmation: that the file is missing proves nothing. So each message leaves three traces, always in this order:

    1. `.NAME.ID.part`         the content, until the rename takes this name away
    2. `.sent/ID`              written when (1) is there as a whole
    3. NAME                    (1) renamed, in one step

A repeat reads them: no (2) → nothing was published, begin anew; (2) and (1) → the rename did not happen, do it now;
(2) without (1) → it was published, whoever has the file now. That holds at every crash of ours, at every lost answer.
It does not hold when somebody else deletes hidden files of the outbox, and an entry of the register is forgotten after
`register_days`. Without a register (`register = ""`) only a file that still lies there is recognised.

A file of the same name and content that lies there already is success; one with other content is a refusal, never
overwritten (between the look and the rename nobody else should put files there).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, Final, cast

import structlog

from connectors.files.client import Absent, Client, Refused
from connectors.files.names import OWN_MOST_BYTES, encodable, filled
from connectors.files.sessions import Sessions
from connectors.files.settings import Outbox, Settings
from core.connector import Prepared, Receipt
from core.crashpoints import crash_point
from core.errors import BusError, ConfigError, Permanent, Unavailable
from core.message import Message

FILE_NAME: Final = "file_name"
"""Header of what is prepared, and of the receipt."""
_CLEAN_EVERY_S: Final = 6 * 3600.0
_CLEAN_MOST: Final = 1000
_DAY_S: Final = 86_400.0

_log = structlog.get_logger(__name__)
_UPLOADED = crash_point("files.uploaded", "файл у партнёра под временным именем, в реестр отправленных не записан")
_REGISTERED = crash_point("files.registered", "файл записан в реестр отправленных, не переименован")
_PUBLISHED = crash_point("files.published", "файл переименован и виден партнёру, отправка не подтверждена")


class FilesSink:
    """The outbox of one far side."""

    def __init__(self, connector: str, outbox: Outbox, settings: Settings, sessions: Sessions) -> None:
        self.name = connector
        self._outbox = outbox
        self._encoding = settings.encoding
        self._sessions = sessions
        self._register = f"{outbox.folder}/{outbox.register_folder}" if outbox.register_folder else ""
        self._clean_at = 0.0
        self._lock = threading.Lock()

    def prepare(self, message: Message) -> Prepared:
        """The name under which the file goes; it is also its external id. Raises Permanent."""
        contents = bool(message.body) + len(message.attachments)
        if contents != 1 or (not message.body and message.attachments[0].open is None):
            raise Permanent(
                "Файл делается из тела сообщения или из одного вложения, а здесь частей с содержимым "
                f"{contents}: исправьте обработчик"
            )
        name = filled(self._outbox.name, lambda field: _value(field, message))
        if not name or not encodable(name, self._encoding):
            raise Permanent(
                f"Имя файла по шаблону «{self._outbox.name}» пустое или не пишется в кодировке {self._encoding}: "
                "исправьте шаблон outbox.name или обработчик"
            )
        if len(name.encode(self._encoding)) > OWN_MOST_BYTES:
            raise Permanent(f"Имя файла длиннее {OWN_MOST_BYTES} байт: исправьте шаблон outbox.name или обработчик")
        return Prepared(name, b"", {FILE_NAME: name})

    def send(self, message: Message, prepared: Prepared, *, repeated: bool) -> Receipt:
        """Put the file. Raises Unavailable, Permanent, ConfigError."""
        name, ident = prepared.headers[FILE_NAME], message.id.hex
        part = f".{name}.{ident[-12:]}.part"
        try:
            with self._sessions.use() as client:
                registered = repeated and self._register and self._is_there(client, self._register, ident)
                if registered and not self._is_there(client, self._outbox.folder, part):
                    return self._receipt(name, "уже передан раньше: подтверждение потерялось")
                if not registered:
                    if self._same_is_there(client, name, message):
                        return self._receipt(name, "с этим содержимым уже лежит у партнёра")
                    self._upload(client, part, message, name, ident)
                elif self._same_is_there(client, name, message):
                    client.delete(self._outbox.folder, part)
                    return self._receipt(name, "с этим содержимым уже лежит у партнёра")
                self._publish(client, part, name, ident)
        except Absent as error:
            raise self._no_folder(str(error)) from None
        except Refused as error:
            raise self._refusal(error, name) from None
        self._clean()
        return self._receipt(name, "передан")

    def _upload(self, client: Client, part: str, message: Message, name: str, ident: str) -> None:
        folder = self._outbox.folder
        with _content(message) as stream:
            counted = _Counted(stream)
            client.write(folder, part, cast("BinaryIO", counted))
        there = client.stat(folder, part)
        if there.size_bytes != counted.size_bytes:
            raise Unavailable(
                f"Файл {name} записан не целиком ({there.size_bytes} из {counted.size_bytes} байт): шина повторит",
            )
        _UPLOADED()
        if self._register:
            entry = {"file": name, "size": counted.size_bytes, "sha256": counted.sha256.hexdigest()}
            self._enter(client, ident, json.dumps(entry, ensure_ascii=False).encode())
            _REGISTERED()

    def _publish(self, client: Client, part: str, name: str, ident: str) -> None:
        try:
            client.rename(self._outbox.folder, part, self._outbox.folder, name)
        except Absent:
            # It was there a moment ago: somebody deletes our temporary files. The entry must not say "published".
            if self._register:
                with contextlib.suppress(Absent, Refused):
                    client.delete(self._register, ident)
            raise Unavailable(
                f"Временный файл {part} исчез из папки {self._outbox.folder}: попросите партнёра не удалять файлы, "
                "имя которых начинается с точки; шина передаст файл снова"
            ) from None
        _PUBLISHED()

    def _enter(self, client: Client, ident: str, entry: bytes) -> None:
        try:
            client.write(self._register, ident, io.BytesIO(entry))
        except (Absent, Refused):
            try:
                client.make_folder(self._register)
                client.write(self._register, ident, io.BytesIO(entry))
            except (Absent, Refused) as error:
                raise ConfigError(
                    f"Реестр отправленных {self._register} не ведётся: разрешите шине создать эту папку и писать в неё "
                    'либо задайте outbox.register = "" (тогда файл может быть передан дважды после сбоя)',
                    detail=str(error),
                ) from None

    def _same_is_there(self, client: Client, name: str, message: Message) -> bool:
        """Raises Permanent when a file of this name has other content."""
        folder = self._outbox.folder
        try:
            there = client.stat(folder, name)
        except Absent:
            return False
        if there.what == "file":
            with _content(message) as stream:
                ours = _Counted(stream)
                while ours.size_bytes <= there.size_bytes and ours.read(1024 * 1024):
                    pass
            if ours.size_bytes == there.size_bytes and _sha256(client, folder, name) == ours.sha256.hexdigest():
                return True
        raise Permanent(
            f"В папке {folder} уже есть другой файл {name}: узнайте у партнёра, нужен ли он; шаблон outbox.name должен "
            "давать каждому сообщению своё имя. Затем отправьте повторно"
        )

    def _clean(self) -> None:
        """Forget old entries of the register, by the far side's own clock."""
        with self._lock:
            if not self._register or time.monotonic() < self._clean_at:
                return
            self._clean_at = time.monotonic() + _CLEAN_EVERY_S
        try:
            with self._sessions.use() as client:
                entries = [one for one in client.listing(self._register) if one.modified_s and not one.problem]
                newest = max((one.modified_s or 0.0 for one in entries), default=0.0)
                oldest = newest - self._outbox.register_days * _DAY_S
                old = sorted((one.modified_s or newest, one.name) for one in entries)
                for modified_s, name in old[:_CLEAN_MOST]:
                    if modified_s < oldest:
                        client.delete(self._register, name)
        except (Absent, Refused, BusError) as error:  # the file is out: that counts
            _log.warning("register not cleaned", connector=self.name, detail=str(error))

    def _is_there(self, client: Client, folder: str, name: str) -> bool:
        try:
            client.stat(folder, name)
        except Absent:
            return False
        return True

    def _no_folder(self, detail: str) -> Unavailable:
        return Unavailable(
            f"Исходящая папка {self._outbox.folder} недоступна: создайте её или дайте шине права, шина повторит сама",
            detail=detail,
        )

    def _refusal(self, error: Refused, name: str) -> Permanent | ConfigError:
        if error.of_name:
            text = f"Другая сторона не принимает имя файла {name}: исправьте шаблон outbox.name и отправьте повторно"
            return Permanent(text, detail=str(error))
        return ConfigError(
            f"Нет права писать в папку {self._outbox.folder}: дайте шине права на запись и переименование",
            detail=str(error),
        )

    def _receipt(self, name: str, words: str) -> Receipt:
        return Receipt(f"Файл {name} {words}", headers={FILE_NAME: name})


class _Counted:
    """A stream that notes what is read from it."""

    def __init__(self, stream: BinaryIO | io.BufferedIOBase) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def read(self, most: int = -1) -> bytes:
        block = self._stream.read(most)
        self.sha256.update(block)
        self.size_bytes += len(block)
        return block


@contextlib.contextmanager
def _content(message: Message) -> Iterator[BinaryIO | io.BufferedIOBase]:
    if message.body:
        yield io.BytesIO(message.body)
        return
    opened: Callable[[], io.BufferedIOBase] | None = message.attachments[0].open
    if opened is None:
        raise Permanent("Содержимое вложения недоступно: отправьте сообщение с вложением заново")
    with opened() as stream:
        yield stream


def _sha256(client: Client, folder: str, name: str) -> str:
    found = hashlib.sha256()
    client.fetch(folder, name, found.update)
    return found.hexdigest()


def _value(field: str, message: Message) -> str:
    """Raises Permanent when the message has no such thing."""
    now = datetime.now().astimezone()
    own = {
        "external_id": message.external_id or str(message.id),
        "id": str(message.id),
        "kind": message.kind,
        "date": f"{now:%Y%m%d}",
        "time": f"{now:%H%M%S}",
    }
    value = own.get(field) or message.headers.get(field, "")
    if not value.strip():
        raise Permanent(f"Для имени файла нужен заголовок {field}, а у сообщения его нет: исправьте обработчик")
    return value
