"""Settings of the hash chain, `[seals]`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class SealSettings(BaseModel):
    """How the journal is sealed. See core.seals.sealing."""

    model_config = ConfigDict(extra="forbid")

    every_s: float = Field(default=60.0, gt=0, description="a row waits no longer for its seal once it is settled")
    share: float = Field(default=0.1, gt=0, le=1, description="of the time that sealing may keep the database busy")
    heads_file: Path | None = Field(
        default=None, description="where the end of the chain is appended after each round; keep it on another machine"
    )
