"""Builds `topology.npz`, the fixed topology of all drawn heads; needs SciPy. Run it only to replace this file:

    python -m fantasyid_core.shape.ownhead.build_topology

Weights that were trained on one topology do not fit another, so the result is kept in the repository. Vertices repel
each other on the surface until every edge has the length wanted there; a Delaunay triangulation then joins them. Only
one half is built, and the other is its mirror image. Vertices on the middle line and on the outlines of lips and eyes
are placed first. Numbers are millimetres, as in `surface`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from ...files.writing import write_aside
from .surface import bump, surface

# Wanted length of the edges: in general, then where it shrinks: centre x, y, z, reach x, y, z, by which factor.
_COARSE = 11.5
_FINE = np.array(
    [
        [0, -25, 80, 72, 95, 75, 0.42],  # the face
        [32, 4, 82, 24, 19, 30, 0.66],  # eyes and brows
        [0, -36, 100, 20, 16, 30, 0.66],  # tip of the nose
        [0, -65, 90, 32, 13, 30, 0.56],  # mouth
        [76, -8, -16, 26, 36, 26, 0.40],  # ears
    ]
)
# Outlines of one half on which vertices lie: x, y. Eyes in full, lips from the middle to the corner.
_OUTLINES = (
    [(15, -1), (17.5, 2.5), (21.5, 5.2), (26, 6.8), (31, 7.4), (36, 7.0), (40.5, 5.6), (44.5, 3.4), (48, 1.5),
     (44.5, -1.8), (40.5, -4.2), (36, -5.5), (31, -5.8), (26, -5.2), (21.5, -3.9), (17.8, -2.4)],
    [(2.7, -65), (5.4, -65), (8.1, -65), (10.8, -65), (13.5, -65), (16.2, -65), (19, -65), (22, -65), (25, -65)],
    [(3.6, -56.2), (7, -57.1), (10.4, -58.5), (14, -60), (17.6, -61.7), (21.2, -63.2)],
    [(3.4, -74.8), (6.8, -74.4), (10.2, -73.2), (13.6, -71.4), (17.2, -69.2), (21, -67.1)],
)  # fmt: skip
_MIDLINE_MUST = (-65.0, -57.0, -75.0)  # y of vertices in the middle of the lips
_ROUNDS = 500


def build() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the unit sphere float64 [V,3], faces [F,3] and mirror [V]; the middle line's vertices come first."""
    middle = _middle_line()
    outlines = np.concatenate([_on_face(outline) for outline in _OUTLINES])
    fixed = np.concatenate([middle, outlines])
    free = _settle(_scatter(fixed), fixed)
    half = np.concatenate([fixed, free])
    faces = _delaunay(half, _join(half, len(middle)))
    return _both_halves(half, faces, len(middle))


def _wanted_length(points: np.ndarray) -> np.ndarray:  # [N,3] -> [N]
    length = np.full(len(points), _COARSE)
    for row in np.concatenate([_FINE, _FINE[_FINE[:, 0] > 0] * (-1, 1, 1, 1, 1, 1, 1)]):
        length *= 1 - (1 - row[6]) * bump(points, row[:3], row[3:6])
    return length


def _middle_line() -> np.ndarray:
    """Directions along x = 0, from the crown over the face to the bottom and up the back of the head."""
    turn = np.linspace(0, 2 * np.pi, 20001)[:-1]
    directions = np.stack([0 * turn, np.cos(turn), np.sin(turn)], axis=1)
    points = surface(directions)
    steps = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1) / (0.92 * _wanted_length(points))
    along = np.concatenate([[0], np.cumsum(steps)])
    must = [np.argmin(abs(points[:10000, 1] - y)) for y in _MIDLINE_MUST]
    stops = np.sort([0, *along[must], along[-1]])
    places = np.concatenate(
        [np.linspace(a, b, max(round(b - a), 1), endpoint=False) for a, b in zip(stops, stops[1:], strict=False)]
    )
    return directions[np.searchsorted(along, places).clip(0, len(turn) - 1)]


def _on_face(outline) -> np.ndarray:
    """Directions whose points lie at the given x, y on the front of the face."""
    wanted = np.array(outline, float)
    angles = np.stack([np.arctan2(wanted[:, 0], 80), np.full(len(wanted), np.pi / 2)], axis=1)  # turn, fall
    for _ in range(60):
        at = surface(_direction(angles))[:, :2]
        slopes = [(surface(_direction(angles + step))[:, :2] - at) / 1e-4 for step in ((1e-4, 0), (0, 1e-4))]
        jacobian = np.stack(slopes, axis=2)
        step = np.linalg.solve(jacobian, (wanted - at)[..., None])[..., 0]
        angles = angles + step.clip(-0.05, 0.05)
    return _direction(angles)


def _direction(angles: np.ndarray) -> np.ndarray:
    turn, fall = angles.T
    return np.stack([np.sin(fall) * np.sin(turn), np.cos(fall), np.sin(fall) * np.cos(turn)], axis=1)


def _scatter(fixed: np.ndarray) -> np.ndarray:
    """As many directions with x > 0 as are wanted, spread by the wanted density."""
    random = np.random.default_rng(7)
    edges = np.linspace(0, np.pi, 301)
    fall, turn = np.meshgrid(edges, edges, indexing="ij")
    points = surface(_direction(np.stack([turn.ravel(), fall.ravel()], axis=1))).reshape(301, 301, 3)
    area = np.linalg.norm(np.cross(points[1:, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, 1:]), axis=-1) / 2
    wanted = _wanted_length(((points[1:, 1:] + points[:-1, :-1]) / 2).reshape(-1, 3)).reshape(area.shape)
    share = (area / (0.75**0.5 * wanted**2)).ravel()
    cells = random.choice(share.size, round(share.sum()) - len(fixed) + len(_middle_line()) // 2, p=share / share.sum())
    row, column = np.divmod(cells, 300)
    offset = random.random((2, len(cells)))
    return _direction(np.stack([column + offset[0], row + offset[1]], axis=1) * np.pi / 300)


def _settle(free: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Lets the free vertices push each other, the fixed ones and all mirror images away."""
    tree = importlib.import_module("scipy.spatial").cKDTree
    fixed_points = surface(fixed)
    for round_ in range(_ROUNDS):
        points = surface(free)
        everything = np.concatenate([points, fixed_points, points * (-1, 1, 1)])
        wanted = _wanted_length(everything)
        around = tree(everything).query_ball_point(points, 1.6 * wanted[: len(points)])
        pairs = np.array([(i, j) for i, near in enumerate(around) for j in near if j != i])
        apart = everything[pairs[:, 0]] - everything[pairs[:, 1]]
        distance = np.linalg.norm(apart, axis=1).clip(1e-6)
        ideal = (wanted[pairs[:, 0]] + wanted[pairs[:, 1]]) / 2
        push = (apart / distance[:, None]) * (ideal * (1.25 - distance / ideal).clip(0))[:, None]
        force = np.stack([np.bincount(pairs[:, 0], push[:, axis], len(points)) for axis in range(3)], axis=1)
        limit = 0.3 * wanted[: len(points)] * (1 - 0.9 * round_ / _ROUNDS)
        force *= (limit / np.linalg.norm(force, axis=1).clip(1e-6)).clip(0, 0.25)[:, None]
        free = _moved(free, force)
    return free


def _moved(directions: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The directions whose points lie one small step (mm) further on the surface; x stays positive."""
    first = np.cross(directions, np.where(abs(directions[:, 1:2]) < 0.9, [[0, 1.0, 0]], [[1.0, 0, 0]]))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(directions, first)
    points, small = surface(directions), 1e-4
    slopes = np.stack([(surface(_unit(directions + small * way)) - points) / small for way in (first, second)], axis=2)
    square = slopes.transpose(0, 2, 1) @ slopes + 1e-3 * np.eye(2)
    along = np.linalg.solve(square, slopes.transpose(0, 2, 1) @ step[..., None])[..., 0].clip(-0.05, 0.05)
    moved = _unit(directions + along[:, :1] * first + along[:, 1:] * second)
    moved[:, 0] = moved[:, 0].clip(1e-3)
    return _unit(moved)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _join(half: np.ndarray, middle: int) -> np.ndarray:
    """Triangles of one half, counter-clockwise from outside: the convex hull of the sphere's points."""
    both = np.concatenate([half, half[middle:] * (-1, 1, 1)])
    faces = importlib.import_module("scipy.spatial").ConvexHull(both).simplices
    inward = np.linalg.det(both[faces]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return faces[(faces < len(half)).all(axis=1) & (faces >= middle).any(axis=1)]


def _delaunay(half: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Flips edges until the two angles opposite every edge, measured on the surface, add up to at most 180 degrees."""
    points = surface(half)
    faces = [list(map(int, face)) for face in faces]
    for _ in range(100):
        beside: dict[tuple[int, int], int] = {}
        for number, face in enumerate(faces):
            beside.update({(face[i], face[i - 2]): number for i in range(3)})
        touched: set[int] = set()
        for (a, b), number in list(beside.items()):
            other = beside.get((b, a), -1)
            if a > b or other < 0 or {number, other} & touched:
                continue
            c, d = (next(v for v in faces[n] if v not in (a, b)) for n in (number, other))
            if (c, d) in beside or (d, c) in beside:
                continue
            if _angle(points, c, a, b) + _angle(points, d, a, b) > np.pi + 1e-6 and _convex(half, a, b, c, d):
                faces[number], faces[other] = [a, d, c], [d, b, c]
                touched |= {number, other}
        if not touched:
            break
    return np.array(faces)


def _angle(points: np.ndarray, at: int, one: int, other: int) -> float:
    a, b = points[one] - points[at], points[other] - points[at]
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


def _convex(half: np.ndarray, a: int, b: int, c: int, d: int) -> bool:
    """Whether both triangles after the flip still face outwards on the sphere."""
    return min(np.linalg.det(half[[a, d, c]]), np.linalg.det(half[[d, b, c]])) > 1e-9


def _both_halves(half: np.ndarray, faces: np.ndarray, middle: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sides = len(half) - middle
    mirror = np.concatenate([np.arange(middle), np.arange(sides) + len(half), np.arange(sides) + middle])
    directions = np.concatenate([half, half[middle:] * (-1, 1, 1)])
    directions[:middle, 0] = 0
    return directions, np.concatenate([faces, mirror[faces][:, ::-1]]), mirror


def main() -> None:
    directions, faces, mirror = build()
    with write_aside(Path(__file__).with_name("topology.npz")) as path:
        indices = {"faces": faces.astype(np.uint16), "mirror": mirror.astype(np.uint16)}
        np.savez_compressed(path, directions=directions.astype(np.float32), **indices)
    print(f"{len(directions)} vertices, {len(faces)} triangles")


if __name__ == "__main__":
    main()
