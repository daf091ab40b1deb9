"""Builds the topology of any triangle mesh, as `transform.pkl` holds it for FLAME's mesh.

Each level has a quarter of the vertices of the one before, chosen by `simplify`. Down picks those; up puts every
vertex of the finer mesh onto the nearest point of the coarser one's surface. The spirals are wound as FLAME's are.
Every machine makes the same topology of a mesh: see `simplify`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from .simplify import rounded_places, simplify
from .spiral import spiral_indices
from .topology import SPIRAL_LENGTH, Topology, Transform, load_topology, save_topology

_LEVELS = 3
_FACTOR = 4
_CACHE_FORMAT = b"fantasyid mesh topology 2"  # part of the cache's name: a new format never meets an old file
_TIE = 1e-18  # of the squared distance from the origin: nearer than that two triangles are equally near
_PAIRS = 1 << 19  # point and triangle pairs that are looked at together


def level_counts(vertex_count: int, levels: int = _LEVELS) -> tuple[int, ...]:
    """Vertices per level, a quarter each, rounded up: 5023 -> (5023, 1256, 314)."""
    counts = [vertex_count]
    while len(counts) < levels:
        counts.append(-(-counts[-1] // _FACTOR))
    return tuple(counts)


def build_topology(
    vertices, faces, counts: Sequence[int] | None = None, spiral_length: int = SPIRAL_LENGTH
) -> Topology:
    """The topology of a mesh: vertices [V, 3] in metres, faces [F, 3], oriented and manifold.

    counts: vertices per level from V on, `level_counts(V)` by default. Open borders, several parts and vertices
    without a face are allowed. Takes seconds (ten for FLAME's 5023 vertices); `mesh_topology` keeps the result.
    Raises ValueError for a mesh that is not manifold or has no faces, and counts that do not fall or cannot be
    reached.
    """
    template = np.asarray(vertices, dtype=np.float64)
    if len(faces) == 0:
        raise ValueError("Expected a mesh with triangles, got none. A point cloud has no topology.")
    counts = level_counts(len(template)) if counts is None else tuple(counts)
    _check_counts(counts, len(template))
    fine, triangles = rounded_places(template), np.asarray(faces)
    spirals, down, up = [], [], []
    for count in counts[1:]:
        spirals.append(torch.from_numpy(spiral_indices(triangles, fine, spiral_length)))
        kept, coarser = simplify(fine, triangles, count)
        down.append(_selection(kept, len(fine)))
        up.append(_on_surface(fine, fine[kept], coarser))
        fine, triangles = fine[kept], coarser
    return Topology(
        spirals=tuple(spirals),
        down=tuple(down),
        up=tuple(up),
        faces=torch.from_numpy(np.asarray(faces).astype(np.int64)),
        template=torch.from_numpy(template.astype(np.float32)),
    )


def mesh_topology(vertices, faces, counts: Sequence[int] | None = None) -> Topology:
    """`build_topology`, kept in the cache folder (FANTASYID_CACHE, else ~/.cache/fantasyid) for the next time.

    A cache that cannot be read or written is done without.
    """
    vertices, faces = np.asarray(vertices, dtype=np.float64), np.asarray(faces)
    path = _cache_path(vertices, faces, counts)
    try:
        return load_topology(path)
    except (OSError, ValueError, RuntimeError):  # absent, unreadable, damaged or no home: it is made anew
        topology = build_topology(vertices, faces, counts)
    try:
        save_topology(topology, path)
    except (OSError, RuntimeError):  # without a cache the next start takes some seconds longer, no more
        pass
    return topology


def _cache_path(vertices: np.ndarray, faces: np.ndarray, counts: Sequence[int] | None) -> Path:
    digest = hashlib.sha256(_CACHE_FORMAT + repr(counts and tuple(counts)).encode())
    for part in (vertices, faces):
        digest.update(repr((part.shape, part.dtype.str)).encode() + np.ascontiguousarray(part).tobytes())
    folder = os.environ.get("FANTASYID_CACHE")
    folder = Path(folder).expanduser() if folder else Path.home() / ".cache" / "fantasyid"
    return folder / f"mesh-{digest.hexdigest()[:16]}.safetensors"


def _check_counts(counts: tuple[int, ...], vertex_count: int) -> None:
    falling = all(coarse < fine for fine, coarse in zip(counts, counts[1:], strict=False))
    if len(counts) < 2 or counts[0] != vertex_count or not falling or counts[-1] < 1:
        raise ValueError(
            f"Expected falling numbers of vertices per level, from the mesh's {vertex_count} on, at least two of "
            f"them, got {list(counts)}."
        )


def _selection(kept: np.ndarray, fine: int) -> Transform:
    indices = torch.from_numpy(np.stack([np.arange(len(kept)), kept]))
    return Transform(indices, torch.ones(len(kept)), (len(kept), fine))


def _on_surface(points: np.ndarray, corners: np.ndarray, faces: np.ndarray) -> Transform:
    """Every point as a mean of the corners of the triangle that is nearest to it, which keeps the corners' own."""
    nearest, weights = np.empty(len(points), np.int64), np.empty((len(points), 3))
    step = max(1, _PAIRS // len(faces))
    for start in range(0, len(points), step):
        some = slice(start, start + step)
        nearest[some], weights[some] = _nearest_triangles(points[some], corners[faces])
    rows = np.repeat(np.arange(len(points)), 3)
    return Transform(
        torch.from_numpy(np.stack([rows, faces[nearest].ravel()])),
        torch.from_numpy(weights.ravel().astype(np.float32)),
        (len(points), len(corners)),
    )


def _nearest_triangles(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest [P] of the triangles [F, 3, 3] to each point [P, 3], and its nearest point's weights [P, 3]."""
    weights = _clamped_weights(points, triangles)  # [P, F, 3]
    first, second, third = (weights[..., corner, None] * triangles[:, corner] for corner in range(3))  # [P, F, 3]
    offset = first + second + third - points[:, None]
    squared = _dot(offset, offset)
    # A corner's own triangles are equally near but for the last bits: then the first of them.
    nearest = (squared <= squared.min(axis=1, keepdims=True) + _TIE * _dot(points, points)[:, None]).argmax(axis=1)
    return nearest, weights[np.arange(len(points)), nearest]


def _clamped_weights(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:  # -> [P, F, 3]
    """Barycentric weights of the nearest point of each triangle: inside by projection, else on the nearest edge."""
    origin, second, third = triangles.transpose(1, 0, 2)
    u, v, w = second - origin, third - origin, points[:, None] - origin
    uu, uv, vv, wu, wv = _dot(u, u), _dot(u, v), _dot(v, v), _dot(w, u), _dot(w, v)
    scale = (uu * vv - uv * uv).clip(1e-300)
    b, c = (vv * wu - uv * wv) / scale, (uu * wv - uv * wu) / scale
    inside = np.stack([1 - b - c, b, c], axis=2)
    best, best_squared = inside, np.where((inside >= 0).all(axis=2), -1.0, np.inf)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        start, along = triangles[:, one], triangles[:, other] - triangles[:, one]
        offset = points[:, None] - start
        share = (_dot(offset, along) / _dot(along, along).clip(1e-300)).clip(0, 1)
        rest = offset - share[..., None] * along
        squared = _dot(rest, rest)
        on_edge = np.zeros(inside.shape)
        on_edge[..., one], on_edge[..., other] = 1 - share, share
        better = squared < best_squared
        best = np.where(better[..., None], on_edge, best)
        best_squared = np.where(better, squared, best_squared)
    return best


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:  # [..., 3], [..., 3] -> [...]
    """Written out: how einsum and matrix products add depends on the processor."""
    return first[..., 0] * second[..., 0] + first[..., 1] * second[..., 1] + first[..., 2] * second[..., 2]
