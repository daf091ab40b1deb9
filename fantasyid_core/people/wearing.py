"""Glasses and garments, as meshes around the average head. Numbers are millimetres."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..shape.ownhead.surface import smooth_curve

GLASSES = ("none", "round", "square", "wide")
_RIMS = {"round": (21.5, 20.5, 2.0), "square": (24.5, 17.5, 4.5), "wide": (26.5, 15.5, 2.7)}  # half size, squareness
_TUBE, _AROUND = 1.7, 24

# Rows of the garment from the collar down: y, half width, front z, back z.
_GARMENT = np.array(
    [
        [-137, 55, 26, -74],
        [-141, 62, 36, -80],
        [-148, 76, 43, -84],
        [-156, 100, 48, -88],
        [-166, 140, 54, -92],
        [-180, 176, 62, -95],
        [-205, 196, 72, -98],
        [-250, 204, 82, -100],
        [-330, 200, 84, -100],
    ],
    float,
)


@cache
def glasses(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """Places [N,3] and faces [F,3]; none for "none"."""
    if shape == "none":
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    half_x, half_y, squareness = _RIMS[shape]
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    reach = (abs(cosine) ** squareness + abs(sine) ** squareness) ** (-1 / squareness)
    rim = np.stack([32 + half_x * reach * cosine, -2 + half_y * reach * sine, 0 * angle], axis=1)
    rim[:, 2] = 96 - 0.0042 * rim[:, 0] ** 2
    outer = 32 + half_x
    bridge = np.array([[-(32 - half_x), 2, 96], [-4, 5.5, 98], [4, 5.5, 98], [32 - half_x, 2, 96]])
    temple = np.array([[outer, 5, 96 - 0.0042 * outer**2], [72, 6, 62], [78, 6, 20], [79, 5, -12]])
    tubes = [_tube(rim, True), _tube(rim * (-1, 1, 1), True), _tube(bridge, False),
             _tube(temple, False), _tube(temple * (-1, 1, 1), False)]  # fmt: skip
    return _joined(tubes)


@cache
def garment() -> tuple[np.ndarray, np.ndarray]:
    """Places [N,3] and faces [F,3] of shoulders and chest; `collar` styles are painted."""
    columns, lines = 25, 11
    at = np.linspace(0, len(_GARMENT) - 1, lines)
    y, side, front, back = smooth_curve(at, np.arange(len(_GARMENT), dtype=float), _GARMENT).T
    turn = np.linspace(-np.pi, np.pi, columns)[:, None]
    sine, cosine = np.sin(turn), np.cos(turn)
    middle = (front + back) / 2
    roundness = np.linspace(2.0, 2.5, lines)
    reach = (abs(sine) ** roundness + abs(cosine) ** roundness) ** (-1 / roundness)
    x = side * reach * sine
    z = middle + (front - back) / 2 * reach * cosine
    fall = -0.0012 * x**2 * np.linspace(0, 1, lines) - 9 * cosine.clip(0) * np.linspace(1, 0, lines)
    places = np.stack([x, y + fall, z], axis=-1).reshape(-1, 3)
    corner = np.arange(columns * lines).reshape(columns, lines)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    return places, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def _tube(path: np.ndarray, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """A square tube along the path, facing outwards."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    helper = np.where(abs(ahead[:, 2:]) < 0.7, [[0, 0, 1.0]], [[0, 1.0, 0]])
    side = np.cross(ahead, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, ahead)
    ring = np.stack([path + _TUBE * (a * side + b * up) for a, b in ((1, 0), (0, 1), (-1, 0), (0, -1))], axis=1)
    count = len(path)
    faces = []
    for i in range(count if closed else count - 1):
        for k in range(4):
            a, b = 4 * i + k, 4 * i + (k + 1) % 4
            c, d = 4 * ((i + 1) % count) + (k + 1) % 4, 4 * ((i + 1) % count) + k
            faces += [(a, b, c), (a, c, d)]
    return ring.reshape(-1, 3), np.array(faces)


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0] + [len(points) for points, _ in parts[:-1]])
    return (
        np.concatenate([points for points, _ in parts]),
        np.concatenate([faces + offset for (_, faces), offset in zip(parts, offsets, strict=True)]),
    )
