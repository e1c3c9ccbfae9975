"""MessageIDs: lower-case UUIDs of version 1 that no other process of ours can make (FACTS §5)."""

from __future__ import annotations

import os
import secrets
import threading
import time
from uuid import UUID

_GREGORIAN_100NS = 0x01B21DD213814000
"""From 15 October 1582 to 1 January 1970, in the 100 ns units of RFC 4122 §4.1.4."""

_lock = threading.Lock()
_owner = 0
_node = 0
_clock_seq = 0
_last = 0


def new_message_id() -> str:
    """A new id stamped with this moment. The node is random (multicast bit set, RFC 4122 §4.5), not our MAC."""
    global _owner, _node, _clock_seq, _last
    with _lock:
        if _owner != os.getpid():  # a forked child must not continue its parent's sequence
            _owner = os.getpid()
            _node = secrets.randbits(48) | 1 << 40
            _clock_seq = secrets.randbits(14)
            _last = 0
        stamp = max(time.time_ns() // 100 + _GREGORIAN_100NS, _last + 1)
        _last = stamp
        node, clock_seq = _node, _clock_seq
    return str(
        UUID(
            fields=(
                stamp & 0xFFFFFFFF,
                stamp >> 32 & 0xFFFF,
                stamp >> 48 & 0x0FFF,
                clock_seq >> 8 & 0x3F,
                clock_seq & 0xFF,
                node,
            ),
            version=1,
        )
    )


def made_at(message_id: str) -> float:
    """Seconds since 1970 stamped in a version 1 id. Raises ValueError for anything else."""
    uuid = UUID(message_id)
    if uuid.version != 1:
        raise ValueError("not a version 1 UUID")
    return (uuid.time - _GREGORIAN_100NS) / 1e7
