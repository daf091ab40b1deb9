"""The official sample heads, the project's own, and what tests of the face editor do with them."""

from functools import cache
from pathlib import Path

import numpy as np

SAMPLES = ("anne", "imp", "taylor")


@cache
def sample(shared: Path, name: str) -> np.ndarray:
    """Vertices float32 [5023,3] of a sample head, posed as its photo; "template" is FLAME's mean head."""
    from fantasyid_core.shape import load_shape

    if name == "template":
        return topology(shared).template.numpy()
    return load_shape(shared / "samples" / f"{name}.ply").numpy()


@cache
def topology(shared: Path):
    from fantasyid_core.shape import load_topology

    return load_topology(shared / "assets" / "transform.pkl")


def faces_of(shared: Path) -> np.ndarray:
    return topology(shared).faces.numpy()


def landmarks_of(shared: Path, vertices: np.ndarray) -> np.ndarray:
    """The 68 landmarks [68,3] by the official embedding."""
    import torch

    from fantasyid_core.shape import load_landmarks

    embedding = load_landmarks(shared / "assets" / "landmark_embedding.npy")
    return embedding(torch.as_tensor(vertices)[None], faces_of(shared))[0].numpy()


def turn(*degrees: float) -> np.ndarray:
    """A rotation [3,3] about x, then y, then z."""
    whole = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one = np.eye(3)
        others = [other for other in range(3) if other != axis]
        one[np.ix_(others, others)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        whole = one @ whole
    return whole
