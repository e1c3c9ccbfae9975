"""What other subsystems may ask of this one."""

from __future__ import annotations

import json

from core.keys import hashed
from core.message import Message

ASK: str = "sfr.snils.ask"
"""Route that takes the command."""


def ask_snils(person_id: int) -> Message:
    """The command "ask СФР for the СНИЛС of this person"."""
    return Message(kind=ASK, body=json.dumps({"person_id": person_id}).encode(), key=person_key(person_id))


def person_key(person_id: int) -> str:
    """Order key: questions and answers about one person stay in order."""
    return hashed("person", str(person_id))
