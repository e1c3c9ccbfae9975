"""What a package may be refused for."""

from __future__ import annotations

from core.errors import Permanent


class MalformedPackage(Permanent):
    """Это не доказательный пакет, или он испорчен."""
