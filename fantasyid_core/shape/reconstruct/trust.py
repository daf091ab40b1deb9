"""How far a fit to landmarks can be relied on: by the turn of the head, how its points were seen, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...face.landmarks.points import LEFT_EYE, LIPS, RIGHT_EYE
from ...face.landmarks.steadiness import Unsteadiness
from ...face.pose import head_pose
from ..edit.fields import ramp

FADE = 25.0, 45.0  # degrees of yaw between which the sliders fade out: from the side points are guessed
FADE_BY_FIVE = 45.0, 60.0
"""The same by the eyes, nose and mouth alone: of a head turned by 60 to 70 degrees the mesh tells 37 to 52."""
UNSURE = 0.85  # presence below which a face may be covered
ODD = 2.0  # times the residual of drawn heads
FEATURES, WHOLE = 0.029, 0.034  # of the eyes' distance, by which the points of clear faces do not move
DOUBTED = 0.5  # confidence
NOSE_TIP = 1

SIDE_VIEW = (
    "The head is turned by about {yaw:.0f} degrees: half of its points are guesses, so the 3D face is the average one "
    "in this turn. A photo taken more from the front shows the person; the method template needs five points only."
)
TURNED = "The head is turned by about {yaw:.0f} degrees, so the sliders were set to {share:.0%} of what the points say."
COVERED = (
    "The face seems to be covered, painted, blurred or no person's (the points are {rms:.1f} mm from what faces look "
    "like and move by {moved:.1f}% of the eyes' distance, surely seen to {presence:.0%}), so the 3D face may not "
    "resemble the person. Look at the overlay, or choose the method template."
)


class Seeing(NamedTuple):
    """How the mesh saw a face. presence: 0..1, its own score. moved: see `face.landmarks.steadiness`."""

    presence: float
    moved: Unsteadiness


CLEAR = Seeing(1.0, Unsteadiness(0.01, 0.015))


@dataclass(frozen=True)
class Trust:
    """share: 0..1, of the sliders that the head's turn allows. confidence: 0..1, see `confidence_of`. notes: for the
    user. doubt: that note which says why the head may be another than the person's, or ""."""

    share: float
    confidence: float
    notes: tuple[str, ...] = ()
    doubt: str = ""


def turns_of(points: np.ndarray, yaw: float) -> tuple[float, float]:
    """Degrees of yaw by all points of the mesh [468,3] (given) and by five of them, see `head_pose`."""
    eyes = [points[list(eye.corners), :2].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    try:
        return yaw, head_pose(np.array([*eyes, points[NOSE_TIP, :2], *points[list(LIPS.corners), :2]]))[0]
    except ValueError:  # eyes and mouth on one line
        return yaw, yaw


def share_of(turns: tuple[float, float]) -> float:
    """Of the sliders: 1 from the front, 0 from the side."""
    by_mesh, by_five = (np.float64(abs(turn)) for turn in turns)
    return float(min(ramp(by_mesh, FADE[1], FADE[0]), ramp(by_five, FADE_BY_FIVE[1], FADE_BY_FIVE[0])))


def confidence_of(seeing: Seeing, residual: float) -> float:
    """The presence, less the more the points move and the fit leaves: half of it at the limit of what clear faces do,
    all of it at half of that. residual: in residuals of drawn heads."""
    worst = max(residual / ODD, seeing.moved.features / FEATURES, seeing.moved.whole / WHOLE)
    return float(seeing.presence * np.clip(1.5 - worst, 0, 1))


def trust_in(turns: tuple[float, float], seeing: Seeing, residual: float, usual: float) -> Trust:
    """residual, usual: millimetres that the fit leaves here, and on drawn heads."""
    share, confidence, yaw = share_of(turns), confidence_of(seeing, residual / usual), np.abs(turns).mean()
    covered = COVERED.format(rms=residual, moved=100 * max(seeing.moved), presence=seeing.presence)
    doubted = confidence < DOUBTED or seeing.presence < UNSURE
    if share == 0:
        side = SIDE_VIEW.format(yaw=yaw)
        return Trust(share, confidence, (side,), side)
    turned = (TURNED.format(yaw=yaw, share=share),) if share < 0.99 else ()
    return Trust(share, confidence, (*turned, covered) if doubted else turned, covered if doubted else "")
