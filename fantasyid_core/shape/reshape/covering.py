"""What stands before a face, such as a hand or a microphone: found by the skin's colours, which it hides.

The skin's colour at places of the head is known from the whole clip, as a median. In a frame it may be lighter, darker
or tinted evenly, as light is; a place that is of another colour still is covered. Eyes and mouth have no say, because
they open and close. What is there in most of the clip, glasses and beards too, is part of the face."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...face.align import opencv
from ..edit.faceframe import face_frame
from ..edit.fields import around_eye, ramp
from ..mesh import vertex_normals
from .cliphead import Lying
from .field import REACH, Grid, grid_around

SPACING = 4.0  # millimetres between the places that are looked at
SPREAD = 6.0  # millimetres over which neighbours are asked
FEWEST = 5  # frames that tell the colours
FACING = 0.35  # cosine to the viewer below which skin is seen too flatly
NOISE = 10.0  # levels of 255 that a place may differ, and so many times its own spread over the clip
TIMES = 1.5
ROUNDS, ROBUST = 6, 0.12  # of the fit of the light; natural logarithm that counts half
HEARD = 4.0  # weight of the places around a vertex from which on it is known; 14 amid them
HARDLY = 0.02  # share of the face below which nothing is covered


class Places(NamedTuple):
    """Where a mean head [V,3] is looked at. vertices: [K]; flat: [K,3], 1 and the place from -1 to 1; near: [V,K], by
    how much every vertex listens to each place."""

    vertices: np.ndarray
    flat: np.ndarray
    near: np.ndarray


class Colours(NamedTuple):
    """Of one person's skin. usual: [K,3], levels of 255; spread: [K], how much they differ over the clip."""

    places: Places
    usual: np.ndarray
    spread: np.ndarray


class Sample(NamedTuple):
    """One frame. colours: [K,3]; visible: bool [K]."""

    colours: np.ndarray
    visible: np.ndarray


def places_on(template: np.ndarray) -> Places:  # [V,3] metres
    return _places(np.ascontiguousarray(template).tobytes())


@lru_cache(maxsize=2)
def _places(content: bytes) -> Places:
    template = np.frombuffer(content).reshape(-1, 3)
    places = face_frame(template).coordinates
    x, y, z = places.T
    face = (abs(x) < 66) & (y > -108) & (y < 62) & (z > -30)
    eyes, mouth = around_eye(abs(x), y, z) > 0.35, (x / 32) ** 2 + ((y + 68) / 22) ** 2 < 1
    chosen = np.flatnonzero(face & ~eyes & ~mouth & (vertex_front(template) > 0))
    cells = np.unique(np.floor(places[chosen] / SPACING).astype(int), axis=0, return_index=True)[1]
    vertices = np.sort(chosen[cells])
    apart = ((places[:, None] - places[vertices]) ** 2).sum(axis=2)
    near = np.exp(-apart / (2 * SPREAD**2)).astype(np.float32)
    flat = np.column_stack([np.ones(len(vertices)), places[vertices, :2] / (66, 108)])
    return Places(vertices, flat, near)


def vertex_front(template: np.ndarray) -> np.ndarray:
    """1 for vertices that look ahead or to the side, by the direction from the head's middle."""
    middle = template.mean(axis=0)
    return (template - middle)[:, 2] > 0


def sample(picture: np.ndarray, lying: Lying, faces: np.ndarray, places: Places) -> Sample | None:
    """The colours at the places in a frame np.uint8 [H,W,3]; None for a head outside."""
    cv2 = opencv()
    grid = grid_around(lying.vertices[:, :2], REACH * lying.pose.scale, picture.shape[:2])
    if grid is None:
        return None
    small = reduced(picture, grid)
    at = grid.drawn(lying.vertices[places.vertices, :2]).astype(np.float32)
    colours = cv2.remap(small, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    inside = (at > 0).all(axis=1) & (at < np.array(grid.shape[::-1]) - 1).all(axis=1)
    normals = vertex_normals(lying.vertices * (1, -1, 1), faces)[places.vertices]
    return Sample(colours.astype(np.float64), inside & (normals[:, 2] > FACING))


def reduced(picture: np.ndarray, grid: Grid) -> np.ndarray:
    """The grid's part of a picture at the grid's resolution."""
    part = np.ascontiguousarray(grid.cut(picture))
    return opencv().resize(part, grid.shape[::-1], interpolation=opencv().INTER_AREA)


def colours_of(samples: list[Sample], places: Places) -> Colours | None:
    """The usual colours; None with too few frames to tell."""
    if len(samples) < FEWEST:
        return None
    known = np.stack([np.where(each.visible[:, None], each.colours, np.nan) for each in samples])
    with np.errstate(all="ignore"):
        level = np.nanmedian(known, axis=1, keepdims=True)
        known = known * (np.nanmedian(level, axis=0) / np.maximum(level, 1))
        counted = np.isfinite(known[..., 0]).sum(axis=0)
        usual = _nan_median(known)
        spread = _nan_median(np.abs(known - usual)).max(axis=1) * 1.48
    usual[counted < FEWEST] = np.nan
    return Colours(places, usual, spread)


def _nan_median(values: np.ndarray) -> np.ndarray:
    """Over the frames; nan, without a warning, where there are none."""
    filled = np.where(np.isfinite(values).any(axis=0), values, 0)
    return np.where(np.isfinite(values).any(axis=0), np.nanmedian(filled, axis=0), np.nan)


def uncommon(seen: Sample, known: Colours) -> np.ndarray:  # [K]
    """How surely each place is covered, 0..1; nan where it cannot be told."""
    told = seen.visible & np.isfinite(known.usual[:, 0])
    result = np.full(len(told), np.nan)
    if told.sum() < 3 * known.places.flat.shape[1]:
        return result
    usual, colours = known.usual[told], seen.colours[told]
    expected = usual * np.exp(_light(np.log(colours.clip(4)) - np.log(usual.clip(4)), known.places.flat[told]))
    away = np.abs(colours - expected).max(axis=1)
    result[told] = ramp(away / (NOISE + TIMES * known.spread[told]), 1.0, 1.8)
    return result


def _light(difference: np.ndarray, flat: np.ndarray) -> np.ndarray:  # [K,3], [K,P] -> [K,3]
    """The even change of light that most places agree on."""
    weights = np.ones(len(flat))
    fitted = np.median(difference, axis=0) + np.zeros_like(difference)
    for _ in range(ROUNDS):
        weights = 1 / (1 + (np.abs(difference - fitted).max(axis=1) / ROBUST) ** 2)
        inner = flat.T @ (weights[:, None] * flat) + 1e-3 * np.eye(flat.shape[1])
        fitted = flat @ np.linalg.solve(inner, flat.T @ (weights[:, None] * difference))
    return fitted


class Covered(NamedTuple):
    """share: [V], how surely every vertex is covered, 0..1. told: bool [V], whether its neighbourhood was looked at."""

    share: np.ndarray
    told: np.ndarray


def covered_vertices(scores: list[np.ndarray], known: Colours) -> Covered | None:  # several [K]
    """From a frame's and its neighbours' scores; None when nothing is covered."""
    stacked = np.stack(scores)
    told = np.isfinite(stacked)
    mean = np.where(told, stacked, 0).sum(axis=0) / told.sum(axis=0).clip(1)
    there = told.any(axis=0).astype(np.float32)
    if not there.any() or (mean * there).sum() / there.sum() < HARDLY:
        return None
    near = known.places.near
    heard = near @ there
    share = (near @ (mean * there).astype(np.float32)) / heard.clip(1e-3)
    return Covered(ramp(np.where(heard > HEARD, share, 0), 0.3, 0.6), heard > HEARD)
