"""How a node runs: it says which packages and connections it lacks, can be cancelled, and shows how far it is."""

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
            check_sockets(getattr(cls, "SCHEMA", None), inputs)
            with listening():
                return execute(cls, *values, **inputs)

        return run

    return around


WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")  # the host checks their values itself


def check_sockets(schema, inputs: dict) -> None:
    """Raises ValueError for an input that comes from another node and holds a plain value: in the API's form of a
    workflow any input may be given one, and the host looks at the values of widgets alone."""
    for slot in schema.inputs if schema is not None else ():
        value = inputs.get(slot.id)
        if slot.io_type in WIDGETS or slot.id not in inputs or (value is None and slot.optional):
            continue
        if not _is_connected(slot.io_type, value):
            raise ValueError(
                f"Expected the input {slot.id} to be connected with a {slot.io_type}, got {str(value)[:40]!r}. Connect "
                "the output of a node."
            )


def _is_connected(kind: str, value) -> bool:
    if kind in ("IMAGE", "MASK"):
        return hasattr(value, "shape")
    if kind == "LATENT":
        return isinstance(value, dict) and hasattr(value.get("samples"), "shape")
    if kind == "CONDITIONING":
        pairs = value if isinstance(value, list) else []
        return bool(pairs) and all(
            isinstance(each, (list, tuple))
            and len(each) == 2
            and hasattr(each[0], "shape")
            and isinstance(each[1], dict)
            for each in pairs
        )
    return value is not None and not isinstance(value, (str, int, float, list, tuple, dict))
