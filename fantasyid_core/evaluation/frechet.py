"""FID: the Frechet distance of two sets of features, taken as Gaussians (Heusel et al., arXiv 1706.08500).

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)),  A and B the covariances

The trace of the root is the sum of the singular values of A^(1/2) B^(1/2), and so of X_a X_b^T, where X are the
centred features divided by the root of N - 1 (A = X^T X). This computation forms no covariance and takes no root of a
matrix. It stays exact, real and without NaN when there are fewer features than dimensions, where the usual square root
of A B fails.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from .similarity import as_numpy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def fid(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Frechet distance of two sets of features [N, C] and [M, C], N and M at least 2; 0 for equal ones.

    NumPy or torch, any finite numbers; for the paper's FID, Inception's features of face crops. With fewer
    features than dimensions the distance is exact for these covariances, but larger than that of the
    distributions they come from: a warning says so, and only sets of equal sizes should then be compared.
    Raises ValueError for other shapes and values that are not finite.
    """
    a, b = _checked(features_a, "first"), _checked(features_b, "second")
    width = a.shape[1]
    if b.shape[1] != width:
        raise ValueError(f"Expected two sets of features of one width, got {width} and {b.shape[1]}.")
    fewest = min(len(a), len(b))
    if fewest <= width:
        warnings.warn(
            f"FID of {len(a)} and {len(b)} features in {width} dimensions: with fewer features than dimensions it "
            "comes out too large. Compare only sets of equal sizes, or use more pictures.",
            stacklevel=2,
        )
    apart = a.mean(axis=0) - b.mean(axis=0)
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = apart @ apart + (root_a**2).sum() + (root_b**2).sum() - 2 * overlap
    return float(max(distance, 0.0))  # rounding can leave a little below zero


def _checked(features: ArrayLike, which: str) -> np.ndarray:
    features = as_numpy(features, np.float64)
    if features.ndim != 2 or len(features) < 2 or features.shape[1] == 0:
        raise ValueError(f"Expected the {which} features as [N, C] with N at least 2, got {list(features.shape)}.")
    if not np.isfinite(features).all():
        raise ValueError(f"Expected finite features, got NaN or infinite values in the {which} set.")
    return features


def _covariance_root(features: np.ndarray) -> np.ndarray:  # [N, C] -> R [min(N, C), C], R^T R = covariance
    centred = (features - features.mean(axis=0)) / (len(features) - 1) ** 0.5
    return centred if len(centred) <= centred.shape[1] else np.linalg.qr(centred, mode="r")
