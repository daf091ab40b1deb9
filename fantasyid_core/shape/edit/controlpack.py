"""A head and its controls as one block of bytes, from which a browser computes exactly what Python computes.

Little-endian:
    4 bytes  "FIDC"
    uint32   version, 1
    uint32   length of the header in bytes, a multiple of 4
    header   JSON in UTF-8, padded with spaces
    body     arrays; every offset in the header counts from the body's start and is a multiple of 4
The header:
    step        metres of one step; left_steps: what counts as 1 in `left`
    vertices    {offset, type "float32", shape [V,3]}, metres
    faces       {offset, type "uint16" or "uint32", shape [F,3]}, or null for a cloud of points
    left        {offset, type "uint16", shape [V]}
    controls    in the order of the sliders: {name, label, group, help, low, high, steps, indices}
                steps {offset, type "int16", shape [n,3]}; indices {offset, type "uint16" or "uint32", shape [n]} names
                the vertices that move, or null when steps has a row for every vertex
An edited vertex is  vertex + step * (sum of right * steps + left / left_steps * sum of (left value - right) * steps),
summed over the controls in double precision and rounded to float32 at the end.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import numpy as np

from ..mesh import check_faces
from .controls import LEFT_STEPS, STEP, face_controls
from .faceframe import checked_vertices

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..reconstruct.flame import FlameModel

MAGIC, VERSION = b"FIDC", 1
_SHOWN = ("label", "group", "help", "low", "high")


def pack_controls(
    vertices: ArrayLike,  # [V,3]
    faces: ArrayLike | None = None,  # [F,3]
    flame: FlameModel | None = None,
    plausible: bool = False,
) -> bytes:
    """A head and its controls for the browser; the format is the module's. Raises as `controls.shape_controls`, and
    ValueError for faces that name missing vertices."""
    made = face_controls(vertices, flame, plausible)
    points = checked_vertices(vertices).astype("<f4")
    body = _Body()
    index = "<u2" if len(points) <= 2**16 else "<u4"
    faces = None if faces is None else check_faces(faces, len(points), "The head").astype(index)
    header = {
        "step": STEP,
        "left_steps": LEFT_STEPS,
        "vertices": body.add(points),
        "faces": None if faces is None else body.add(faces),
        "left": body.add(made.left.astype("<u2")),
        "controls": [
            {"name": name} | {key: getattr(control, key) for key in _SHOWN} | _packed(body, steps, index)
            for (name, control), steps in zip(made.controls.items(), made.steps, strict=True)
        ],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return MAGIC + struct.pack("<II", VERSION, len(text)) + text + b"".join(body.parts)


class _Body:
    def __init__(self):
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, array: np.ndarray) -> dict:
        """Appends an array and returns where it lies."""
        place = {"offset": self.size, "type": array.dtype.name, "shape": list(array.shape)}
        content = np.ascontiguousarray(array).tobytes()
        content += b"\0" * (-len(content) % 4)
        self.parts.append(content)
        self.size += len(content)
        return place


def _packed(body: _Body, steps: np.ndarray, index: str) -> dict:
    moving = np.flatnonzero(steps.any(axis=1))
    dense = len(moving) * (6 + np.dtype(index).itemsize) >= len(steps) * 6
    return {
        "steps": body.add((steps if dense else steps[moving]).astype("<i2")),
        "indices": None if dense else body.add(moving.astype(index)),
    }
