"""Shades a head like clay in studio light: a soft key light from above on the left, a fill, a rim, and dark hollows.

Pictures are linear light, float32, until `to_srgb`.
"""

from __future__ import annotations

import numpy as np

CLAY = (0.52, 0.40, 0.33)
"""Share of red, green and blue light that is reflected."""

GLASS = (0.18, 0.33, 0.43)
"""A cool tone that stands out from skin."""

# direction towards the light (x right, y up, z to the viewer), colour, wrap: how far light reaches round the edge
_LIGHTS = (
    ((-0.65, 0.65, 0.60), (1.30, 1.24, 1.14), 0.15),  # key
    ((0.90, 0.05, 0.60), (0.15, 0.18, 0.23), 0.50),  # fill
    ((0.80, 0.35, -0.45), (1.10, 1.20, 1.35), 0.0),  # rim, from behind
)
_SKY, _GROUND = (0.17, 0.19, 0.22), (0.10, 0.08, 0.07)
_GLOSS, _SHARPNESS = 0.09, 5  # the highlight's brightness; how often it is squared
_COARSER = 4  # hollows are smooth: a quarter of the resolution will do
_GRAZING = 0.10  # how much more a surface reflects that is seen edge on


def shade(normals: np.ndarray, hollow: np.ndarray, albedo: np.ndarray) -> np.ndarray:  # [K,3]
    """Linear light float32 [K,3] of points with unit normals [K,3] (y up, z to the viewer), which lie in hollows
    [K] (see `hollows`), on a surface of an albedo [3]."""
    up, facing = (normals[:, 1] + 1) / 2, normals[:, 2].clip(0, 1)
    light = np.float32(_GROUND) + up[:, None] * (np.float32(_SKY) - np.float32(_GROUND))
    for direction, colour, wrap in _LIGHTS:
        strength = ((normals @ _unit(direction) + wrap) / (1 + wrap)).clip(0)
        light += strength[:, None] * np.float32(colour)
    gloss = (normals @ _unit(_unit(_LIGHTS[0][0]) + np.float32((0, 0, 1)))).clip(0)
    for _ in range(_SHARPNESS):
        gloss *= gloss
    edge_on = 1 - facing
    light *= albedo
    light += (_GLOSS * gloss + _GRAZING * edge_on * edge_on * edge_on * (0.4 + 0.6 * up))[:, None]
    # Where a surface is seen edge on, its own slope would count as a hollow.
    light *= (1 - (0.8 * hollow * facing * facing).clip(0, 0.7))[:, None]
    return light


def hollows(depth: np.ndarray, seen: np.ndarray, radius: float) -> np.ndarray:  # [h,w]
    """How deep every pixel lies below its surroundings: 0 on open surfaces, up to 1 in hollows.

    depth: float32 [h,w], pixels, larger is nearer. seen: bool [h,w], the others do not count. radius: pixels.
    The depth is compared with its blurred self (Luft et al. 2006, "Image enhancement by unsharp masking the
    depth buffer").
    """
    import cv2

    smaller = tuple(max(1, side // _COARSER) for side in seen.shape[::-1])
    coarse, cover = (cv2.resize(each, smaller, interpolation=cv2.INTER_AREA) for each in (depth, np.float32(seen)))
    hollow = np.zeros(seen.shape, np.float32)
    for span in (radius, 0.4 * radius):
        around, share = (cv2.GaussianBlur(each, (0, 0), max(span / _COARSER, 0.5)) for each in (coarse, cover))
        mean = cv2.resize(around / share.clip(1e-3), seen.shape[::-1])
        nearer = (mean - depth).clip(0) / max(span, 1)
        hollow += nearer / (1 + nearer**2)  # what is far in front is another part of the head
    return hollow


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """np.uint8 of linear light 0..1 (IEC 61966-2-1); brighter light is clipped."""
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def _unit(vector) -> np.ndarray:
    vector = np.asarray(vector, np.float32)
    return vector / np.linalg.norm(vector)
