"""Which of the found faces is meant, and a picture that shows the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .align import _check_image

if TYPE_CHECKING:
    from .detect import DetectedFace

WAYS = ("largest", "most central", "left to right")
CHOSEN_COLOUR = (40, 200, 80)
OTHER_COLOUR = (235, 150, 40)


def choose_face(
    faces: Sequence[DetectedFace],
    how: str = "largest",
    number: int = 0,
    size: tuple[int, int] | None = None,
) -> DetectedFace:
    """Face `number` (0 is the first) of the order that `how`, one of `WAYS`, puts the faces in.

    size: width and height of the picture in pixels, needed for "most central" only. Faces that are equal
    stand from left to right, then from top to bottom, so that the answer is always the same.

    Raises ValueError when there is no face, for a number without a face, and for another way.
    """
    if how not in WAYS:
        raise ValueError(f"Expected a way to choose out of {', '.join(WAYS)}, got {how!r}.")
    if not faces:
        raise ValueError(
            "There is no face found in the picture. Choose a picture that shows the face larger and from "
            "the front, or choose the detector none and give the five points by hand."
        )
    if not isinstance(number, int) or not 0 <= number < len(faces):
        raise ValueError(
            f"There is no face number {number!r}: {len(faces)} found in the picture. Expected 0 to "
            f"{len(faces) - 1}, as the numbers in the picture of the found faces say for left to right."
        )
    if how == "most central" and size is None:
        raise ValueError("Expected the width and height of the picture to find the most central face.")
    ordered = left_to_right(faces)
    if how == "largest":
        ordered.sort(key=lambda face: -face.area)
    elif how == "most central":
        middle = (np.array(size) - 1) / 2
        ordered.sort(key=lambda face: np.linalg.norm(face.centre - middle))
    return ordered[number]


def left_to_right(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """The faces in the order of their numbers: by the middle of their boxes, x first."""
    return sorted(faces, key=lambda face: tuple(face.centre))


def draw_faces(
    image: np.ndarray, faces: Sequence[DetectedFace], chosen: DetectedFace | None = None
) -> np.ndarray:
    """A copy of a picture (np.uint8 [H,W,3] RGB) with every face boxed and numbered from left to right.

    The numbers are those of `choose_face(faces, "left to right", number)`. `chosen` has a thicker box of
    another colour, and its five points are marked.
    """
    from PIL import Image, ImageDraw

    _check_image(image)
    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    unit = max(1, max(picture.size) // 400)
    for number, face in enumerate(left_to_right(faces)):
        if face is not chosen:
            _draw_box(draw, face, number, OTHER_COLOUR, unit)
    if chosen is not None:
        number = next((n for n, face in enumerate(left_to_right(faces)) if face is chosen), None)
        _draw_box(draw, chosen, number, CHOSEN_COLOUR, 2 * unit)
        for x, y in chosen.points.tolist():
            draw.ellipse((x - 2 * unit, y - 2 * unit, x + 2 * unit, y + 2 * unit), fill=CHOSEN_COLOUR)
    return np.array(picture)


def _draw_box(draw, face: DetectedFace, number: int | None, colour, line: int) -> None:
    from PIL import ImageFont

    draw.rectangle(face.box.tolist(), outline=colour, width=line)
    if number is None:
        return
    corner = (float(face.box[0]) + line, float(face.box[1]) + line)
    font = ImageFont.load_default(size=max(10.0, float(face.box[2] - face.box[0]) / 5))
    draw.rectangle(draw.textbbox(corner, str(number), font=font), fill=colour)
    draw.text(corner, str(number), fill=(0, 0, 0), font=font)
