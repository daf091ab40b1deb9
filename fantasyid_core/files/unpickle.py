"""Reads foreign pickles (mesh topology, FLAME, landmarks) without executing any of their code.

A pickle names the functions and classes that it wants called. Here each name must be on an explicit list, and the list
maps names to stand-ins of this project, never to the real constructors: numpy's own `dtype` and `ndarray` trust
whatever state a pickle gives them. SciPy's matrices are built from parts that are checked.
"""

from __future__ import annotations

import io
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from .pickle_scan import pickle_end

if TYPE_CHECKING:
    from scipy.sparse import coo_array

# Numbers, booleans, fixed-width strings and lists of objects; no structured types, no pointers.
_DTYPE_CODE = re.compile(r"[<>|=]?([biufcSU]\d{1,4}|O\d?)")
_NDARRAY = object()  # what the name numpy.ndarray leads to: good for a comparison, useless for a call
DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError,
    ArithmeticError, MemoryError, RecursionError,
)  # fmt: skip
"""What readers of pickles raise for damaged content."""


class SparseMatrix:
    """What a SciPy matrix keeps: `data` [nnz], `shape`, and `indices` with `indptr` or `row` with `col`.

    `layout` is "csc", "csr" or "coo". Nothing is checked before `coordinates`.
    """

    layout = ""
    data = indices = indptr = row = col = None
    shape: tuple = ()

    def __setstate__(self, state: dict) -> None:
        for name in ("data", "indices", "indptr", "row", "col"):
            setattr(self, name, state.get(name))
        if self.row is None and state.get("coords") is not None:
            self.row, self.col = state["coords"]
        self.shape = tuple(state.get("_shape", state.get("shape", ())))

    def coordinates(self) -> coo_array:
        """The matrix with a row and a column for each value, in the stored order.

        Raises ValueError when the parts do not make a matrix of the stated shape.
        """
        from scipy import sparse

        if len(self.shape) != 2 or not all(isinstance(size, (int, np.integer)) for size in self.shape):
            raise ValueError(f"expected a sparse matrix with two sizes, got {self.shape}")
        values = _part(self.data, "data")
        index = ("row", "col") if self.layout == "coo" else ("indices", "indptr")
        places = tuple(_part(getattr(self, name), name, np.integer).astype(np.int64) for name in index)
        content = (values, places) if self.layout == "coo" else (values, *places)
        try:
            matrix = getattr(sparse, f"{self.layout}_array")(content, shape=self.shape)
            if self.layout != "coo":
                matrix.check_format(full_check=True)
            found = matrix.tocoo()
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"the parts of a sparse matrix {self.shape} do not fit each other: {error}") from error
        if found.nnz != len(values):
            raise ValueError(f"expected {found.nnz} values of a sparse matrix {self.shape}, got {len(values)}")
        return found


class CscMatrix(SparseMatrix):
    layout = "csc"


class CsrMatrix(SparseMatrix):
    layout = "csr"


class CooMatrix(SparseMatrix):
    layout = "coo"


class _Dtype:
    """A dtype under construction: numpy's own `dtype.__setstate__` accepts flags that corrupt memory."""

    def __init__(self, code: str):
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise ValueError(f"it holds arrays of the type {code!r}; only plain numbers and strings are read")
        self.dtype = np.dtype("O" if "O" in code else code)

    def __setstate__(self, state: tuple) -> None:
        if any(part is not None for part in state[2:5]):
            raise ValueError("it holds arrays of a structured type; only plain numbers and strings are read")
        self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray(np.ndarray):
    """An ndarray whose state may come from a pickle, because the dtype in it is one of ours."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, content = state
        if isinstance(content, str):  # raw bytes written by Python 2
            content = content.encode("latin1")
        # numpy keeps its own check that the content has the size that shape and dtype call for.
        super().__setstate__((1, shape, _dtype_of(dtype), bool(is_fortran), content))


def _part(value: Any, name: str, kind: type = np.number) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or not np.issubdtype(value.dtype, kind):
        raise ValueError(f"expected '{name}' of a sparse matrix to be one row of numbers")
    return np.asarray(value)


def _dtype_of(value: Any) -> np.dtype:
    if not isinstance(value, _Dtype):
        raise ValueError("an array in it has no type")
    return value.dtype


def _dtype(code: str, align: bool = False, copy: bool = False) -> _Dtype:
    return _Dtype(code)


def _reconstruct(kind: object, shape: tuple, code: object) -> np.ndarray:
    if kind is not _NDARRAY:
        raise ValueError("it holds arrays of a class of its own")
    return np.empty(0).view(PickledArray)


def _scalar(dtype: _Dtype, content: bytes) -> np.generic:
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw, _dtype_of(dtype), count=1)[0]


def _frombuffer(buffer: bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(buffer, _dtype_of(dtype)).reshape(shape, order=order).copy().view(PickledArray)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"it holds text in the encoding {encoding!r}; only latin1 is read")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""  # protocols 0 to 2 have no other way to say it


def _instance(kind: type, base: object, state: None) -> Any:
    if not isinstance(kind, type):
        raise ValueError("it builds an object of something that is not a class")
    return kind.__new__(kind)


def _names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): _dtype,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): OrderedDict,
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = _reconstruct
        names[f"{core}.multiarray", "scalar"] = _scalar
        names[f"{core}.numeric", "_frombuffer"] = _frombuffer
    for layout, kind in (("csc", CscMatrix), ("csr", CsrMatrix), ("coo", CooMatrix)):
        for module in (f"scipy.sparse.{layout}", f"scipy.sparse._{layout}"):
            names[module, f"{layout}_matrix"] = kind
    for builtins in ("builtins", "__builtin__"):
        names[builtins, "object"] = object()
        names[builtins, "bytes"] = _no_bytes
    for copier in ("copyreg", "copy_reg"):
        names[copier, "_reconstructor"] = _instance
    return names


ALLOWED: Mapping[tuple[str, str], Any] = MappingProxyType(_names())
"""(module, name) a pickle may ask for -> what it gets. To extend: `{**ALLOWED, (module, name): StandIn}`.

A stand-in is a plain class with `__setstate__` or a function; either must be harmless with any arguments.
"""


class RestrictedUnpickler(pickle.Unpickler):
    """Calls nothing but the stand-ins in `allowed`. `label` names the file in errors."""

    def __init__(self, stream, label: str, allowed: Mapping[tuple[str, str], Any]):
        super().__init__(stream, encoding="latin1")
        self._label, self._allowed = label, allowed
        self.refusal: str | None = None

    def find_class(self, module: str, name: str) -> Any:
        # The whole name is looked up: otherwise a dotted name would reach attributes of the allowed objects.
        if (module, name) not in self._allowed:
            self.refusal = (
                f"{self._label} was refused: it tries to import {module}.{name}, for which a file of this "
                "kind has no use. Nothing of it was run. Use the file from its official source instead."
            )
            raise pickle.UnpicklingError(self.refusal)
        found = self._allowed[module, name]
        if isinstance(found, FunctionType):  # a pickle can set attributes on what it is handed
            return lambda *arguments: found(*arguments)
        return found


def restricted_load(path_or_file, allowed: Mapping[tuple[str, str], Any] = ALLOWED) -> Any:
    """Reads a pickle (path or binary file object; Python 2's too) that may use only the names in `allowed`.

    Arrays come as a subclass of np.ndarray that owns its memory (np.asarray gives the plain class),
    SciPy matrices as `SparseMatrix`.

    Raises ValueError naming what a pickle tries to import beyond the list, or saying that the file is
    damaged or no pickle; FileNotFoundError if the path does not exist.
    """
    if hasattr(path_or_file, "read"):
        return _load(path_or_file, str(getattr(path_or_file, "name", "The pickle")), allowed)
    with open(Path(os.fspath(path_or_file)), "rb") as stream:
        return _load(stream, str(path_or_file), allowed)


def _load(stream, label: str, allowed: Mapping[tuple[str, str], Any]) -> Any:
    content, unpickler = stream.read(), None
    try:
        pickle_end(content)
        unpickler = RestrictedUnpickler(io.BytesIO(content), label, allowed)
        return unpickler.load()
    except DAMAGE as error:
        raise ValueError(
            (unpickler and unpickler.refusal)
            or f"{label} cannot be read as a pickle of arrays: it is truncated, damaged or something else "
            f"({type(error).__name__}: {error}). Copy or download it again from its official source."
        ) from error
