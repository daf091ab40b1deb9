"""FID against closed forms and against the usual formula with SciPy's matrix root."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from fantasyid_core.evaluation import fid

RNG = np.random.default_rng(0)


def with_moments(mean: np.ndarray, root: np.ndarray, count: int = 60) -> np.ndarray:
    """Features whose sample mean and covariance are exactly `mean` and root^T root."""
    noise = RNG.normal(size=(count, len(mean)))
    noise -= noise.mean(axis=0)
    noise = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T
    return mean + noise @ root


def reference_fid(a: np.ndarray, b: np.ndarray) -> float:
    covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
    root = sqrtm(covariance_a @ covariance_b)
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(covariance_a + covariance_b - 2 * root.real)


def test_equal_sets_have_no_distance():
    features = RNG.normal(size=(200, 32)) * 10
    assert fid(features, features) == pytest.approx(0, abs=1e-10)
    assert fid(features, features[::-1]) == pytest.approx(0, abs=1e-10)


def test_a_shift_counts_its_square():
    features = RNG.normal(size=(50, 4))
    assert fid(features, features + [3, 0, 4, 0]) == pytest.approx(25)


def test_the_distance_of_axis_aligned_gaussians_is_the_closed_form():
    """Diagonal covariances: the sum of the squared differences of the standard deviations."""
    a = with_moments(np.zeros(3), np.diag([1.0, 2.0, 3.0]))
    b = with_moments(np.array([1.0, 0, 0]), np.diag([4.0, 2.0, 1.0]), count=90)
    assert fid(a, b) == pytest.approx(1 + 9 + 0 + 4)


def test_the_distance_of_gaussians_whose_covariances_do_not_commute_is_the_closed_form():
    """Two dimensions: tr (AB)^1/2 = sqrt(tr AB + 2 sqrt(det AB))."""
    roots = np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [-1.5, 0.5]])
    a, b = (with_moments(np.zeros(2), root) for root in roots)
    A, B = (root.T @ root for root in roots)
    trace = np.sqrt(np.trace(A @ B) + 2 * np.sqrt(np.linalg.det(A @ B)))
    assert fid(a, b) == pytest.approx(np.trace(A + B) - 2 * trace)


@pytest.mark.parametrize(("n", "m", "width"), [(300, 200, 16), (100, 500, 40)])
def test_the_distance_is_the_usual_formula(n, m, width):
    mixing = RNG.normal(size=(width, width))
    a, b = RNG.normal(size=(n, width)) @ mixing, RNG.normal(1, 2, size=(m, width)) @ mixing.T
    assert fid(a, b) == pytest.approx(reference_fid(a, b), rel=1e-8)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 9), (9, 100), (12, 12)])
def test_fewer_features_than_dimensions_give_a_distance_and_a_warning(n, m):
    """Rank-deficient covariances, where the usual root is not real: compared with a tiny ridge that it needs."""
    a, b = RNG.normal(size=(n, 12)), RNG.normal(0.5, 2, size=(m, 12))
    with pytest.warns(UserWarning, match=f"FID of {n} and {m} features in 12 dimensions.*too large"):
        distance = fid(a, b)
    ridge = 1e-9 * np.eye(12)
    root = sqrtm((np.cov(a.T) + ridge) @ (np.cov(b.T) + ridge)).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert distance == pytest.approx(expected, rel=1e-3)


def test_features_that_never_vary_have_the_distance_of_their_means():
    a, b = np.ones((20, 3)), np.ones((20, 3)) * 3
    assert fid(a, b) == pytest.approx(12)
    assert fid(a, with_moments(np.ones(3), 2 * np.eye(3))) == pytest.approx(12)


def test_enough_features_are_not_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fid(RNG.normal(size=(20, 4)), RNG.normal(size=(20, 4)))


def test_tensors_give_the_same_distance_as_arrays():
    a, b = RNG.normal(size=(40, 8)), RNG.normal(size=(50, 8))
    value = fid(torch.tensor(a), torch.tensor(b, requires_grad=True))
    assert isinstance(value, float) and value == pytest.approx(fid(a, b))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((1, 3)), np.ones((5, 3)), r"the first features as \[N, C\] with N at least 2, got \[1, 3\]"),
        (np.ones((5, 3)), np.ones(3), r"the second features as \[N, C\] .*got \[3\]"),
        (np.ones((5, 3)), np.ones((5, 4)), "of one width, got 3 and 4"),
        (np.ones((5, 3)), np.full((5, 3), np.nan), "NaN or infinite values in the second set"),
        (np.full((5, 3), np.inf), np.ones((5, 3)), "NaN or infinite values in the first set"),
    ],
)
def test_what_is_no_set_of_features_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        fid(a, b)
