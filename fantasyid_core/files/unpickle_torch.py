"""Tensors inside a foreign pickle, read as arrays and without PyTorch.

A tensor that is pickled beside other objects is a call of torch._utils._rebuild_tensor_v2 with the storage,
and the storage is a call of torch.storage._load_from_bytes with the content of a file in the format that
torch.save had before version 1.6: five pickles in a row (magic number, version, machine, storage, its name),
then the number of elements and the elements.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .pickle_scan import pickle_end
from .unpickle import ALLOWED, RestrictedUnpickler

MAGIC = 0x1950A86A20F9469CFC6C
# Texts rather than dtypes, whose state a pickle could set.
_ELEMENTS = {
    ("torch", "DoubleStorage"): "<f8",
    ("torch", "FloatStorage"): "<f4",
    ("torch", "HalfStorage"): "<f2",
    ("torch", "LongStorage"): "<i8",
    ("torch", "IntStorage"): "<i4",
    ("torch", "ShortStorage"): "<i2",
    ("torch", "CharStorage"): "i1",
    ("torch", "ByteStorage"): "u1",
    ("torch", "BoolStorage"): "?",
}


class _PartUnpickler(RestrictedUnpickler):
    def persistent_load(self, reference: Any) -> Any:
        return reference  # the description of the storage: a tuple of texts and numbers


def _storage(content: bytes) -> np.ndarray:
    """The elements of a storage [N]."""
    parts, position = [], 0
    for _ in range(5):
        end = pickle_end(content, position)
        parts.append(_PartUnpickler(io.BytesIO(content[position:end]), "A tensor in it", _ELEMENTS).load())
        position = end
    magic, _, machine, (_, code, *_), _ = parts
    if magic != MAGIC or code not in _ELEMENTS.values() or not machine["little_endian"]:
        raise ValueError("it holds a tensor in an unknown format")
    count = int.from_bytes(content[position : position + 8], "little")
    elements = np.frombuffer(content, np.dtype(code), offset=position + 8)
    if len(elements) != count:
        raise ValueError(f"it holds a tensor of {len(elements)} elements that should have {count}")
    return elements.copy()


def _tensor(
    storage: np.ndarray, offset: int, size: tuple, stride: tuple, requires_grad=False, hooks=None, metadata=None
) -> np.ndarray:
    """The elements of a storage that a tensor shows, as an array of its own."""
    numeric = isinstance(storage, np.ndarray) and storage.ndim == 1 and storage.dtype.kind in "fiub"
    if not numeric or len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError("it holds a tensor that is described wrongly")
    if math.prod(size) > len(storage):
        raise ValueError(f"it holds a tensor of the size {list(size)} with {len(storage)} elements")
    places = np.full(size, offset, dtype=np.int64)
    for axis, (count, step) in enumerate(zip(size, stride, strict=True)):
        shape = [1] * len(size)
        shape[axis] = count
        places += (np.arange(count, dtype=np.int64) * step).reshape(shape)
    return np.asarray(storage[places])  # a place beyond the end is an IndexError


ALLOWED_WITH_TENSORS: Mapping[tuple[str, str], Any] = MappingProxyType(
    {
        **ALLOWED,
        ("torch.storage", "_load_from_bytes"): _storage,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    }
)
"""`unpickle.ALLOWED`, and tensors, which come as arrays."""
