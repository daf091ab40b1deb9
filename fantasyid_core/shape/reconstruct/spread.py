"""Interpolates displacements that are known at points of a head smoothly over all of its vertices.

It is a Gaussian process (kriging; Matern kernel of smoothness 3/2) along each axis: a vertex near the points follows
them, and a vertex far from all of them stays. Eyeballs move rigidly with their lids.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from ..edit.faceframe import FaceFrame
from ..edit.fields import ramp

REACH = 22.0  # millimetres: length of the kernel
NOISE = 0.15  # of a point, as a share of the variance of what is carried
NEAR, FAR = 35.0, 60.0  # millimetres from the nearest point, between which vertices stop following
LID = 16.0  # millimetres from an eyeball's middle: the points that its ball follows


def spreading(frame: FaceFrame, vertices: np.ndarray, places: np.ndarray) -> np.ndarray:  # [V,3], [P,3] -> [V,P]
    """Weights that carry values at places of a head to its vertices, all in millimetres."""
    apart = cdist(vertices, places)
    gain = np.linalg.solve(_kernel(cdist(places, places)) + NOISE * np.eye(len(places)), _kernel(apart).T).T
    gain *= ramp(apart.min(axis=1), FAR, NEAR)[:, None]
    for start, stop in frame.mesh.eyeballs.values():
        middle = vertices[start:stop].mean(axis=0)
        lids = cdist(middle[None], places)[0] < LID
        gain[start:stop] = lids / max(lids.sum(), 1)
    return gain


def _kernel(apart: np.ndarray) -> np.ndarray:
    scaled = np.sqrt(3) * apart / REACH
    return (1 + scaled) * np.exp(-scaled)
