"""The one strict comparison of tensors with what a network needs, by names, shapes, types and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor


def mismatch(
    found: Mapping,
    expected: Mapping[str, tuple[int, ...]],
    what: str = "tensors",
    shown: Callable[[str], str | None] = lambda name: name,
) -> str | None:
    """Why `found` is not what is `expected`, as "3 tensors are missing: a, b, c"; None when it is.

    found: name -> what should have a `shape` and a `dtype`. expected: name -> shape. what: what the tensors are called.
    shown: the name by which the user knows a tensor. Only the first kind of fault is told, and of it the first five.
    """
    both = [name for name in expected if name in found]
    faults = {
        "missing": [shown(name) or name for name in expected if name not in found],
        "unexpected": [shown(name) or name for name in found if name not in expected],
        "of the wrong shape": [
            f"{shown(name) or name} is {_described(found[name])} instead of {list(expected[name])}"
            for name in both
            if tuple(getattr(found[name], "shape", ())) != tuple(expected[name])
        ],
        "not floating-point": [
            f"{shown(name) or name} is {getattr(found[name], 'dtype', _described(found[name]))}"
            for name in both
            if not getattr(getattr(found[name], "dtype", None), "is_floating_point", False)
        ],
    }
    for fault, names in faults.items():
        if names:
            return f"{len(names)} {what} are {fault}: {first_five(names)}"
    return None


def not_finite(tensors: Mapping[str, Tensor], what: str = "tensors") -> str | None:
    """ "1 tensors hold NaN or infinite values: a"; None when none does."""
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not _is_finite(value)]
    return f"{len(broken)} {what} hold NaN or infinite values: {first_five(broken)}" if broken else None


def first_five(words: Iterable[str]) -> str:
    """The first five of some words, and dots when there are more."""
    words = list(words)
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")


def _is_finite(value: Tensor) -> bool:
    # The extremes are NaN where any value is; finding them takes a tenth of the time that torch.isfinite takes for all.
    return not value.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(value.detach()))).all())


def _described(value) -> str:
    return str(list(value.shape)) if hasattr(value, "shape") else type(value).__name__
