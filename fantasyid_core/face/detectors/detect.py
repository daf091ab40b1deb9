"""Finds the faces of a picture: one interface for all detectors.

`insightface`, `retinaface` and `yunet` are networks whose files the user brings; `mediapipe` comes with the pack;
`none` takes points given by hand, or the centre of the picture. `auto` takes the first of these whose package and
file are there: what the model was trained with comes before what comes along.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...modelfiles import find_model_file, missing_file
from ...options import DETECTORS, FORMER_DETECTORS
from ...running.packages import MissingPackage, lacks
from ..align import check_image, opencv
from ..picture import check_size
from ..pose import NOSE_DEPTH, head_pose
from .detected import DetectedFace, centre_face, clipped, face_from_points
from .networkfile import missing_packages
from .search import Raw, search_faces

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "NOSE_DEPTH",
    "DetectedFace",
    "available_detectors",
    "detect_faces",
    "face_from_points",
    "head_pose",
]

NETWORKS = {
    "insightface": ".insightface",
    "retinaface": ".retinaface",
    "yunet": ".yunet",
}
"""Detector -> module with KEY (of its model file), PACKAGES, SIDES (as in `search_faces`), load(path) -> Raw."""

SHIPPED = "mediapipe"


def detect_faces(
    image: np.ndarray,
    detector: str = "auto",
    points: ArrayLike | None = None,
    folders: Iterable[str | os.PathLike] = (),
    max_side: int | None = None,
) -> list[DetectedFace]:
    """All faces of a picture, surest first; an empty list when there is none.

    image: np.uint8 [H,W,3] RGB. detector: one of `options.DETECTORS`. points: [5,2], for the detector `none` only;
    without them it returns the centre square as one face. folders: ComfyUI's models folders in which the
    networks' files are looked for, as in `find_model_file`. max_side: pixels along the longer side at which the
    picture is searched, instead of the detector's own (1280; retinaface 1024).

    Faces are found from 24 pixels on, in larger pictures from 24 pixels * longer side / max_side, up to those
    that fill the picture. `mediapipe` sees faces turned by any angle in the picture, at full size, and from the side
    up to about 60 degrees, see `landmarks.landmarked_faces`.

    A detector that is named but cannot be used raises RuntimeError (a package is missing), FileNotFoundError
    (its file is), or ValueError (its file is damaged or another one). `auto` warns of the last and takes the next
    best. Raises ValueError for another picture, detector or max_side.
    """
    check_image(image)
    check_size(image.shape[1], image.shape[0], "The picture")
    detector = current_detector(detector)
    _check_choice(detector, points, max_side)
    if detector == "none":
        return [centre_face(image) if points is None else face_from_points(image, points)]
    if detector == "auto":
        return _best(image, tuple(folders), max_side)
    return _named(detector, image, tuple(folders), max_side)


def available_detectors(folders: Iterable[str | os.PathLike] = ()) -> tuple[str, ...]:
    """The detectors whose packages are installed and whose file is found, the best first; no file is opened."""
    folders = tuple(folders)
    return (*(name for name in NETWORKS if not _lacks(name) and _file_of(name, folders)), SHIPPED)


def current_detector(name: str) -> str:
    """The detector of that name, or with a warning the one that has taken its place."""
    if name not in FORMER_DETECTORS:
        return name
    warnings.warn(replaced_note(name), stacklevel=3)
    return FORMER_DETECTORS[name]


def replaced_note(name: str) -> str:
    """The note for a user who asks for a detector of `options.FORMER_DETECTORS`."""
    return (
        f"The detector {name} is no more: {FORMER_DETECTORS[name]} is used, which finds more faces and exact points. "
        f"Choose {FORMER_DETECTORS[name]} or auto, and this note goes away."
    )


def _check_choice(detector: str, points: ArrayLike | None, max_side: int | None) -> None:
    if detector not in DETECTORS:
        raise ValueError(f"Expected a detector out of {', '.join(DETECTORS)}, got {detector!r}.")
    if points is not None and detector != "none":
        raise ValueError(
            f"Points given by hand need no detector, got {detector!r}. Choose the detector none, or leave "
            "the points empty."
        )
    if max_side is not None and (not isinstance(max_side, int) or not 64 <= max_side <= 4096):
        raise ValueError(f"Expected max_side of 64 to 4096 pixels, got {max_side!r}. 1280 is usual.")


def _best(image: np.ndarray, folders: tuple, max_side: int | None) -> list[DetectedFace]:
    names = available_detectors(folders)
    for name, following in zip(names, names[1:], strict=False):
        try:
            return _named(name, image, folders, max_side)
        except (ValueError, RuntimeError) as error:
            # Without this warning, users would not see why the detector they installed is not used.
            warnings.warn(f"{error} Until then the detector {following} is used.", stacklevel=3)
    return _shipped(image, max_side)


def _named(name: str, image: np.ndarray, folders: tuple, max_side: int | None) -> list[DetectedFace]:
    if name == SHIPPED:
        return _shipped(image, max_side)
    if lacking := _lacks(name):
        raise MissingPackage(f"{lacks(f'The detector {name}', lacking)} (or choose another detector).")
    raw, sides = _network(name, folders)
    if max_side is not None:
        sides = (max_side, *(side for side in sides[1:] if side < max_side))
    return search_faces(image, raw, sides, name)


def _shipped(image: np.ndarray, max_side: int | None) -> list[DetectedFace]:
    from ..landmarks import landmarked_faces

    view, back = _reduced(image, max_side)
    faces = []
    for found in landmarked_faces(view):
        five, box = ((some.reshape(-1, 2) + 0.5) * back - 0.5 for some in (found.five, found.box))
        faces.append(face_from_points(image, five, clipped(box.ravel(), image), found.score, SHIPPED))
    return faces


def _reduced(image: np.ndarray, max_side: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The picture with at most so many pixels along its longer side, and how much larger it was in x and y."""
    before = np.array(image.shape[1::-1])
    if max_side is None or before.max() <= max_side:
        return image, np.ones(2)
    after = np.maximum(1, np.round(before * (max_side / before.max()))).astype(int)
    return opencv().resize(image, after.tolist(), interpolation=opencv().INTER_AREA), before / after


def _network(name: str, folders: tuple) -> tuple[Raw, tuple[int, ...]]:
    path, module = _file_of(name, folders), _module(name)
    if path is None:
        raise FileNotFoundError(missing_file(module.KEY))
    path = path.resolve()
    return _load(module.load, path, path.stat().st_mtime_ns), module.SIDES


@lru_cache(maxsize=3)
def _load(load: Callable[[Path], Raw], path: Path, changed: int) -> Raw:
    """`changed`, the file's time stamp, makes the cache forget a file that was replaced."""
    return load(path)


def _module(name: str):
    return import_module(NETWORKS[name], __package__)


def _lacks(name: str) -> list[str]:
    return missing_packages(_module(name).PACKAGES)


def _file_of(name: str, folders: tuple) -> Path | None:
    return find_model_file(_module(name).KEY, folders)
