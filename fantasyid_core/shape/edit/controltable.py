"""The controls of the face editor: their names, groups, ranges, and the measure of each.

A measure is a sum of coordinates of places (`places`), in millimetres on an upright head of mean size. Of a paired
place x is the distance of both sides, y and z are their mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .places import SIDES

if TYPE_CHECKING:
    from .places import MeshPlaces

Measure = tuple[tuple[float, str, str], ...]  # weight, place, axis


class Slider(NamedTuple):
    """label, group, help: for the artist. measure: the control's own quantity. amount: how much of it a value of 1
    adds, in millimetres of a head of mean size, or as "10 %" of what the face has; None for a mixture. low, high:
    the slider's range.
    """

    label: str
    group: str
    help: str
    measure: Measure
    amount: float | str | None
    low: float = -1.0
    high: float = 1.0


def _parsed(text: str) -> Measure:
    """`0.5 temple.x - nose_base.y` as a measure."""
    terms, sign, weight = [], 1.0, 1.0
    for word in text.split():
        if word in "+-":
            sign = 1.0 if word == "+" else -1.0
        elif word[0].isdigit():
            weight = float(word)
        else:
            place, axis = word.split(".")
            terms.append((sign * weight, place, axis))
            sign = weight = 1.0
    return tuple(terms)


# group, name, label, help, measure, amount
_TABLE = [
    ("Head", "head_width", "Head width", "Width of the skull above the ears.", "head_side.x - 0.16 face_side.x", 13),
    ("Head", "head_length", "Head length", "Height of the skull above the forehead.", "crown.y", 9),
    ("Head", "head_depth", "Head depth", "How far the back of the head reaches.", "- occiput.z", 10),
    ("Face", "face_width", "Face width", "Width of the face from cheek to cheek.",
     "0.5 face_side.x + 0.5 cheek_side.x", "11 %"),
    ("Forehead", "forehead_height", "Forehead height", "How high the forehead rises.", "forehead_top.y", 7),
    ("Forehead", "forehead_width", "Forehead width", "Width at the temples.",
     "0.5 temple.x + 0.5 forehead_side.x - 0.15 face_side.x", 9),
    ("Forehead", "forehead_slope", "Forehead slope", "How far the forehead leans back.", "- forehead_top.z", 7),
    ("Brows", "brow_ridge", "Brow ridge", "How far the brows stand over the eyes.",
     "0.4 brow_inner.z + 0.6 brow_peak.z", 4),
    ("Brows", "brow_height", "Brow height", "How high the brows lie above the eyes.",
     "0.4 brow_inner.y + 0.6 brow_peak.y", 4),
    ("Eyes", "eye_size", "Eye size", "Size of the eyes with their lids.", "0.5 eye_outer.x - 0.5 eye_inner.x", 3),
    ("Eyes", "eye_spacing", "Eye spacing", "Distance of the eyes.", "0.5 eye_outer.x + 0.5 eye_inner.x", 6),
    ("Eyes", "eye_height", "Eye height", "How high the eyes lie in the face.",
     "0.5 eye_outer.y + 0.5 eye_inner.y", 2.8),
    ("Eyes", "eye_depth", "Eye depth", "How deep the eyes are set.", "- 0.5 eye_outer.z - 0.5 eye_inner.z", 3.2),
    ("Eyes", "eye_tilt", "Eye tilt", "How much higher the outer corners are.", "eye_outer.y - eye_inner.y", 3),
    ("Nose", "nose_length", "Nose length", "Length from the root to below the tip.", "nasion.y - nose_base.y", 3.8),
    ("Nose", "nose_width", "Nose width", "Width of the wings.", "nose_wing.x", 6),
    ("Nose", "nose_bridge", "Nose bridge", "How high the bridge stands: a hump, or a saddle.", "nose_bridge.z", 3.5),
    ("Nose", "nose_tip_height", "Nose tip", "Turns the tip up or down.", "nose_tip.y - nose_base.y", 3.6),
    ("Nose", "nose_projection", "Nose projection", "How far the tip stands out.", "nose_tip.z - nose_base.z", 4),
    ("Cheeks", "cheekbone_width", "Cheekbone width", "How far the cheekbones stand out.",
     "cheekbone.x - 0.55 face_side.x", 8.5),
    ("Cheeks", "cheekbone_height", "Cheekbone height", "How high the cheekbones sit.", "cheekbone.y", 3.8),
    ("Cheeks", "cheek_fullness", "Cheek fullness", "Full or hollow cheeks.", "cheek.z", 4.5),
    ("Mouth", "mouth_width", "Mouth width", "Width of the mouth.", "mouth_corner.x", 7.5),
    ("Mouth", "mouth_height", "Mouth height", "How high the mouth lies between nose and chin.", "mouth_corner.y", 3.2),
    ("Mouth", "upper_lip_fullness", "Upper lip", "Fullness of the upper lip.",
     "0.8 lip_upper.z + 0.4 lip_upper.y - 0.4 mouth_corner.y", 2.4),
    ("Mouth", "lower_lip_fullness", "Lower lip", "Fullness of the lower lip.",
     "0.8 lip_lower.z + 0.4 mouth_corner.y - 0.4 lip_lower.y", 2.4),
    ("Jaw", "jaw_width", "Jaw width", "Width of the jaw below the ears.", "jaw_corner.x - 0.14 face_side.x", 11.5),
    ("Jaw", "jaw_sharpness", "Jaw sharpness", "From round and soft to an angular, clean jaw line.",
     "0.7 jaw_corner.x - jaw_middle.x", 8),
    ("Jaw", "chin_height", "Chin height", "Length of the chin below the mouth.", "- chin_bottom.y", 5),
    ("Jaw", "chin_width", "Chin width", "From pointed to broad.", "chin_side.x", 8),
    ("Jaw", "chin_projection", "Chin projection", "How far the chin stands out.", "chin.z", 5.5),
    ("Ears and neck", "ear_size", "Ear size", "Size of the ears.", "ear_top.y - ear_lobe.y", "15 %"),
    ("Ears and neck", "ear_angle", "Ear angle", "How far the ears stand off.",
     "0.5 ear_back.x - 0.5 ear_front.x + 0.77 ear_back.z - 0.77 ear_front.z", 4),
    ("Ears and neck", "neck_width", "Neck width", "Width of the neck.", "neck_side.x", "12 %"),
]  # fmt: skip

_MIXED = [
    ("Whole face", "weight", "Weight", "Thinner or heavier: cheeks, jaw, chin and neck together.",
     "0.4 cheek_side.x + 0.4 jaw_corner.x + 0.2 neck_side.x"),
    ("Whole face", "age", "Age", "Younger or older features: lips, cheeks, jowls, nose and ears together.",
     "nasion.y - nose_base.y - lip_upper.z - lip_lower.z"),
]  # fmt: skip

CONTROLS: dict[str, Slider] = {
    **{name: Slider(label, group, text, _parsed(of), None) for group, name, label, text, of in _MIXED},
    **{name: Slider(label, group, text, _parsed(of), by) for group, name, label, text, of, by in _TABLE},
}
"""Name -> control, in the order of the sliders."""

MIXTURES: dict[str, dict[str, float]] = {
    "weight": {
        "cheek_fullness": 0.8, "face_width": 0.45, "jaw_width": 0.5, "jaw_sharpness": -0.35, "chin_width": 0.35,
        "neck_width": 0.8, "lower_lip_fullness": 0.15, "double_chin": 1.0,
    },
    "age": {
        "nose_length": 0.35, "nose_tip_height": -0.45, "nose_width": 0.25, "ear_size": 0.5, "upper_lip_fullness": -0.6,
        "lower_lip_fullness": -0.5, "mouth_width": 0.15, "brow_height": -0.35, "eye_size": -0.25, "eye_depth": 0.25,
        "cheek_fullness": -0.35, "cheekbone_height": -0.3, "jaw_sharpness": -0.3, "jowls": 1.0,
    },
}  # fmt: skip
"""Name of a mixture -> how much of each control, or of a field that serves mixtures only, a value of 1 adds."""


def measurable(mesh: MeshPlaces) -> list[str]:
    """The controls, mixtures aside, whose places the mesh has."""
    known = set(mesh.vertices)
    return [
        name
        for name, control in CONTROLS.items()
        if name not in MIXTURES and all({place, f"{place}_left"} & known for _, place, _ in control.measure)
    ]


def measure(name: str, upright: np.ndarray, mesh: MeshPlaces) -> np.ndarray:  # [..., V, 3] -> [...]
    """A control's quantity, in millimetres, of upright heads (`FaceFrame.upright`), or by how much displacements
    along the head's axes change it: it is linear. Raises KeyError when the mesh lacks a place of it."""
    total = np.zeros(upright.shape[:-2])
    for weight, place, axis in CONTROLS[name].measure:
        column = upright[..., "xyz".index(axis)]
        if place in mesh.vertices:
            total += weight * column[..., mesh.vertices[place]]
            continue
        left, right = (column[..., mesh.vertices[f"{place}_{side}"]] for side in SIDES)
        total += weight * ((right - left) if axis == "x" else (left + right) / 2)
    return total
