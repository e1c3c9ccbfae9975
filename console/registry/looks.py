"""What the audit is told of looks and changes in the registries: which rows, never what stands in them.

One row of the audit a page, card, export or change, in the transaction of the request: without it nothing is shown and
nothing is written.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import anyio.to_thread
from sqlalchemy.orm import Session
from starlette.requests import Request

from core import audit
from core.database import driver
from core.screen import Screen

IDS_MOST: Final = 1000
"""So many ids stand in one row of the audit; of a larger export its criteria tell."""


async def record(
    request: Request, screen: Screen, action: str, object_id: str, note: str, detail: Mapping[str, Any]
) -> None:
    """One deed of this request's person, in its session. In a thread: the audit may have to wait for a lock."""
    session: Session = request.state.session
    actor = request.state.person.login

    def write() -> None:
        db = driver(session.connection())
        audit.record(db, actor, action, screen.object_kind, object_id, note, dict(detail))

    await anyio.to_thread.run_sync(write)


async def listed(request: Request, screen: Screen, ids: Sequence[Any], criteria: str, secret: str) -> None:
    """A page of a list was shown with its personal data."""
    note = f"Список «{screen.title}»: строк {len(ids)}"
    detail = {"ids": [str(one) for one in ids[:IDS_MOST]], "criteria": digest(criteria, secret)}
    await record(request, screen, "registry.listed", "", note, detail)


async def viewed(request: Request, screen: Screen, row_id: Any, below: Mapping[str, Sequence[Any]]) -> None:
    """A card was shown with its personal data, with rows of other screens below it (object kind → ids)."""
    detail = {"below": {kind: [str(one) for one in ids] for kind, ids in below.items() if ids}}
    await record(request, screen, "registry.viewed", str(row_id), f"Карточка: {screen.one}", detail)


def digest(criteria: str, secret: str) -> str:
    """Tells whether two looks asked the same, and not what: a name could be guessed from a bare hash."""
    return hmac.new(secret.encode(), criteria.encode("utf-8", "replace"), "sha256").hexdigest()[:32]
