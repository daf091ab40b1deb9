"""Measures the outline of a head in front of a plain background without any network: its widths, and the chin.

This is a cross-check of the probe's readings, for frames that look at the camera (`Subject.plain_prompt`). The
background's colour is taken from the two edges of every row, so that a model that misses this colour is measured as
well."""

from __future__ import annotations

import numpy as np

from ..person import Person
from ..raster_kernels import MIDDLE_Y, VISIBLE
from .subjects import SIDE, ZOOM

OPEN_STYLES = ("bald", "buzz", "short", "quiff", "side part", "bun", "two buns")
"""Hair that shows ears and jaw."""
HIGH_STYLES = ("bun", "two buns", "afro", "curly")
"""Hair whose top says little about the head's."""

_EDGE = 3  # pixels at both sides of a row that are background
_NEARLY = 0.5  # share of the foreground's distance from the background at which a pixel counts fully
_MIDDLE = slice(SIDE // 2 - 6, SIDE // 2 + 6)  # columns


def _row(y: float) -> int:
    """The row in which a place of the average head (millimetres) is seen."""
    return round((SIDE - 1) / 2 + (MIDDLE_Y - y) * ZOOM * SIDE / VISIBLE)


_CHEEKS = slice(_row(-44), _row(-58))  # below the ears
_JAW = slice(_row(-76), _row(-92))
_UNDER_CHIN = slice(_row(-86), _row(-141))
_EYES = _row(0)

MEASURED = ("face_width", "jaw_width", "forehead_height", "chin_length")


def shows(person: Person, name: str) -> bool:
    """Whether hair and beard leave visible what one of `MEASURED` is measured at."""
    look = person.appearance
    if name == "chin_length":
        return look.beard in ("none", "moustache")
    if name == "forehead_height":
        return look.hair_style not in HIGH_STYLES
    return look.hair_style in OPEN_STYLES


def outline(frames: np.ndarray) -> dict[str, np.ndarray]:  # uint8 [T,64,64,3]
    """Pixels, for each of `MEASURED` and every frame [T]; NaN where the head does not differ from its background.

    face_width, jaw_width: of the rows where the average head has cheeks and jaw. forehead_height: from the eyes of the
    average head to the top. chin_length: the row in which the light of the chin becomes the shadow of the neck.
    """
    cover, full = _cover(frames)
    frames = frames.astype(np.float64) / 255
    light = frames[:, _UNDER_CHIN, SIDE // 2 - 3 : SIDE // 2 + 3].mean(axis=(2, 3))  # [T,rows]
    falls = np.maximum(0, light[:, :-1] - light[:, 1:]) ** 2
    found = {
        "face_width": cover[:, _CHEEKS].sum(axis=2).mean(axis=1),
        "jaw_width": cover[:, _JAW].sum(axis=2).mean(axis=1),
        "forehead_height": cover[:, :_EYES, _MIDDLE].mean(axis=2).sum(axis=1),
        "chin_length": falls @ np.arange(falls.shape[1]) / np.maximum(falls.sum(axis=1), 1e-9),
    }
    return {name: np.where(full > 0.05, values, np.nan) for name, values in found.items()}


def coverage(frames: np.ndarray) -> np.ndarray:  # uint8 [T,64,64,3] -> [T,64,64]
    """How much of every pixel a person covers, 0..1, before a plain background."""
    return _cover(frames)[0]


def _cover(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beside the coverage, how far the face's colours are from the background's, in every frame."""
    frames = frames.astype(np.float64) / 255
    edges = np.concatenate([frames[:, :, :_EDGE], frames[:, :, -_EDGE:]], axis=2)
    apart = np.abs(frames - np.median(edges, axis=2, keepdims=True)).max(axis=3)  # [T,H,W]
    full = np.median(apart[:, _CHEEKS, _MIDDLE], axis=(1, 2))
    return (apart / np.maximum(_NEARLY * full, 1e-3)[:, None, None]).clip(0, 1), full
