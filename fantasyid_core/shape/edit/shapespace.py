"""The editor and the shape space of the user's FLAME model: its components as controls, and plausible edits.

The components describe heads that look ahead with the jaw closed. For a posed head they are turned rigidly with the
head, so with an open jaw they are approximate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .controltable import Slider
from .faceframe import FaceFrame, face_frame

if TYPE_CHECKING:
    from ..reconstruct.flame import FlameModel

COMPONENTS = 10
"""How many components are offered as controls."""

SPACE = 100
"""How many components an edit is projected onto: what DECA uses."""

LIMIT = 2.0
"""Standard deviations to either side: beyond it, one head in twenty."""

GROUP = "FLAME shape"
HELP = "A direction in which the faces of the FLAME model differ, in standard deviations."

FAINT = 0.0003
"""Metres by which a component must move the vertices, on average, to count fully in a projection."""


def components(flame: FlameModel, frame: FaceFrame) -> tuple[dict[str, Slider], np.ndarray]:
    """Name ("flame_1") -> control of the first components, and their displacements [K,V,3] in metres for one standard
    deviation, turned like the head. Raises ValueError for a model of another mesh than the head's."""
    directions = _directions(flame, frame, COMPONENTS)
    names = [f"flame_{number}" for number in range(1, len(directions) + 1)]
    controls = {
        name: Slider(f"FLAME {number}", GROUP, HELP, (), None, -LIMIT, LIMIT) for number, name in enumerate(names, 1)
    }
    return controls, directions


def projected(fields: np.ndarray, flame: FlameModel, frame: FaceFrame) -> np.ndarray:  # [K,V,3] -> [K,V,3]
    """The nearest displacements, in metres, that FLAME's shape components can make.

    Least squares with a penalty on the coefficients, which are standard deviations: (B'B + V f^2) c = B'd with
    f = `FAINT`, so that faint components are not driven far for little. It is linear, hence so are the controls.
    Raises ValueError for a model of another mesh than the head's.
    """
    basis = _directions(flame, frame, SPACE).reshape(-1, frame.coordinates.size)  # [C, 3V]
    penalty = len(frame.coordinates) * FAINT**2 * np.eye(len(basis))
    flat = fields.reshape(len(fields), -1)
    weights = np.linalg.solve(basis @ basis.T + penalty, basis @ flat.T)  # [C,K]
    return (weights.T @ basis).reshape(fields.shape)


def _directions(flame: FlameModel, frame: FaceFrame, count: int) -> np.ndarray:  # [count, V, 3]
    template = flame.template.detach().cpu().double().numpy()
    if len(template) != len(frame.coordinates):
        raise ValueError(
            f"Expected a FLAME model with the {len(frame.coordinates)} vertices of the head, got {len(template)}."
        )
    directions = flame.shape_directions[..., :count].detach().cpu().double().numpy()
    turn = frame.rotation @ face_frame(template).rotation.T
    return np.moveaxis(directions, -1, 0) @ turn.T
