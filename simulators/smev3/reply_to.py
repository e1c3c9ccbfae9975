"""The opaque return address: base64 of JSON with the keys seen in real messages (FACTS §5)."""

from __future__ import annotations

import base64
import binascii
import json
import zlib


def make(message_id: str, sender: str, namespace: str, root: str, transaction_code: str = "") -> str:
    """ReplyTo of a request; differs for every message."""
    place = namespace.partition("://")[2] or namespace.removeprefix("urn:")
    content = {
        "sid": zlib.crc32(message_id.encode()), "mid": message_id, "tcd": transaction_code, "eol": 0,
        "slc": f"{place.replace('/', '_')}_{root}", "mnm": sender, "ns": namespace,
    }  # fmt: skip
    return base64.b64encode(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).decode()


def message_id(to: str) -> str:
    """The request that an address belongs to; '' when it is not an address of ours."""
    try:
        content = json.loads(base64.b64decode(to, validate=True))
    except (binascii.Error, ValueError):
        return ""
    found = content.get("mid") if isinstance(content, dict) else None
    return found if isinstance(found, str) else ""
