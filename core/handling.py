"""The session that handlers get: their writes live and die with the message, so they can't end its transaction."""

from __future__ import annotations

from sqlalchemy.orm import Session


class HandlerSession(Session):
    """Inside a savepoint; `keep` is for the engine."""

    def keep(self) -> None:
        super().commit()

    def commit(self) -> None:
        raise RuntimeError("A handler must not commit: its writes, its messages and its state are one transaction")

    def rollback(self) -> None:
        raise RuntimeError("A handler must not roll back: raise an error instead, or use begin_nested()")
