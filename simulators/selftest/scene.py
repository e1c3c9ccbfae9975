"""What a fault may touch: the world, the clients and the senders of files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulators.selftest.files import FileTraffic
    from simulators.selftest.load import Load
    from simulators.selftest.world import World


@dataclass(frozen=True, slots=True)
class Scene:
    """One run."""

    world: World
    load: Load
    files: FileTraffic
