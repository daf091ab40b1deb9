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

    found: name -> what has a `shape` and a `dtype`. expected: name -> shape. what: what the tensors are called.
    shown: the name by which the user knows a tensor. Only the first kind of fault is told, and of it the first five.
    """
    both = [name for name in expected if name in found]
    faults = {
        "missing": [_shown(shown, name) for name in expected if name not in found],
        "unexpected": [_shown(shown, name) for name in found if name not in expected],
        "of the wrong shape": [
            f"{_shown(shown, name)} is {list(found[name].shape)} instead of {list(expected[name])}"
            for name in both
            if tuple(found[name].shape) != tuple(expected[name])
        ],
        "not floating-point": [
            f"{_shown(shown, name)} is {found[name].dtype}" for name in both if not found[name].dtype.is_floating_point
        ],
    }
    for fault, names in faults.items():
        if names:
            return f"{len(names)} {what} are {fault}: {first_five(names)}"
    return None


def not_finite(tensors: Mapping[str, Tensor], what: str = "tensors") -> str | None:
    """ "1 tensors hold NaN or infinite values: a"; None when none does."""
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    return f"{len(broken)} {what} hold NaN or infinite values: {first_five(broken)}" if broken else None


def first_five(words: Iterable[str]) -> str:
    """The first five of some words, and dots when there are more."""
    words = list(words)
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")


def _shown(shown: Callable[[str], str | None], name: str) -> str:
    return shown(name) or name
