"""How good the fit is on people that took no part in its calibration: errors, turns, and whether people stay apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from ..face.align import FaceCrop
from ..options import NEUTRAL
from ..shape.reconstruct.calibration import Calibration
from ..shape.reconstruct.landmark_fit import LIKENESS, MeanHead, fit_points, own_head
from ..shape.reconstruct.placing import pose_of
from ..shape.reconstruct.spread import spreading
from .drawn_heads import Seen, distance, face_region

PAIRED = 24  # people of whom each is compared with each


def report(heads: list[Seen], known: Calibration, drawer) -> str:
    """Mean vertex distances in millimetres on the face, after alignment by a similarity, for some shares of likeness.

    others: between the fits of different people, and in truth.
    """
    region, head = face_region(drawer.template), head_with(known, drawer.mean_head())
    template = np.array([distance(drawer.template[region], each.vertices[region]) for each in heads])
    true = apart([each.vertices[region] for each in heads])
    lines = [f"{len(heads)} held-out heads: template {template.mean():.2f} mm, others {true:.2f} mm apart"]
    for likeness in (0.0, LIKENESS, 1.0):
        fits = [fitted(each, head, likeness)[region] for each in heads]
        errors = np.array([distance(fit, each.vertices[region]) for fit, each in zip(fits, heads, strict=True)])
        lines.append(
            f"likeness {likeness:g}: fit {errors.mean():.2f} mm, better than the template on "
            f"{(errors < template).mean():.0%}; others {apart(fits):.2f} mm apart"
        )
    turned = np.sqrt(np.mean(np.square([turn_error(each, known) for each in heads])))
    lines.append(f"turn off by {turned:.1f} degrees rms; residual {known.residual:.2f} mm")
    return "\n".join(lines)


def head_with(known: Calibration, head: MeanHead | None = None) -> MeanHead:
    """A mean head, the project's own if none is given, with another calibration."""
    head = own_head() if head is None else head
    upright = head.millimetres(head.template)
    return replace(head, calibration=known, gain=spreading(head.frame, upright, known.places(upright)))


def fitted(head: Seen, mean: MeanHead, likeness: float) -> np.ndarray:  # [V,3]
    """The fit to the points of a drawn head."""
    crop = FaceCrop(np.zeros((16, 16, 3), np.uint8), np.eye(2, 3))
    return fit_points(crop, head.points * (1, -1, -1), mean, likeness, NEUTRAL).shape.vertices.double().numpy()


def apart(faces: list[np.ndarray]) -> float:
    """Mean distance of different people, each with each."""
    return float(np.mean([distance(*pair) for pair in combinations(faces[:PAIRED], 2)]))


def turn_error(head: Seen, known: Calibration) -> float:
    """Degrees between the turn that is found and the true one."""
    pose = pose_of(head.points, known.mean, known.rigid)
    return float(np.degrees(np.arccos(np.clip((np.trace(pose.rotation.T @ head.pose.rotation) - 1) / 2, -1, 1))))
