"""The simulator's clock, which tests may move, and time-based identifiers made by it.

Moving it is how StaleMessageId, EOL, expired certificates and redelivery are tried without waiting.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta, timezone

MOSCOW = timezone(timedelta(hours=3))
GREGORIAN_OFFSET_100NS = 0x01B21DD213814000
HUNDRED_NS_PER_S = 10_000_000


class Clock:
    """Wall clock plus an offset in seconds. The offset is kept by the store, so that a restart keeps it."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = offset_s

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)


def uuid1_at(moment: datetime) -> str:
    """A lower-case version 1 UUID whose timestamp is `moment`; node and sequence are random (RFC 9562 §5.1)."""
    ticks = int(moment.timestamp() * HUNDRED_NS_PER_S) // 10 * 10 + secrets.randbelow(10) + GREGORIAN_OFFSET_100NS
    time_low, time_mid, time_high = ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, (ticks >> 48) & 0x0FFF
    clock_high, clock_low = secrets.randbits(6) | 0x80, secrets.randbits(8)
    node = secrets.randbits(48) | 0x010000000000
    return str(uuid.UUID(fields=(time_low, time_mid, time_high | 0x1000, clock_high, clock_low, node)))


def moment_of_uuid1(value: uuid.UUID) -> datetime:
    """When the version 1 identifier says it was made."""
    seconds = (value.time - GREGORIAN_OFFSET_100NS) / HUNDRED_NS_PER_S
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def xml_time(moment: datetime) -> str:
    """`2020-05-20T07:52:37.000+03:00`, as СМЭВ writes it."""
    return moment.astimezone(MOSCOW).isoformat(timespec="milliseconds")
