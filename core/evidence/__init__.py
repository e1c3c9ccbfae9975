"""Доказательный пакет: one zip about one message that proves what the bus did, without the bus.

    from core import evidence
    evidence.pack(bus, message_id, person, out)      # writes it
    evidence.preview(bus, message_id)                # what would be in it
    evidence.check(file)                             # with no database: sentences

The format is in docs/evidence.md.
"""

from core.evidence.checking import Verdict, check
from core.evidence.packing import Preview, pack, preview

__all__ = ["Preview", "Verdict", "check", "pack", "preview"]
