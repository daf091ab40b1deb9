"""Finds the faces of a picture: one interface for all detectors.

`insightface`, `yunet` and `retinaface` are networks whose files the user brings; `cascade` needs scikit-image
only (its data lie inside the package, nothing is downloaded); `none` takes points given by hand, or the centre of
the picture. `auto` takes the best one whose package and file are there.
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
from ...options import DETECTORS
from ...running.packages import MissingPackage, lacks, pip_command
from ..align import check_image
from ..picture import check_size
from ..pose import NOSE_DEPTH, head_pose
from .detected import DetectedFace, centre_face, face_from_points
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
    "yunet": ".yunet",
    "retinaface": ".retinaface",
}
"""Detector -> module with KEY (of its model file), PACKAGES, SIDES (as in `search_faces`), load(path) -> Raw."""

CASCADE_PACKAGES = {"skimage": "scikit-image"}


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
    that fill the picture. `cascade` finds frontal faces (see `search_cascade`), and its points are approximate.

    A detector that is named but cannot be used raises RuntimeError (a package is missing), FileNotFoundError
    (its file is), or ValueError (its file is damaged or another one). `auto` warns of the last and takes the next
    best. Raises ValueError for another picture, detector or max_side.
    """
    check_image(image)
    check_size(image.shape[1], image.shape[0], "The picture")
    _check_choice(detector, points, max_side)
    if detector == "none":
        return [centre_face(image) if points is None else face_from_points(image, points)]
    if detector == "auto":
        return _best(image, tuple(folders), max_side)
    return _named(detector, image, tuple(folders), max_side)


def available_detectors(folders: Iterable[str | os.PathLike] = ()) -> tuple[str, ...]:
    """The detectors whose packages are installed and whose file is found, the best first; no file is opened."""
    folders = tuple(folders)
    networks = (name for name in NETWORKS if not _lacks(name) and _file_of(name, folders))
    return (*networks, *(() if missing_packages(tuple(CASCADE_PACKAGES)) else ("cascade",)))


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
    for name, *following in (names[nth : nth + 2] for nth in range(len(names))):
        try:
            return _named(name, image, folders, max_side)
        except (ValueError, RuntimeError) as error:
            if not following:
                raise
            # Without it, whoever put the file there would wonder why faces are missed.
            warnings.warn(f"{error} Until then the detector {following[0]} is used.", stacklevel=3)
    raise RuntimeError(
        f"No face detector can be used here. Run: {pip_command(['scikit-image'])} (the detector cascade needs nothing "
        "else), or choose the detector none and give the five points."
    )


def _named(name: str, image: np.ndarray, folders: tuple, max_side: int | None) -> list[DetectedFace]:
    lacking = missing_packages(tuple(CASCADE_PACKAGES)) if name == "cascade" else _lacks(name)
    if lacking:
        raise MissingPackage(f"{lacks(f'The detector {name}', lacking)} (or choose another detector).")
    if name == "cascade":
        from .cascade_detector import search_cascade

        return search_cascade(image, max_side)
    raw, sides = _network(name, folders)
    if max_side is not None:
        sides = (max_side, *(side for side in sides[1:] if side < max_side))
    return search_faces(image, raw, sides, name)


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
