"""What may stand in the table [webhooks] of the settings."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class WebhooksSettings(BaseModel):
    """Webhooks of the bus itself; those of alerts are in [alerts.webhooks]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: list[IPv4Network | IPv6Network] = Field(
        default=[],
        description="private networks that may be posted to, also without TLS; everything public may with TLS",
    )
    ca_file: Path | None = Field(default=None, description="authorities of the receivers; None: the system's")
    key_env: str = Field(default="", description="variable with the key that signing secrets are made of")
    key_file: Path | None = Field(default=None, description="the same in a file; default: data_dir/webhooks.key")
    timeout_s: float = Field(default=10, gt=0, le=60, description="a whole POST, from the connection to the answer")
    batch_most: int = Field(default=100, ge=1, le=1000, description="events in one POST")
    pause_after_h: float = Field(
        default=72, gt=0, description="a subscription whose receiver fails so long is switched off"
    )
