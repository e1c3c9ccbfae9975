"""What a browser says of itself, in words: «Chrome, Windows»."""

from __future__ import annotations

from typing import Final

_BROWSERS: Final = {
    "YaBrowser": "Яндекс Браузер",
    "Edg": "Edge",
    "OPR": "Opera",
    "Firefox": "Firefox",
    "Chrom": "Chrome",
    "Safari": "Safari",
}
"""In this order: each names those behind it too."""
_SYSTEMS: Final = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Mac OS": "macOS",
    "Linux": "Linux",
}


def device(agent: str) -> str:
    """For a person; the beginning of the text itself when nothing in it is known."""
    browser = next((words for sign, words in _BROWSERS.items() if sign in agent), "")
    system = next((words for sign, words in _SYSTEMS.items() if sign in agent), "")
    return ", ".join(filter(None, (browser, system))) or agent[:40] or "неизвестно"
