"""Chooses one of the detected faces, and draws a picture that shows the choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..options import FACE_ORDERS, LARGEST
from .align import check_image
from .likeness import SAME

if TYPE_CHECKING:
    from .detectors.detect import DetectedFace


SIMILAR_AREA = 0.15
"""Share by which the area of boxes may differ while the faces look equally large."""

SIMILAR_PLACE = 0.05
"""Share of the picture's shorter side by which distances from its middle may differ and still seem alike."""

SIMILAR_LIKENESS = 0.1
"""Difference of two cosines that age, light and pose of one person make easily."""

CHOSEN_COLOUR = (60, 220, 90)
OTHER_COLOUR = (255, 165, 40)
EDGE_COLOUR = (0, 0, 0)


def choose_face(
    faces: Sequence[DetectedFace],
    how: str = LARGEST,
    number: int = 0,
    size: tuple[int, int] | None = None,
    likeness: Sequence[float] | None = None,
    detector: str | None = None,
) -> DetectedFace:
    """Face `number` (0 is the first) of the order that `how`, one of `options.FACE_ORDERS`, puts the faces in.

    size: width and height of the picture in pixels, needed for "most central" only. likeness: for "most alike",
    one cosine per face, in the order of `faces`; more is more alike. detector: what looked for the faces, for
    the error. Faces that are equal stand from left to right, then from top to bottom, so that the answer is
    always the same.

    Raises ValueError when there is no face, for a number without a face, and for another way.
    """
    if how not in FACE_ORDERS:
        raise ValueError(f"Expected a way to choose out of {', '.join(FACE_ORDERS)}, got {how!r}.")
    if not len(faces):
        raise ValueError(_nothing_found(detector))
    if not isinstance(number, int) or not 0 <= number < len(faces):
        raise ValueError(
            f"There is no face number {number!r}: {len(faces)} found in the picture. Expected 0 to "
            f"{len(faces) - 1}, as the numbers in the picture of the found faces say for left to right."
        )
    if how == "most central" and size is None:
        raise ValueError("Expected the width and height of the picture to find the most central face.")
    if how == LARGEST:
        keys = [-face.area for face in faces]
    elif how == "most central":
        keys = list(_distances(faces, size))
    elif how == "most alike":
        keys = [-value for value in _checked_likeness(likeness, len(faces))]
    else:
        keys = [0] * len(faces)
    order = sorted(range(len(faces)), key=lambda index: (keys[index], *faces[index].centre))
    return faces[order[number]]


def left_to_right(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """The faces in the order of their numbers: by the middle of their boxes, x first."""
    return sorted(faces, key=lambda face: tuple(face.centre))


def choice_notes(
    faces: Sequence[DetectedFace],
    chosen: DetectedFace,
    how: str,
    size: tuple[int, int] | None = None,
    likeness: Sequence[float] | None = None,
) -> list[str]:
    """Sentences for the user where the choice was close; none when a face was chosen by its number.

    Arguments as in `choose_face`. Numbers are those of `draw_faces`.
    """
    if how == LARGEST:
        areas = np.array([face.area for face in faces])
        area = max(chosen.area, 1e-9)
        close = np.minimum(areas, area) >= (1 - SIMILAR_AREA) * np.maximum(areas, area)
        return _rivals(faces, chosen, close, "about equally large")
    if how == "most central" and size is not None:
        distances = _distances(faces, size)
        own = distances[_index(faces, chosen)]
        return _rivals(faces, chosen, abs(distances - own) <= SIMILAR_PLACE * min(size), "about equally central")
    if how == "most alike" and likeness is not None:
        values = np.array(_checked_likeness(likeness, len(faces)))
        own = values[_index(faces, chosen)]
        notes = _rivals(faces, chosen, values >= own - SIMILAR_LIKENESS, "about equally like the person")
        return _stranger(faces, chosen, own) if own < SAME else notes
    return []


def _rivals(faces, chosen, close: np.ndarray, how: str) -> list[str]:
    """close: bool per face."""
    ordered = left_to_right(faces)
    numbers = [str(n) for n, face in enumerate(ordered) if close[_index(faces, face)] or face is chosen]
    if len(numbers) < 2:
        return []
    return [
        f"Faces {', '.join(numbers[:-1])} and {numbers[-1]} are {how}; face {_index(ordered, chosen)} was taken. If "
        "another one is meant, choose left to right and its number."
    ]


def _stranger(faces, chosen, cosine: float) -> list[str]:
    return [
        f"Face {_index(left_to_right(faces), chosen)} was taken as the most alike, but its likeness is {cosine:.2f}; "
        f"below {SAME:g} it is probably another person. Choose a photo that shows the person, or the face by its "
        "number."
    ]


def _index(faces, wanted) -> int:
    return next(index for index, face in enumerate(faces) if face is wanted)


def _distances(faces, size) -> np.ndarray:
    middle = (np.array(size) - 1) / 2
    return np.array([np.linalg.norm(face.centre - middle) for face in faces])


def _checked_likeness(likeness, count: int) -> list[float]:
    if likeness is None:
        raise ValueError(
            "The most alike face is found by comparing with a picture of the person. Give that picture, or choose "
            f"one of {', '.join(FACE_ORDERS[:3])}."
        )
    likeness = [float(value) for value in likeness]
    if len(likeness) != count or not np.isfinite(likeness).all():
        raise ValueError(f"Expected {count} finite likenesses, one per face, got {likeness}.")
    return likeness


def _nothing_found(detector: str | None) -> str:
    by = f" by the detector {detector}" if detector else ""
    return (
        f"There is no face found in the picture, which was searched{by} at several sizes. Faces seen from the side, "
        "painted or masked ones and very small ones are often missed. Choose a picture that shows the face larger "
        "and from the front, try another detector, or choose the detector none and give the five points by hand."
    )


def draw_faces(image: np.ndarray, faces: Sequence[DetectedFace], chosen: DetectedFace | None = None) -> np.ndarray:
    """A copy of a picture (np.uint8 [H,W,3] RGB) with every face boxed and numbered from left to right.

    The numbers are those of `choose_face(faces, "left to right", number)`. `chosen` has a thicker box of
    another colour, and its five points are marked. Lines and numbers are sized by the picture, so that they are
    still read when it is shown small; numbers stand beside the faces where there is room.
    """
    from PIL import Image, ImageDraw

    check_image(image)
    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    line = max(2, round(float(np.hypot(*picture.size)) / 400))
    numbered = list(enumerate(left_to_right(faces)))
    numbered.sort(key=lambda pair: pair[1] is chosen)  # the chosen one lies on top
    for _, face in numbered:
        _draw_box(draw, face, line, face is chosen)
    taken = [face.box.tolist() for face in faces]
    for number, face in numbered:
        taken.append(_draw_number(draw, number, face, taken, line, face is chosen))
    return np.array(picture)


def _draw_box(draw, face: DetectedFace, line: int, chosen: bool) -> None:
    colour, line = (CHOSEN_COLOUR, 2 * line) if chosen else (OTHER_COLOUR, line)
    edge = max(1, line // 3)
    left, top, right, bottom = face.box.tolist()
    # The dark rim keeps the line visible on a ground of its own colour.
    draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), outline=EDGE_COLOUR, width=line + 2 * edge)
    draw.rectangle((left, top, right, bottom), outline=colour, width=line)
    if chosen:
        for x, y in face.points.tolist():
            draw.ellipse((x - line, y - line, x + line, y + line), fill=colour, outline=EDGE_COLOUR, width=edge)


def _draw_number(draw, number: int, face: DetectedFace, taken: list, line: int, chosen: bool) -> tuple:
    """Draws the number where it hides least of `taken`, boxes x0, y0, x1, y1; returns its own box."""
    from PIL import ImageFont

    longer = max(draw.im.size)
    share = float(face.box[3] - face.box[1]) / 3
    height = max(14.0, float(np.clip(share, 0.03 * longer, 0.06 * longer)))
    font, text = ImageFont.load_default(size=height), str(number)
    x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=font)
    pad = height / 4
    width, tall = max(x1 - x0 + 2 * pad, height), y1 - y0 + 2 * pad
    place = min(_places(face.box.tolist(), width, tall), key=lambda box: _hidden(box, taken, draw.im.size))
    middle = ((place[0] + place[2] - x0 - x1) / 2, (place[1] + place[3] - y0 - y1) / 2)
    fill = CHOSEN_COLOUR if chosen else OTHER_COLOUR
    draw.rounded_rectangle(place, radius=pad, fill=fill, outline=EDGE_COLOUR, width=max(1, line // 2))
    draw.text(middle, text, fill=EDGE_COLOUR, font=font)
    return place


def _places(box: list, width: float, height: float) -> list[tuple]:
    """Corners of the box for a label: above, below, beside it, and as the last resort inside."""
    left, top, right, bottom = box
    corners = [(left, top - height), (right - width, top - height), (left, bottom), (right - width, bottom)]
    corners += [(left - width, top), (right, top), (left, top), (right - width, top)]
    return [(x, y, x + width, y + height) for x, y in corners]


def _hidden(label: tuple, taken: list, size: tuple[int, int]) -> float:
    """Square pixels of faces and other labels below a label, those beyond the picture counting more."""
    area = (label[2] - label[0]) * (label[3] - label[1])
    inside = _overlap(label, (0, 0, *size))
    return 4 * (area - inside) + sum(_overlap(label, other) for other in taken)


def _overlap(one: tuple, other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
