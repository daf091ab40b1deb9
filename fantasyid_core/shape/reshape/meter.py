"""How far the face moved in the frames, told by landmarks that are found anew in the changed picture.

Both pictures of a frame are read through the same square, so that what differs is the picture alone. The points'
differences are then explained, by least squares, as so much of each slider. MediaPipe's mesh leans to the average face:
of what was done it sees a part, which is told as it is."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from ...face.landmarks.faces import mesh_pass
from ...face.landmarks.squares import squares_of_points
from ..reconstruct.landmark_fit import POINTS
from .cliphead import ClipHead, Lying
from .report import Quantity

WHOLE = "the whole edit"  # the name of a pair of shapes among the quantities
RIDGE = 1e-3  # of the mean square of a slider's movement: sliders that move alike share what is seen


def parts_of(asked, head: ClipHead) -> dict[str, tuple[float, np.ndarray]]:
    """Name -> (value asked, movement [468,3] of the points in metres for a value of 1)."""
    places = head.head.calibration.places
    if asked.sliders is None:
        return {WHOLE: (1.0, places(asked.displacement(head.vertices)))}
    parts = {}
    for name, pair in asked.sliders.values.items():
        value = max(pair, key=abs)
        if value:
            parts[name] = value, places(asked.displacement(head.vertices, {name: pair})) / value
    return parts


class Meter:
    """Of one person. parts: as `parts_of` gives them."""

    def __init__(self, parts: dict[str, tuple[float, np.ndarray]]):
        self._parts = {name: part for name, part in parts.items() if np.abs(part[1]).max() > 0}
        self._strengths: list[float] = []
        self._applied: list[float] = []
        self._seen: dict[str, list[float]] = defaultdict(list)

    def added(self, strength: float, applied: float) -> None:
        """One frame: the strength that was asked for, and what was left of it after the fades."""
        self._strengths.append(strength)
        self._applied.append(applied)

    def look(self, before: np.ndarray, after: np.ndarray, points: np.ndarray, lying: Lying, device: str) -> None:
        """Measures one frame, np.uint8 [H,W,3] before and after; points: [478,3], where the face is."""
        square = squares_of_points(points[None])
        with torch.inference_mode():
            found = [mesh_pass(picture, square, device)[0][0] for picture in (before, after)]
        for name, value in movement_of(found[1] - found[0], self._parts, lying).items():
            self._seen[name].append(value)

    def quantities(self, already: dict[str, float] | None = None) -> list[Quantity]:
        strength, applied = (float(np.mean(some)) if some else 0.0 for some in (self._strengths, self._applied))
        told = []
        for name, (value, _) in self._parts.items():
            seen = self._seen.get(name, [])
            mean, spread = (float(np.mean(seen)), float(np.std(seen))) if seen else (0.0, 0.0)
            there = None if already is None else already.get(name)
            told.append(Quantity(name, value * strength, value * applied, mean, spread, there))
        return told


def movement_of(difference: np.ndarray, parts: dict[str, tuple], lying: Lying) -> dict[str, float]:
    """The slider values that explain a movement [478,3] of the points, in pixels of the picture."""
    if not parts:
        return {}
    turn = 1000 * lying.pose.scale * lying.pose.rotation.T * (1, -1, -1)
    columns = np.stack([(unit @ turn)[:, :2].ravel() for _, unit in parts.values()], axis=1)
    inner = columns.T @ columns
    inner += RIDGE * np.trace(inner) / len(inner) * np.eye(len(inner))
    return dict(zip(parts, np.linalg.solve(inner, columns.T @ difference[:POINTS, :2].ravel()), strict=True))
