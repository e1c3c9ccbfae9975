"""Armed faults: what goes wrong on purpose, how often and for whom. Kept in the database, decided here.

A fault fires when its filters fit, its count is not used up, and its die says so. The die is seeded: the n-th draw
of a fault with the same seed always falls the same way.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from simulators.smev3.faults import CATALOGUE
from simulators.smev3.store import Row, Store

NAMES: dict[str, str] = {
    "latency": "ответ задерживается на seconds",
    "drop_before": "соединение рвётся до обработки: сообщение не принято",
    "drop_after": "соединение рвётся после обработки: сообщение принято, ответа нет",
    "html_504": "HTTP 504 и страница HTML; accepted=true: сообщение при этом принято",
    "http_503": "HTTP 503 без тела",
    "fault": "отказ name с текстом text; bare=true: без ValidationError",
    "truncated": "ответ обрывается на середине, Content-Length полный",
    "malformed": "ответ не XML",
    "broken_multipart": "multipart без закрывающей границы и с чужим boundary",
    "empty_body": "пустое тело HTTP 200",
    "not_utf8": "ответ в windows-1251 с объявлением UTF-8",
    "dtd": "ответ с DOCTYPE и внешней сущностью",
    "entity_bomb": "ответ с размножающимися сущностями",
    "deep_nesting": "ответ с вложенностью depth",
    "huge_text": "ответ с текстовым узлом в size байт",
    "wrong_smev_signature": "подпись СМЭВ не сходится",
    "no_smev_signature": "подписи СМЭВ нет",
    "wrong_sender_signature": "подпись отправителя не сходится",
    "expired_certificate": "СМЭВ подписывает истёкшим сертификатом",
    "foreign_certificate": "СМЭВ подписывает сертификатом чужого УЦ",
    "repeated_id": "подписанный элемент унесён в soap:Header, на его месте подделка с тем же Id",
    "wrapped": "подписанный элемент унесён в soap:Header, на его месте подделка с другим Id",
    "duplicate": "после подтверждения сообщение приходит ещё times раз",
    "newest_first": "выдаётся самое новое сообщение очереди",
    "orphan_status": "в очередь ответов попадает статус о неизвестном сообщении",
    "orphan_response": "в очередь ответов попадает ответ на неизвестный запрос",
    "unknown_status": "MessageMetadata/Status со значением не из перечня (value)",
    "async_reject": "асинхронный отказ СМЭВ (text) вместо доставки",
}  # fmt: skip


@dataclass
class ArmedFault:
    """One switch. None in a filter means any; `remaining` None means no limit."""

    id: int
    name: str
    operation: str | None
    version: str | None
    caller: str | None
    kind: str | None
    remaining: int | None
    probability: float
    seed: int
    draws: int
    fired: int
    params: dict[str, Any] = field(default_factory=dict)

    def fits(self, name: str, operation: str, version: str, caller: str, kind: str) -> bool:
        pairs = ((self.operation, operation), (self.version, version), (self.caller, caller), (self.kind, kind))
        return self.name == name and self.remaining != 0 and all(mine in (None, theirs) for mine, theirs in pairs)

    def falls(self) -> bool:
        """Throw the die once."""
        digest = hashlib.sha256(f"{self.seed}:{self.id}:{self.draws}".encode()).digest()
        self.draws += 1
        return int.from_bytes(digest[:8], "big") / 2**64 < self.probability


class Mischief:
    """All armed faults of one simulator."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._faults: list[ArmedFault] = []

    def load(self) -> None:
        with self._store.transaction() as conn:
            rows = conn.execute("select * from sim_smev.fault order by id").fetchall()
        with self._lock:
            self._faults = [ArmedFault(**row) for row in rows]

    def arm(self, order: dict[str, Any]) -> ArmedFault:
        """Arm one fault. ValueError (Russian) for a name or a named fault that does not exist."""
        known = {"name", "operation", "version", "caller", "kind", "count", "probability", "seed", "params"}
        if strange := set(order) - known:
            raise ValueError(f"Неизвестные ключи: {', '.join(sorted(strange))}. Известны: {', '.join(sorted(known))}")
        name, params = order.get("name"), dict(order.get("params") or {})
        if name not in NAMES:
            raise ValueError(f"Неизвестный сбой «{name}». Известны: {', '.join(NAMES)}")
        if name == "fault" and params.get("name") not in CATALOGUE:
            raise ValueError(f"Для сбоя fault укажите params.name из перечня: {', '.join(CATALOGUE)}")
        with self._store.transaction() as conn:
            row = conn.execute(
                "insert into sim_smev.fault (name, operation, version, caller, kind, remaining, probability, seed,"
                " params) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) returning *",
                (
                    name, order.get("operation"), order.get("version"), order.get("caller"), order.get("kind"),
                    order.get("count"), float(order.get("probability", 1.0)), int(order.get("seed", 0)), Jsonb(params),
                ),
            ).fetchone()  # fmt: skip
        assert row is not None
        fault = ArmedFault(**row)
        with self._lock:
            self._faults.append(fault)
        return fault

    def disarm(self, fault_id: int | None = None) -> None:
        """One fault, or all."""
        with self._store.transaction() as conn:
            conn.execute("delete from sim_smev.fault where %s::bigint is null or id = %s", (fault_id, fault_id))
        with self._lock:
            self._faults = [] if fault_id is None else [one for one in self._faults if one.id != fault_id]

    def armed(self) -> list[Row]:
        with self._lock:
            return [dict(vars(one)) for one in self._faults]

    def for_call(self, operation: str, version: str) -> Luck:
        return Luck(self, operation, version)

    def take(self, name: str, operation: str, version: str, caller: str, kind: str) -> ArmedFault | None:
        """The first fitting fault whose die falls, counted as fired; None mostly."""
        if not self._faults:
            return None
        with self._lock:
            fitting = [one for one in self._faults if one.fits(name, operation, version, caller, kind)]
            hit = next((one for one in fitting if one.falls()), None)
            if hit is not None:
                hit.fired += 1
                hit.remaining = None if hit.remaining is None else hit.remaining - 1
            state = [(one.draws, one.fired, one.remaining, one.id) for one in fitting]
        if state:
            with self._store.transaction() as conn:
                for values in state:
                    conn.execute(
                        "update sim_smev.fault set draws = %s, fired = %s, remaining = %s where id = %s", values
                    )
        return hit


@dataclass
class Luck:
    """The faults of one call; `fired` names those that touched it."""

    mischief: Mischief
    operation: str
    version: str
    caller: str = ""
    kind: str = ""
    fired: list[str] = field(default_factory=list)

    def take(self, name: str) -> ArmedFault | None:
        hit = self.mischief.take(name, self.operation, self.version, self.caller, self.kind)
        if hit is not None:
            self.fired.append(name)
        return hit
