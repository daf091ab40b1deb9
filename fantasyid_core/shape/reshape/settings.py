"""Who is changed in a video, and how."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...options import FACE_ORDERS, LARGEST, MOST_ALIKE

if TYPE_CHECKING:
    from ..edit.editstate import Edit
    from ..faceshape import FaceShape

Strength = float | Callable[[float], float] | Sequence[float]
"""A number; or a function of the time, 0 at the first frame and 1 at the last, as `Timing.weight` is; or one number for
each frame, of which the last goes on."""

Recogniser = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(picture np.uint8 [H,W,3], five points [5,2]) -> vector of length 1, as `Likeness.embed`."""

MAX_STRENGTH = 3.0


@dataclass(frozen=True, eq=False)
class PersonEdit:
    """What becomes of one person.

    edit: name -> value of sliders, the editor's JSON, or an `Edit`; or the shapes before and after, two `FaceShape` or
    arrays [V,3] in metres of one mesh, FLAME's or the project's own. strength: multiplies it, -3..3. how, number: which
    of the faces where the person is first seen, as `face.choose.choose_face` has them. like: for "most alike",
    the person's vector by the recogniser of the settings.

    Raises ValueError for unknown words, another number, and "most alike" without a vector.
    """

    edit: Edit | str | Mapping[str, Any] | tuple[FaceShape | np.ndarray, FaceShape | np.ndarray] | None
    strength: Strength = 1.0
    how: str = LARGEST
    number: int = 0
    like: np.ndarray | None = None

    def __post_init__(self):
        if self.how not in FACE_ORDERS:
            raise ValueError(f"Expected a way to choose out of {', '.join(FACE_ORDERS)}, got {self.how!r}.")
        if not isinstance(self.number, int) or self.number < 0:
            raise ValueError(f"Expected a face's number of 0 or more, got {self.number!r}. 0 is the first.")
        if self.how == MOST_ALIKE and self.like is None:
            raise ValueError(
                "The most alike face is found by comparing with a picture of the person. Give its vector as `like`, "
                f"or choose one of {', '.join(FACE_ORDERS[:3])}."
            )


@dataclass(frozen=True, eq=False)
class ReshapeSettings:
    """How a video is changed.

    smoothing: 0..5, frames to either side over which the head's points are smoothed (a standard deviation); 0: none.
    in_front: 0..1, how surely what stands before the face is kept as it is; 0: it moves along with the face.
    head_frames: 1..500, frames from which the clip's one head is made.
    measure_every: the meter looks at every so many frames; 0: at none.
    already: a head [V,3] of the person before the edit, as of the photo the video was made from. With it, only the
    rest is added of what the video's faces already differ from it in the direction of each slider.
    recognise: tells whether a face is the same person's, see `Recogniser`; without it a person is followed by place.
    device: of torch, for landmarks and resampling; on a "cpu" OpenCV resamples. workers: threads that change frames
    (all cores).

    Raises ValueError for numbers out of range.
    """

    smoothing: float = 1.5
    in_front: float = 1.0
    head_frames: int = 48
    measure_every: int = 4
    already: FaceShape | np.ndarray | None = None
    recognise: Recogniser | None = None
    device: str = "cpu"
    workers: int | None = None

    def __post_init__(self):
        _check_range("smoothing", self.smoothing, 0, 5)
        _check_range("in_front", self.in_front, 0, 1)
        _check_range("head_frames", self.head_frames, 1, 500)
        _check_range("measure_every", self.measure_every, 0, 10**6)
        if self.workers is not None:
            _check_range("workers", self.workers, 1, 1024)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (whole and math.isfinite(value) and low <= value <= high):
        raise ValueError(f"Expected {name} of {low} to {high}, got {value!r}.")
