"""The calibration of MediaPipe's points for a known mesh: their places, their mean deviations, and the regression.

The arrays for the own head are made by `python -m fantasyid_core.experiments.calibrate_fit`, from drawn heads alone; it
tells of those for FLAME's mesh, too. The places were carried over once from MediaPipe's canonical face (Apache-2.0) to
the mean head of `transform.pkl` (from the Apache-2.0 FantasyID repository), and from there to the project's own head.
Nothing of FLAME's shape space or of DECA is in them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..faceshape import VERTEX_COUNT
from ..ownhead.mesh import head_mesh

POINTS = 468


@dataclass(frozen=True, eq=False)
class Calibration:
    """Millimetres about the middle between the eyeballs, in the axes of an upright head (x right, y up, z ahead).

    corners: int [468,3] vertices and weights: float64 [468,3], the place of every point on the mesh. habit: [468,3],
    from there to where the point is seen on average. mean: [468,3], where the points of an average head are seen.
    rigid: [468], how much a point says about the head's turn. names: the sliders; matrix: [936,S] and constant: [S],
    from deviations in x and y to their values. residual:
    millimetres, root mean square, that drawn heads leave in x and y.
    """

    corners: np.ndarray
    weights: np.ndarray
    habit: np.ndarray
    mean: np.ndarray
    rigid: np.ndarray
    names: tuple[str, ...]
    matrix: np.ndarray
    constant: np.ndarray
    residual: float

    def places(self, vertices: np.ndarray) -> np.ndarray:  # [V,3] -> [468,3]
        """The points' places on a head, in the unit of its vertices."""
        return (vertices[self.corners] * self.weights[..., None]).sum(axis=1)


def calibration_path(vertex_count: int) -> Path:
    """The file for FLAME's mesh or the project's own. Raises ValueError for another number of vertices."""
    own = len(head_mesh().template)
    if vertex_count not in (VERTEX_COUNT, own):
        raise ValueError(
            f"Expected a head of {VERTEX_COUNT} vertices (FLAME's) or {own} (the project's own), got {vertex_count}: "
            "landmarks are placed on these two meshes only."
        )
    return Path(__file__).with_name(f"landmarks_{'flame' if vertex_count == VERTEX_COUNT else 'own'}.npz")


@lru_cache(maxsize=2)
def load_calibration(vertex_count: int) -> Calibration:
    """The calibration for heads with so many vertices. Raises ValueError for a mesh that has none."""
    with np.load(calibration_path(vertex_count)) as stored:
        arrays = {name: stored[name] for name in stored.files}
    numbers = {name: arrays[name].astype(np.float64) for name in ("weights", "habit", "mean", "rigid", "constant")}
    numbers["weights"] /= numbers["weights"].sum(axis=1, keepdims=True)
    matrix = arrays["matrix"].astype(np.float64).reshape(2 * POINTS, -1)
    names = tuple(str(name) for name in arrays["names"])
    corners = arrays["corners"].astype(np.int64)
    return Calibration(corners, names=names, matrix=matrix, residual=float(arrays["residual"]), **numbers)


def turning_path() -> Path:
    """The file that `load_turning` reads."""
    return Path(__file__).with_name("landmarks_turning.npz")


@lru_cache(maxsize=2)
def load_turning(path: Path | None = None) -> np.ndarray:  # [2,468,2]
    """Millimetres by which points slide in the picture (x right, y up, no roll), for a sine of 1 of yaw and of pitch.

    It is made by `python -m fantasyid_core.experiments.calibrate_turning`, from drawn heads alone.
    """
    with np.load(path or turning_path()) as stored:
        turning = stored["turning"].astype(np.float64)
    turning.setflags(write=False)
    return turning


def save_turning(path: Path, turning: np.ndarray) -> None:
    """Writes what `load_turning` reads."""
    from ...files.writing import write_aside

    with write_aside(path) as aside, open(aside, "wb") as file:
        np.savez_compressed(file, turning=turning.astype(np.float16))


@dataclass(frozen=True, eq=False)
class PlaceCorrection:
    """How far the points lie beside their places, from how they deviate: a regression of low rank.

    mean: [936], millimetres of the picture (x right, y up, no roll) by which points deviate on average. inward: [936,K]
    and outward: [K,936], from deviations to what is added to them. constant: [936], what is added on average.
    """

    mean: np.ndarray
    inward: np.ndarray
    outward: np.ndarray
    constant: np.ndarray

    def __call__(self, away: np.ndarray) -> np.ndarray:  # [468,2] -> [468,2]
        """What is to be added to the deviations of one face."""
        return ((away.reshape(-1) - self.mean) @ self.inward @ self.outward + self.constant).reshape(away.shape)


def correction_path() -> Path:
    """The file that `load_correction` reads."""
    return Path(__file__).with_name("landmarks_correction.npz")


@lru_cache(maxsize=2)
def load_correction(path: Path | None = None) -> PlaceCorrection:
    """`python -m fantasyid_core.experiments.calibrate_places` makes it, from drawn heads, some with a photo's skin."""
    with np.load(path or correction_path()) as stored:
        return PlaceCorrection(*(stored[field.name].astype(np.float64) for field in fields(PlaceCorrection)))


def save_correction(path: Path, correction: PlaceCorrection) -> None:
    """Writes what `load_correction` reads."""
    from ...files.writing import write_aside

    arrays = {field.name: getattr(correction, field.name).astype(np.float16) for field in fields(PlaceCorrection)}
    with write_aside(path) as aside, open(aside, "wb") as file:
        np.savez_compressed(file, **arrays)


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Writes what `load_calibration` reads, in as few bytes as do no harm."""
    from ...files.writing import write_aside

    exact = {name: getattr(calibration, name).astype(np.float32) for name in ("habit", "mean", "rigid", "constant")}
    small = {name: getattr(calibration, name).astype(np.float16) for name in ("matrix",)}
    with write_aside(path) as aside, open(aside, "wb") as file:
        np.savez_compressed(
            file,
            corners=calibration.corners.astype(np.int16),
            weights=calibration.weights.astype(np.float32),
            names=np.array(calibration.names),
            residual=calibration.residual,
            **exact,
            **small,
        )
