"""How a node runs: it can be cancelled, and shows how far it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps


def cancellable(execute: Callable) -> Callable:
    """`execute` with the host's progress bar and cancel button for what it calls."""

    @wraps(execute)
    def run(cls, *values, **inputs):
        from ..fantasyid_core.host.comfy.listening import listening

        with listening():
            return execute(cls, *values, **inputs)

    return run
