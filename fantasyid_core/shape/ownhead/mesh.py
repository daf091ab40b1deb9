"""The fixed topology of all heads: its average shape, mirror image, named regions and landmarks.

Numbers in tables are millimetres, as in `surface`; what the functions return is metres.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .surface import surface

METRE = 0.001  # of a millimetre


class HeadMesh(NamedTuple):
    """What all heads have in common. The arrays are read-only."""

    template: np.ndarray  # [V,3] float64, metres: the average head, its own mirror image in x
    faces: np.ndarray  # [F,3] int64, counter-clockwise seen from outside; closed
    mirror: np.ndarray  # [V] int64: the vertex on the other side, itself in the middle
    directions: np.ndarray  # [V,3] float64: the places of the vertices on the unit sphere of `surface`


@cache
def head_mesh() -> HeadMesh:
    """The mesh of all heads, from `topology.npz` beside this file."""
    with np.load(Path(__file__).with_name("topology.npz")) as stored:
        directions, faces, mirror = (stored[name] for name in ("directions", "faces", "mirror"))
    directions = directions.astype(np.float64)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = surface(directions)
    template = (points + points[mirror] * (-1, 1, 1)) / 2  # symmetric to the last bit
    mesh = HeadMesh(template * METRE, faces.astype(np.int64), mirror.astype(np.int64), directions)
    for part in mesh:
        part.setflags(write=False)
    return mesh


def nearest_vertices(places: np.ndarray) -> np.ndarray:
    """Index [N] of the vertex nearest to each place of the average head [N,3], in millimetres."""
    apart = np.asarray(places, float)[:, None] * METRE - head_mesh().template
    return (apart**2).sum(axis=-1).argmin(axis=1)
