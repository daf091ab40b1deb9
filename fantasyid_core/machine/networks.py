"""The networks in memory: each is loaded when it is first needed, kept, and released by name."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from .memory import return_memory

ADAPTER, FACE_ENCODER, TEXT_ENCODER, VAE, TRANSFORMER = (
    "adapter",
    "face encoder",
    "text encoder",
    "VAE",
    "transformer",
)


class Networks:
    """Loaded networks by name, shared by all videos that are made with them."""

    def __init__(self):
        self._kept: dict[str, Any] = {}

    def get(self, name: str, load: Callable[[], Any]):
        """The network `name`; `load` makes it the first time."""
        if name not in self._kept:
            self._kept[name] = load()
        return self._kept[name]

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def let_go(self, *names: str) -> None:
        """Releases networks and returns their memory to the system; names that are not loaded are ignored."""
        kept = [name for name in names if self._kept.pop(name, None) is not None]
        if kept:
            gc.collect()
            return_memory()
