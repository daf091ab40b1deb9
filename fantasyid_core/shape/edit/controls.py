"""Linear controls of a face: named displacement fields, made for each head from its geometry.

For each face, raw fields (`fields`) are mixed so that a control changes its own measured quantity by a stated amount,
and the quantity of no other control: wider nostrils leave the mouth as wide as it was. Eyeballs move rigidly with their
lids, and ears move as a whole with the side of the head. Displacements are whole micrometres, so that the browser
(`controlpack`) adds exactly the numbers that Python adds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .controltable import CONTROLS, MIXTURES, Slider, measurable, measure
from .faceframe import FaceFrame, checked_vertices, face_frame
from .fields import EAR, FIELDS, around_ear, around_eye, ramp
from .places import EYE

if TYPE_CHECKING:
    from ..reconstruct.flame import FlameModel

    Vertices = TypeVar("Vertices")

STEP = 1e-6
"""Metres: displacements are whole multiples of it."""

LEFT_STEPS = 65535
"""How finely the share of the left side is counted."""

MIDLINE = 14.0
"""Millimetres to either side of the middle of the face over which a one-sided edit fades."""

EXTRA = tuple(name for name in FIELDS if name not in CONTROLS)
"""Fields that serve mixtures only."""

UNITS = 0.0006, 0.0016
"""Metres per millimetre of a head of mean size: heads of 60 to 160 % of it, which blends and caricatures are."""


@dataclass(frozen=True, eq=False)
class FaceControls:
    """The controls of one head. The arrays are read-only.

    controls: name -> `Slider`, in the order of the sliders. steps: np.int16 [K,V,3], the displacement for a value of
    1 in multiples of `STEP`. left: np.uint16 [V], the share of every vertex that follows the left side's value,
    in multiples of 1 / `LEFT_STEPS`; the right side's is the rest.
    """

    controls: dict[str, Slider]
    steps: np.ndarray
    left: np.ndarray

    def displacement(self, values: Mapping[str, tuple[float, float]]) -> np.ndarray:  # [V,3]
        """Metres, float64, for values name -> (left, right). Raises KeyError for unknown names."""
        chosen = [list(self.controls).index(name) for name in values]
        pairs = np.array(list(values.values()), float).reshape(-1, 2)
        steps = self.steps[chosen].reshape(len(chosen), self.steps[0].size).astype(np.float64)
        moved = (pairs[:, 1] @ steps).reshape(-1, 3)
        uneven = pairs[:, 0] - pairs[:, 1]
        if uneven.any():
            moved += (self.left / LEFT_STEPS)[:, None] * (uneven @ steps).reshape(-1, 3)
        return moved * STEP


def shape_controls(vertices: Vertices, flame: FlameModel | None = None, plausible: bool = False):
    """Name -> displacement [V,3] in metres for a value of 1, in the order of the sliders.

    vertices: [V,3] in metres, FLAME's or one of the project's own heads', in any pose; tensors give tensors, arrays
    give arrays (float32). An edit is the head plus values times displacements. With `flame` the first ten
    components of its shape space follow, for one standard deviation each; `plausible` projects the other controls
    onto its shape space (see `shapespace`).

    Raises ValueError for another mesh (the message names the nodes that make the right one), a head that is not in
    metres, NaN and infinite numbers, and `plausible` without `flame`.
    """
    made = face_controls(vertices, flame, plausible)
    return OrderedDict(
        (name, as_given(vertices, steps * STEP)) for name, steps in zip(made.controls, made.steps, strict=True)
    )


def face_controls(vertices, flame: FlameModel | None = None, plausible: bool = False) -> FaceControls:
    """What `shape_controls` is made of; kept for the last heads. Raises as that."""
    vertices = checked_vertices(vertices)
    if plausible and flame is None:
        raise ValueError(
            "Expected a FLAME model for plausible edits, got none: they are projected onto its shape space. Load "
            "FLAME (generic_model.pkl), or switch plausible edits off."
        )
    return _made(vertices.tobytes(), flame, bool(plausible))


def measure_face(vertices, frame: FaceFrame | None = None) -> dict[str, float]:  # [V,3]
    """The quantity of every control, in millimetres of a head of mean size (see `controltable`).

    frame: of the head before an edit, so that both are measured alike; by default the head's own.
    """
    frame = face_frame(vertices) if frame is None else frame
    upright, known = frame.upright(checked_vertices(vertices)), [*MIXTURES, *measurable(frame.mesh)]
    return {name: float(measure(name, upright, frame.mesh)) for name in CONTROLS if name in known}


@lru_cache(maxsize=4)
def _made(content: bytes, flame: FlameModel | None, plausible: bool) -> FaceControls:
    vertices = np.frombuffer(content).reshape(-1, 3)
    frame = face_frame(vertices)
    if not UNITS[0] <= frame.unit <= UNITS[1]:
        raise ValueError(
            f"Expected a head in metres, its eyes about 0.063 apart, got {frame.unit * 63:.3g}. Scale it, or load it "
            "with the node Load Shape, which knows centimetres and millimetres."
        )
    controls, fields = _fields(frame, vertices)
    fields = frame.turned(fields)
    if flame is not None:
        from .shapespace import components, projected

        if plausible:
            fields = projected(fields, flame, frame)
        extra, directions = components(flame, frame)
        controls, fields = controls | extra, np.concatenate([fields, directions])
    steps = np.rint(fields / STEP).astype(np.int16)
    left = np.rint(ramp(frame.coordinates[:, 0], MIDLINE, -MIDLINE) * LEFT_STEPS).astype(np.uint16)
    for array in (steps, left):
        array.setflags(write=False)
    return FaceControls(controls, steps, left)


def _fields(frame: FaceFrame, vertices: np.ndarray) -> tuple[dict[str, Slider], np.ndarray]:
    """The controls that this mesh can have, and their displacements [K,V,3] in millimetres along the head's axes."""
    raw, names = _raw_fields(frame), measurable(frame.mesh)
    stacked = np.stack([raw[name] for name in [*names, *EXTRA]])
    upright, count = frame.upright(vertices), len(names)
    amounts = [_amount(CONTROLS[name].amount, measure(name, upright, frame.mesh)) for name in names]
    response = np.stack([measure(name, stacked[:count], frame.mesh) for name in names])  # [measure, field]
    mixing = np.eye(count + len(EXTRA))
    mixing[:count, :count] = np.linalg.solve(response, np.diag(amounts)).T
    rows = {name: mixing[row] for row, name in enumerate([*names, *EXTRA])}
    for name, parts in MIXTURES.items():
        rows[name] = sum(share * rows[part] for part, share in parts.items() if part in rows)
    controls = {name: control for name, control in CONTROLS.items() if name in rows}
    mixed = np.stack([rows[name] for name in controls]) @ stacked.reshape(len(stacked), -1)
    return controls, mixed.reshape(-1, *stacked.shape[1:])


def _amount(amount: float | str, own: float) -> float:
    return own * float(amount.rstrip(" %")) / 100 if isinstance(amount, str) else amount


def _raw_fields(frame: FaceFrame) -> dict[str, np.ndarray]:
    """Name -> raw field [V,3], in which eyes and ears are not bent."""
    # after the vertices: what an eye and an ear follow
    x, y, z = np.concatenate([frame.coordinates, [EYE, EAR]]).T
    away, side = abs(x), np.sign(x)
    near_eye, near_ear = around_eye(away, y, z)[:-2], around_ear(away, y, z)[:-2]
    for start, stop in frame.mesh.eyeballs.values():
        near_eye[start:stop] = 1
    fields = {}
    for name, function in FIELDS.items():
        out, up, ahead = (np.broadcast_to(part, away.shape) for part in function(away, y, z))
        parts = np.stack([out, up, ahead], axis=1)
        field = parts[:-2].copy()
        for part, near, anchor in (("eye_", near_eye, parts[-2]), ("ear_", near_ear, parts[-1])):
            if not name.startswith(part):
                field += near[:, None] * (anchor - field)
        field[:, 0] *= side[:-2]
        fields[name] = field
    return fields


def as_given(like, values: np.ndarray):
    """Values as float32, as a tensor on the device of `like` if that is one."""
    if not hasattr(like, "detach"):
        return values.astype(np.float32)
    import torch

    return torch.as_tensor(values, dtype=torch.float32, device=like.device)
