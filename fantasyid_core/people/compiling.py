"""Compiling the renderer's loops with Numba, imported only when pictures are rendered."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path

from ..running.packages import MissingPackage, lacks

_COMPILED = ("*_kernels.py", "columns.py", "expression.py")  # the last two: for the constants of the kernels


def numba():
    """The package; RuntimeError with what to do when it is absent."""
    try:
        return importlib.import_module("numba")
    except ImportError as error:
        raise MissingPackage(lacks("Rendering the project's own heads", ["numba"])) from error


def compiled(function: Callable) -> Callable:
    """The function as machine code that leaves other threads running."""
    return numba().njit(nogil=True, error_model="numpy")(function)


def inlined(function: Callable) -> Callable:
    """As `compiled`, copied into its callers: handing over arrays would cost more than the work itself."""
    return numba().njit(nogil=True, error_model="numpy", forceinline=True)(function)


def compiled_once(function: Callable) -> Callable:
    """As `compiled`, and kept on disk for the next process, where there is a folder to keep it in.

    What is kept refers to its module by name. ComfyUI loads this package under a name of its own, so the name is made
    part of the key: else either could find, and fail on, what the other has kept.
    """
    function.__qualname__ += "_" + hashlib.sha256(function.__module__.encode()).hexdigest()[:12]
    try:
        return numba().njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder can be written to
        return compiled(function)


def sources_digest() -> str:
    """Changes with the source of any kernel and of the numbers that are compiled into them.

    Numba itself looks only at the file of the function that it keeps.
    """
    paths = sorted(path for form in _COMPILED for path in Path(__file__).parent.glob(form))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
