"""How a node runs: it says which packages it lacks, can be cancelled, and shows how far it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps


def cancellable(*packages: str) -> Callable[[Callable], Callable]:
    """For `execute`: with the host's progress bar and cancel button for what it calls.

    packages: modules without which the node can do nothing; a missing one is a sentence before any work.
    """

    def around(execute: Callable) -> Callable:
        @wraps(execute)
        def run(cls, *values, **inputs):
            from ..fantasyid_core.host.comfy.listening import listening
            from ..fantasyid_core.running.packages import require

            require("This node", packages)
            with listening():
                return execute(cls, *values, **inputs)

        return run

    return around
