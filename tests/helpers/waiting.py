"""Waiting for what another thread or process does, however long a busy machine lets it wait."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    """Guards against hanging; what is waited for takes less than a second on an idle machine."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for never came"
        time.sleep(0.01)
