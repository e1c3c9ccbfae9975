"""What `[connectors.<name>]` with `type = "files"` may hold: one far side, one folder in, one folder out."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from croniter import croniter
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from connectors.files.names import FIELD, temporary
from core.connector import ConnectorSettings

SCHEMES: Final = {"file": 0, "ftp": 21, "ftps": 21, "sftp": 22}
"""Scheme → its usual port."""
WAIT_MOST_S: Final = 10.0
"""A poll itself waits at most this long for files to settle; a longer `settle_s` is left to the next poll."""


class Inbox(BaseModel):
    """The folder from which files are taken: the source `<connector>.inbox`.

    folder, done_folder, bad_folder   relative to the path of `url`
    pattern           shell pattern of file names, letters of either case
    queue, kind       of the messages; "": by the document
    interval_s, cron  when to look: so many seconds after an empty look, or by this schedule (5 or 6 fields)
    done              what becomes of a file after the commit: moved to done_folder, or deleted
    settle_s          a file is taken when size and time did not change for so long
    ready_suffix      not "": a file X is taken only when X + ready_suffix is there too (it goes with the file)
    body_most_bytes   a longer file becomes an attachment and never is in memory as a whole
    batch_most        files a commit
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = "in"
    pattern: str = Field(default="*", min_length=1)
    queue: str = ""
    kind: str = ""
    interval_s: float = Field(default=5.0, gt=0)
    cron: str = ""
    done: Literal["rename", "delete"] = "rename"
    done_folder: str = "done"
    bad_folder: str = "bad"
    settle_s: float = Field(default=2.0, ge=0)
    ready_suffix: str = ""
    body_most_bytes: int = Field(default=64 * 1024 * 1024, ge=0, le=64 * 1024 * 1024)
    batch_most: int = Field(default=100, ge=1, le=1000)

    @field_validator("folder", "done_folder", "bad_folder")
    @classmethod
    def _folders(cls, value: str) -> str:
        return _folder(value)

    @field_validator("ready_suffix")
    @classmethod
    def _suffix(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.~-]{0,20}", value):
            raise ValueError("ready_suffix: до 20 букв, цифр и знаков . _ - ~, например .ok")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Inbox:
        if self.cron and not croniter.is_valid(self.cron):
            raise ValueError(f"cron: «{self.cron}» не похоже на расписание из 5 или 6 полей")
        if self.cron and self.settle_s > WAIT_MOST_S:
            raise ValueError(f"при опросе по расписанию settle_s не больше {WAIT_MOST_S:g}: шина ждёт внутри опроса")
        if len({self.folder, self.done_folder, self.bad_folder}) < 3:
            raise ValueError("folder, done_folder и bad_folder должны быть разными папками")
        return self


class Outbox(BaseModel):
    """The folder into which files are put: the sink (and queue) `<connector>`.

    name      template of file names: {external_id}, {id}, {kind}, {date} (20261124), {time} (120309) or {header}
    register  folder inside `folder` that remembers what was put (see sink.py); "": none, weaker guarantee
    register_days   how long it remembers
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = "out"
    name: str = "{external_id}.xml"
    register_folder: str = Field(default=".sent", alias="register")
    register_days: int = Field(default=30, ge=1)

    @field_validator("folder")
    @classmethod
    def _folders(cls, value: str) -> str:
        return _folder(value)

    @field_validator("register_folder")
    @classmethod
    def _register(cls, value: str) -> str:
        if not re.fullmatch(r"(\.?\w[\w-]{0,40})?", value):
            raise ValueError("register: имя папки из букв и цифр, можно с точкой впереди, например .sent")
        return value

    @field_validator("name")
    @classmethod
    def _template(cls, value: str) -> str:
        plain = FIELD.sub("x", value)
        if not FIELD.search(value) or re.search(r"[{}/\\\x00-\x1f]", plain) or temporary(plain.encode()):
            raise ValueError(
                "name: шаблон имени файла с полем в фигурных скобках, без папок и не временное имя, "
                "например {external_id}.xml"
            )
        return value


class Settings(ConnectorSettings):
    """Settings of one exchange folder."""

    type: Literal["files"]

    url: str
    """`file:///folder`, `ftp://host:21/folder`, `ftps://…` (explicit TLS), `sftp://…`; never with a password."""
    user: str = ""
    password_env: str = ""
    """Name of the environment variable with the password (of the key file, where there is one)."""
    password_file: Path | None = None
    key_file: Path | None = None
    """SFTP: our private key."""
    host_key: str = ""
    """SFTP: `SHA256:…` of the server's key, or the path of a known_hosts file. An unknown server is refused."""
    ca_file: Path | None = None
    """FTPS: authorities (PEM) that vouch for the server; None: those of the system."""
    passive: bool = True
    telnet_iac: bool = False
    """FTP: double the byte 0xFF (cp1251 «я») in commands, as RFC 959 asks and many servers do not expect."""
    encoding: str = "utf-8"
    """Of file names at the far side."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    answer_timeout_s: float = Field(default=60.0, gt=0)
    """Silence after which the far side counts as away."""
    connections: int = Field(default=4, ge=1, le=32)
    """Idle connections that are kept."""
    spool_folder: Path | None = None
    """Disk folder for long files on their way; None: the system's temporary folder."""

    inbox: Inbox | None = None
    outbox: Outbox | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in SCHEMES or parts.query or parts.fragment:
            raise ValueError("url: начните с file://, ftp://, ftps:// или sftp://, без ? и #")
        if "@" in parts.netloc:
            raise ValueError("url: имя и пароль задаются в user и password_env, а не в адресе")
        if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
            raise ValueError("url: для папки этой машины нужны три черты и полный путь: file:///srv/exchange")
        if parts.scheme != "file" and not parts.hostname:
            raise ValueError("url: нет имени сервера")
        _ = parts.port  # raises ValueError for what is no port
        if re.search(r"[\x00-\x1f\x7f]", unquote(parts.path)) or ".." in unquote(parts.path).split("/"):
            raise ValueError("url: в пути недопустимы «..» и управляющие знаки")
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name
        except LookupError:
            name = ""
        if not name or " ".encode(name, "replace") != b" ":
            raise ValueError('encoding: укажите "utf-8" или "cp1251"')
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.inbox is None and self.outbox is None:
            raise ValueError("нет ни inbox, ни outbox: добавьте таблицу хотя бы одной стороны")
        if self.password_env and self.password_file:
            raise ValueError("пароль задаётся либо password_env, либо password_file, а не вместе")
        if self.scheme != "file" and not self.user:
            raise ValueError("user: укажите имя, под которым входить")
        if self.scheme in ("ftp", "ftps") and not (self.password_env or self.password_file):
            raise ValueError("пароль не задан: укажите password_env или password_file")
        if self.scheme == "sftp" and not (self.password_env or self.password_file or self.key_file):
            raise ValueError("нечем войти: укажите key_file, password_env или password_file")
        if self.scheme == "sftp" and not self.host_key:
            raise ValueError("host_key: укажите отпечаток ключа сервера (SHA256:…) или файл known_hosts")
        if re.search(r"[\x00-\x1f]", self.user):
            raise ValueError("user: недопустимые знаки")
        if self.inbox and self.outbox and self.inbox.folder == self.outbox.folder:
            raise ValueError("inbox.folder и outbox.folder должны быть разными, иначе шина заберёт свои же файлы")
        return self

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or SCHEMES[self.scheme]

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.url).path)


def _folder(value: str) -> str:
    parts = value.split("/")
    if re.search(r"[\x00-\x1f\x7f\\]", value) or value.startswith("/") or ".." in parts or "" in parts:
        raise ValueError(f"папка «{value}»: нужен путь относительно url, без «..», «//» и «/» впереди")
    return value
