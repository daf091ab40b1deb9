"""Crops a face again by better points, with the same framing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ...face.align import FaceCrop, align_face, crop_detected
from ...face.border import with_border
from ...face.detectors.detect import face_from_points
from ...face.framing import RANGES, Framing
from ...options import EXTENDED, GREY

OUTDATED = "five points are estimated"  # in the note of a crop whose points are approximate
DIGITS = 9  # of a framing, so that rounding does not make an official crop another one


def recut(face: FaceCrop, points: np.ndarray, note: str) -> FaceCrop:  # [5,2] pixels of face.picture
    """The face cut out by exact points instead of approximate ones; unchanged when its own are exact, when it
    was not cut out by points, when its picture is not known, or when the points give no crop."""
    if face.exact_points or face.points is None or face.picture is None:
        return face
    try:
        found = face_from_points(face.picture, points)
        made = crop_detected(face.picture, found, len(face.crop), framing_of(face))
        made = with_border(made, GREY if face.opening is None else EXTENDED)
    except ValueError:  # points that are not a face's or lie outside: the crop that there is beats none
        return face
    kept = (known for known in face.notes if OUTDATED not in known and known not in made.notes)
    return replace(made, notes=(*kept, *made.notes, note), others=face.others)


def framing_of(face: FaceCrop) -> Framing:
    """The framing by which a face was cut out by its points: one that gives the same crop.

    Room above and below can be written as padding, too, so it need not be the one that was chosen.
    """
    size = len(face.crop)
    _, official = align_face(face.picture, face.points, size)
    # From the official crop to this one.
    linear = face.matrix[:, :2] @ np.linalg.inv(official[:, :2])
    middle = np.full(2, (size - 1) / 2)
    seen = np.linalg.solve(linear, middle - face.matrix[:, 2]) + official[:, 2]
    room = 1 / math.sqrt(abs(np.linalg.det(linear))) - 1  # 2 padding + hair + neck
    lower = 2 * (seen - middle)[1] / size  # neck - hair
    padding = (room - abs(lower)) / 2
    both = max(0.0, padding - RANGES["padding"][1])  # what exceeds the padding is above and below
    found = {
        "padding": padding - both,
        "hair": max(-lower, 0) + both,
        "neck": max(lower, 0) + both,
        "rotation": math.degrees(math.atan2(linear[1, 0], linear[0, 0])),
    }
    return Framing(**{name: float(np.clip(round(value, DIGITS), *RANGES[name])) for name, value in found.items()})
