"""What the journal is indexed by: declared and removed by people, filled by the indexer.

participant   who sent it: the source, the mnemonic of a system in СМЭВ, the partner of a token
key           the order key
xpath         what an XPath finds in the bodies of a kind
words         the words of the bodies of a kind
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import psycopg
from lxml import etree

from core import audit
from core.database import Database, Driver, driver, storable, storable_json
from core.errors import BusError, ConfigError
from core.search import values

if TYPE_CHECKING:
    from core.bus import Bus

RULES_MOST: Final = 50
SAMPLES: Final = 20
"""Last messages of the kind that a key is tried on when no sample is given."""
SLOW_MS: Final = 100.0
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,40}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of bus.search_rule.

    personal  only for whoever may see personal data; words always are
    share     how much of the messages that were there when it was declared is indexed, 0 to 1
    """

    id: int
    name: str
    title: str
    what: str
    kind: str
    xpath: str
    namespaces: Mapping[str, str]
    personal: bool
    since: int
    low: int
    declared_at: datetime
    declared_by: str
    share: float

    @property
    def is_complete(self) -> bool:
        return self.low <= 0

    def compiled(self) -> etree.XPath:
        """Of what=xpath. Raises ConfigError."""
        return compiled(self.xpath, self.namespaces)


def rules(db: Driver) -> list[Rule]:
    """Those that are not being removed, the bus's own first."""
    return [Rule(*row) for row in db.execute(_RULES)]


def rule(db: Driver, name: str) -> Rule:
    """Raises ConfigError."""
    for one in rules(db):
        if one.name == name:
            return one
    raise ConfigError(f"Нет ключа поиска {name}: посмотрите список на странице «Ключи поиска»")


def lag(database: Database) -> int:
    """How many of the newest numbers the index has not come to yet."""
    with database.transaction() as connection:
        row = (
            driver(connection)
            .execute(
                "SELECT greatest(0, coalesce((SELECT seq FROM bus.message ORDER BY seq DESC LIMIT 1), 0) - high) "
                "FROM bus.search_cursor"
            )
            .fetchone()
        )
    return int(row[0]) if row else 0


def compiled(path: str, namespaces: Mapping[str, str]) -> etree.XPath:
    """An XPath 1.0 without extensions. Raises ConfigError that says what is wrong."""
    if not path.strip() or len(path) > 1000:
        raise ConfigError("XPath пуст или длиннее 1000 символов: напишите путь к нужному значению")
    try:
        made = etree.XPath(path, namespaces=dict(namespaces) or None, regexp=False)
        made(etree.Element("empty"))
    except (etree.XPathError, ValueError, TypeError) as error:
        raise ConfigError(f"XPath не понят ({error}): проверьте скобки, префиксы и имена функций") from None
    return made


def namespaces_of(text: str) -> dict[str, str]:
    """Lines `prefix = URI`. Raises ConfigError."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        prefix, sign, uri = (part.strip() for part in line.partition("="))
        if not sign or not uri or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", prefix):
            raise ConfigError(f"Пространство имён не понято: «{line[:80]}». Пишите по одному в строке: ns = urn:…")
        found[prefix] = uri
    return found


def declare_key(
    bus: Bus,
    name: str,
    *,
    title: str,
    kind: str,
    xpath: str,
    namespaces: Mapping[str, str],
    personal: bool,
    sample: bytes = b"",
    actor: str,
) -> Rule:
    """A key by XPath; from now on messages get it, and the indexer goes back to the oldest.

    sample: a document of the kind in which it must find something; b"": the last messages of the kind in the journal.
    Raises ConfigError.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("Имя ключа — латинские буквы, цифры и подчёркивание, от 2 знаков: например, snils")
    if not title.strip():
        raise ConfigError("Дайте ключу название: под ним его увидят в поиске")
    if not kind:
        raise ConfigError("Выберите вид сведений: путь к значению у каждого вида свой")
    path = compiled(xpath, namespaces)
    _try(bus, kind, path, sample)
    return _add(bus, (name, title.strip()[:100], "xpath", kind, xpath, namespaces, personal), actor)


def declare_words(bus: Bus, kind: str, *, title: str, actor: str) -> Rule:
    """Index the words of the bodies of a kind. Raises ConfigError."""
    if not kind:
        raise ConfigError("Выберите вид сведений, по тексту которого нужен поиск")
    name = f"words_{values.hashed(kind) & 0xFFFF_FFFF:08x}"
    return _add(bus, (name, f"Текст: {title}"[:100], "words", kind, "", {}, True), actor)


def remove(bus: Bus, name: str, *, actor: str) -> None:
    """Nobody finds by it any more; the indexer deletes what it holds. Raises ConfigError."""
    with bus.database.transaction() as connection:
        db = driver(connection)
        found = rule(db, name)
        if found.what not in ("xpath", "words"):
            raise ConfigError(f"Ключ «{found.title}» встроен в шину: удалить его нельзя")
        db.execute(
            "UPDATE bus.search_rule SET removed_at = clock_timestamp(), name = name || ' ' || id WHERE id = %s",
            (found.id,),
        )
        audit.record(db, actor, "search.removed", "search", name, f"Удалён ключ поиска «{found.title}»")


def _add(bus: Bus, given: tuple[str, str, str, str, str, Mapping[str, str], bool], actor: str) -> Rule:
    name, title, what, kind, xpath, namespaces, personal = given
    try:
        with bus.database.transaction() as connection:
            db = driver(connection)
            if len(rules(db)) >= RULES_MOST:
                raise ConfigError(f"Ключей поиска уже {RULES_MOST}: удалите ненужные")
            db.execute(
                "INSERT INTO bus.search_rule (name, title, what, kind, xpath, namespaces, personal, since, low, "
                "declared_by) SELECT %s, %s, %s, %s, %s, %s, %s, high, high, %s FROM bus.search_cursor",
                (name, storable(title), what, storable(kind), xpath, storable_json(namespaces), personal, actor),
            )
            note = f"Объявлен ключ поиска «{title}»"
            audit.record(db, actor, "search.declared", "search", name, note, {"kind": kind, "xpath": xpath})
            return rule(db, name)
    except psycopg.errors.UniqueViolation:
        raise ConfigError("Такой ключ поиска уже есть: выберите другое имя или удалите прежний") from None


def _try(bus: Bus, kind: str, path: etree.XPath, sample: bytes) -> None:
    """Raises ConfigError when the path finds nothing, or takes too long."""
    samples = [sample] if sample.strip() else _last_bodies(bus, kind)
    if not samples:
        raise ConfigError("Сообщений этого вида в журнале ещё нет: приложите образец документа, чтобы проверить XPath")
    found: Collection[str] = ()
    for body in samples:
        began = time.perf_counter()
        found = found or values.values_of_body(body, path)
        if (time.perf_counter() - began) * 1000 > SLOW_MS:
            raise ConfigError("XPath считается слишком долго: назовите путь от корня без // и вложенных условий")
    if not found:
        where = "в образце" if sample.strip() else f"в последних сообщениях вида ({len(samples)})"
        raise ConfigError(f"По этому XPath {where} ничего не нашлось: проверьте путь и пространства имён")


def _last_bodies(bus: Bus, kind: str) -> list[bytes]:
    with bus.database.transaction() as connection:
        db = driver(connection)
        rows: list[tuple[Any, ...]] = db.execute(
            "SELECT body, body_payload FROM bus.message WHERE kind BETWEEN %(kind)s AND %(kind)s "
            "ORDER BY kind DESC, seq DESC LIMIT %(most)s",
            {"kind": storable(kind), "most": SAMPLES},
        ).fetchall()
        bodies = []
        for inline, payload in rows:
            try:
                bodies.append(bus.payloads.join(db, inline, payload))
            except BusError:  # removed after its term
                continue
        return bodies


_RULES: Final = """
SELECT id, name, title, what, kind, xpath, namespaces, personal, since, low, declared_at, declared_by,
       CASE WHEN low <= 0 OR since <= first THEN 1.0
            ELSE greatest(0.0, least(1.0, (since - low)::float8 / greatest(since - first, 1))) END
FROM bus.search_rule
CROSS JOIN (SELECT coalesce((SELECT seq FROM bus.message ORDER BY seq LIMIT 1), 0) - 1 AS first) AS oldest
WHERE removed_at IS NULL ORDER BY what = 'words', what = 'xpath', title, id
"""
