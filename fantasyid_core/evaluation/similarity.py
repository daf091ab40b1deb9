"""Likeness of faces from their vectors (ArcFace's in the paper): RS and IFS of section 4.2.

Vectors may have any length, since only their cosine counts. It is in -1..1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


_COUNTS = {"reference": "R", "frame": "T"}


def reference_similarity(reference: ArrayLike, frames: ArrayLike) -> float:
    """RS: the mean cosine of every frame's vector [T, C] and the reference's [C], or several references' [R, C].

    NumPy or torch. In -1..1, 1 is the same face. Raises ValueError for other shapes, NaN or infinite values,
    and vectors of length zero (a frame without a face: leave it out).
    """
    return float(reference_similarities(reference, frames).mean())


def reference_similarities(reference: ArrayLike, frames: ArrayLike) -> np.ndarray:
    """float64 [T]: per frame, the mean cosine with the references; as `reference_similarity`."""
    reference, frames = _directions(reference, "reference"), _directions(frames, "frame")
    if reference.shape[1] != frames.shape[1]:
        raise ValueError(
            f"Expected references and frames of one width, got {reference.shape[1]} and {frames.shape[1]}. Use the "
            "same face model for both."
        )
    return np.clip(frames @ reference.T, -1, 1).mean(axis=1)


def inter_frame_similarity(frames: ArrayLike) -> float:
    """IFS: the mean cosine of consecutive frames' vectors [T, C], T at least 2.

    NumPy or torch. In -1..1; 1 is a face that does not change. Raises ValueError as `reference_similarity`,
    and for fewer than two frames.
    """
    return float(inter_frame_similarities(frames).mean())


def inter_frame_similarities(frames: ArrayLike) -> np.ndarray:
    """float64 [T-1]: the cosine of each frame and the next; as `inter_frame_similarity`."""
    frames = _directions(frames, "frame")
    if len(frames) < 2:
        raise ValueError("Expected the vectors of at least 2 consecutive frames, got 1.")
    return np.clip((frames[:-1] * frames[1:]).sum(axis=1), -1, 1)


def as_numpy(values: ArrayLike, dtype=None) -> np.ndarray:
    """`values` as an array, torch tensors of any device and type included."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values  # NumPy knows no bfloat16
    return np.asarray(values, dtype)


def _directions(vectors: ArrayLike, what: str) -> np.ndarray:  # [T, C] or [C] -> float64 [T, C] of length one
    vectors = as_numpy(vectors, np.float64)
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"Expected {what} vectors [{_COUNTS[what]}, C], got {list(vectors.shape)}.")
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise ValueError(f"Expected finite {what} vectors, got NaN or infinite ones at {what} {_listed(wrong)}.")
    # Scaled first: the squares of very large or small numbers overflow or vanish.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    empty = np.flatnonzero(largest == 0)
    if len(empty):
        raise ValueError(
            f"Expected {what} vectors with a direction, got only zeros at {what} {_listed(empty)}. Leave out what has "
            "no face."
        )
    vectors = vectors / largest
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _listed(indices: np.ndarray) -> str:
    return ", ".join(map(str, indices[:5])) + (" ..." if len(indices) > 5 else "")
