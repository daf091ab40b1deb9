"""The one writer of .safetensors. It writes tensor by tensor, so that nothing is copied twice and a full disk raises
OSError."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


class Announced(NamedTuple):
    """A tensor that will be written: its place in the file is known before it is read."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    bytes: int


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes `tensors` (moved to the CPU one by one), wide numbers first; raises OSError when the disk is full."""
    order = sorted(tensors, key=lambda name: -tensors[name].element_size())
    announced = [Announced(n, tensors[n].dtype, tuple(tensors[n].shape), tensors[n].nbytes) for n in order]
    write_announced(path, announced, (tensors[name] for name in order), metadata)


def write_announced(
    path: Path,
    announced: Iterable[Announced],
    tensors: Iterable[Tensor],
    metadata: Mapping[str, str] | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Writes tensors in the order in which they are announced; advance(bytes) is called after each.

    Format (the specification of safetensors): 8 bytes with the length of the header, a JSON header, the bytes of the
    tensors without gaps. Announce wide numbers first, so that all are aligned. Raises OSError when the disk is full.
    """
    header: dict = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for each in announced:
        offsets = [place, place + each.bytes]
        header[each.name] = {"dtype": DTYPE_NAMES[each.dtype], "shape": list(each.shape), "data_offsets": offsets}
        place += each.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            stream.write(_bytes(tensor))
            advance(tensor.nbytes)


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)  # also bfloat16, which NumPy has not
    return memoryview(flat.numpy())
