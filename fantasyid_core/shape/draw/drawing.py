"""Pictures of heads for users: a head in studio light, a head drawn over its photo, the 68 landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...running.progress import counted
from ..mesh import check_faces, check_finite, vertex_normals
from .raster import interpolate, mix, rasterise
from .shading import CLAY, GLASS, hollows, shade, to_srgb

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

VIEWS = {"front": 0.0, "three-quarter": 38.0, "profile": 90.0, "back": 180.0}
"""By how many degrees the face is turned to the right of the picture."""

STRIPS = (
    (range(17), False),  # jaw
    (range(17, 22), False),  # brow on the left of the picture
    (range(22, 27), False),
    (range(27, 31), False),  # bridge of the nose
    (range(31, 36), False),  # its wings
    (range(36, 42), True),  # eye on the left of the picture
    (range(42, 48), True),
    (range(48, 60), True),  # lips, outside
    (range(60, 68), True),  # lips, inside
)
"""The 68 landmarks (iBUG's 300-W order) as lines, and whether a line is closed."""

SUPERSAMPLING = 2
MAX_SIDE = 4096  # of a drawn picture
_BAND = 64  # rows that are shaded at a time, which fits the processor's cache
_MARGIN = 0.08  # of the picture's side, free around the head
_DISTANCE = 5.0  # of the camera from the head's middle, in heads: a portrait lens
_MIDDLE, _CORNER = 0.19, 0.075  # linear light of the background
_DOT = (0.92, 0.80, 0.66)  # linear light of the nearest point of a cloud
_LINE, _EDGE = (255, 214, 92), (28, 24, 20)  # landmarks: amber with a dark rim shows on every skin


def draw_head(
    vertices: ArrayLike,  # [V,3]
    faces: ArrayLike | None = None,  # [F,3]
    size: int = 512,
    views: Sequence[str | float] = ("front", "three-quarter"),
    extent: ArrayLike | None = None,  # [N,3]
) -> np.ndarray:  # [size, size * views, 3]
    """A head in studio light, once per view, side by side at one scale: np.uint8 RGB.

    vertices: any unit and place, y up, the face looking along z. Without faces the points are drawn as dots.
    views: names of `VIEWS`, or degrees by which the face is turned to the right of the picture. extent: what has to
    fit into the picture, when that is more than the head: several heads are then drawn at one scale and place.
    Raises ValueError for other shapes, NaN or infinite coordinates, faces that name missing vertices, unknown
    views, and sizes outside 16..`MAX_SIDE`.
    """
    vertices = _checked_vertices(vertices)
    extent = vertices if extent is None else _checked_vertices(extent)
    low, high = extent.min(axis=0), extent.max(axis=0)
    vertices, extent = ((points - (low + high) / 2) / (high - low).max() for points in (vertices, extent))
    faces = None if faces is None else _outward(vertices, check_faces(faces, len(vertices), "The head"))
    side = _checked_side(size) * SUPERSAMPLING
    turns = [_degrees(view) for view in ([views] if isinstance(views, str) else views)]
    if not turns:
        raise ValueError(f"Expected at least one view, such as {', '.join(VIEWS)}, got none.")
    posed, extents = ([_turned(points, degrees) for degrees in turns] for points in (vertices, extent))
    pictures = []
    framed = zip(posed, _framed(posed, extents, side), strict=True)
    for head, (points, depth) in counted(framed, len(posed)):
        canvas = _background(side)
        if faces is None or not len(faces):
            _dot(canvas, points, depth)
        else:
            light, seen = render(points, depth, faces, vertex_normals(head, faces), (side, side))
            np.copyto(canvas, light, where=seen[..., None])
        pictures.append(to_srgb(_halved(canvas)))
    return np.concatenate(pictures, axis=1)


def draw_overlay(
    picture: np.ndarray,  # [H,W,3]
    points: ArrayLike,  # [V,2]
    depth: ArrayLike,  # [V]
    faces: ArrayLike,  # [F,3]
    landmarks: ArrayLike | None = None,  # [68,2]
    opacity: float = 0.6,
) -> np.ndarray:  # [H,W,3]
    """The mesh in studio light over a picture (np.uint8 RGB), with the landmarks' lines: np.uint8 RGB.

    points: the projected vertices in pixels of the picture, y down; depth: in the same pixels, larger is
    nearer. opacity: of the mesh, 0..1. Raises ValueError for other shapes and types, NaN or infinite numbers.
    """
    picture = _checked_picture(picture)
    if not 0 <= opacity <= 1:
        raise ValueError(f"Expected an opacity of 0 to 1, got {opacity!r}.")
    points, depth = np.asarray(points, np.float64), np.asarray(depth, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or depth.shape != points.shape[:1]:
        raise ValueError(f"Expected points [V,2] and depth [V], got {list(points.shape)} and {list(depth.shape)}.")
    check_finite(np.column_stack([points, depth]), "The projected mesh")
    solid = np.column_stack([points[:, 0], -points[:, 1], depth])  # pixels, y up
    faces = _outward(solid, check_faces(faces, len(points), "The projected mesh"))
    scale, (height, width) = SUPERSAMPLING, picture.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise ValueError(f"Expected a picture of at most {MAX_SIDE} pixels along a side, got {width} x {height}.")
    # The centre of the first pixel is the middle of scale x scale finer ones.
    finer = points * scale + (scale - 1) / 2
    size = height * scale, width * scale
    light, seen = render(finer, depth * scale, faces, vertex_normals(solid, faces), size, GLASS)
    cover = _halved(seen.astype(np.float32))[..., None]
    # Mixed as encoded for the screen: in linear light the brighter of the two would hide the other.
    mesh = to_srgb(_halved(light) / cover.clip(1e-6)).astype(np.float32)
    drawn = np.rint(picture + cover * opacity * (mesh - picture)).astype(np.uint8)
    return drawn if landmarks is None else draw_landmarks(drawn, landmarks)


def draw_landmarks(picture: np.ndarray, landmarks: ArrayLike) -> np.ndarray:  # [H,W,3], [68,2]
    """The 68 landmarks (pixels of the picture, iBUG's order) as lines and dots on a copy of it: np.uint8 RGB.

    Raises ValueError for other shapes and types, NaN or infinite numbers.
    """
    import cv2

    picture, landmarks = _checked_picture(picture), np.asarray(landmarks, np.float64)
    if landmarks.shape != (68, 2):
        raise ValueError(f"Expected 68 landmarks [68,2] (x, y), got shape {list(landmarks.shape)}.")
    check_finite(landmarks, "The landmarks")
    fraction = 4  # binary digits after the point, for OpenCV
    places = np.rint(landmarks.clip(-20_000, 20_000) * 2**fraction).astype(np.int32)
    width = max(1, round(min(picture.shape[:2]) / 340))
    drawn = picture.copy()
    for colour, grown in ((_EDGE, 2), (_LINE, 0)):
        for strip, closed in STRIPS:
            cv2.polylines(drawn, [places[list(strip)]], closed, colour, width + grown, cv2.LINE_AA, fraction)
        radius = round((1.2 * width + grown / 2) * 2**fraction)
        for x, y in places.tolist():
            cv2.circle(drawn, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA, fraction)
        if grown:
            drawn = cv2.addWeighted(drawn, 0.5, picture, 0.5, 0)
    return drawn


def render(
    points: np.ndarray,  # [V,2]
    depth: np.ndarray,  # [V]
    faces: np.ndarray,  # [F,3]
    normals: np.ndarray,  # [V,3]
    size: tuple[int, int],
    albedo: ArrayLike = CLAY,
) -> tuple[np.ndarray, np.ndarray]:
    """A mesh in studio light: linear light float32 [h,w,3] and the pixels that it covers, bool [h,w].

    points and depth: pixels, larger is nearer. Faces seen from within are lit on that side, but darker.
    """
    index, barycentric = rasterise(points, depth, faces, size)
    picture, seen, normals = np.zeros((*size, 3), np.float32), index >= 0, normals.astype(np.float32)
    hollow = hollows(interpolate(depth - depth.mean(), faces, index, barycentric), seen, 0.05 * np.sqrt(seen.sum()))
    side, other = (points[faces[:, corner]] - points[faces[:, 0]] for corner in (1, 2))
    within = side[:, 0] * other[:, 1] > side[:, 1] * other[:, 0]  # [F]
    for top in range(0, size[0], _BAND):
        band = slice(top, top + _BAND)
        there = seen[band]
        triangle = index[band][there]
        towards, inner = mix(normals, faces, triangle, barycentric[band][there]), within[triangle]
        towards /= np.sqrt(np.einsum("kc,kc->k", towards, towards)).clip(1e-6)[:, None]
        towards[inner] *= -1
        light = shade(towards, hollow[band][there], np.float32(albedo))
        light[inner] *= 0.5
        picture[band][there] = light
    return picture, seen


def _dot(canvas: np.ndarray, points: np.ndarray, depth: np.ndarray) -> None:
    """Points [V,2] as dots on a square canvas; the farther back, the smaller and the closer to the background."""
    import cv2

    nearness = (depth - depth.min()) / max(np.ptp(depth), 1e-9)
    light = _MIDDLE + nearness[:, None] ** 2 * (np.float32(_DOT) - _MIDDLE)
    cell = len(canvas) / 32
    column, row = (points // cell).astype(int).clip(0, 31).T
    crowd = np.bincount(row * 32 + column, minlength=32**2)[row * 32 + column]
    radii = (0.4 * cell / np.sqrt(crowd)).clip(len(canvas) / 1000, len(canvas) / 340) * (0.4 + 0.6 * nearness)
    places, fraction = np.rint(points * 16).astype(int).tolist(), 4  # binary digits after the point, for OpenCV
    for vertex in np.argsort(depth, kind="stable").tolist():
        radius = max(16, round(16 * float(radii[vertex])))
        cv2.circle(
            canvas, tuple(places[vertex]), radius, tuple(light[vertex].tolist()), cv2.FILLED, cv2.LINE_8, fraction
        )


def _framed(
    heads: Sequence[np.ndarray], extents: Sequence[np.ndarray], side: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points [V,2] and depth [V] in pixels of a square picture, for heads [V,3] of about the length 1, each placed so
    that its extent [N,3] fits in."""
    flat, bounds = (
        [points[:, :2] / (1 - points[:, 2:] / _DISTANCE) for points in several] for several in (heads, extents)
    )
    scale = (1 - 2 * _MARGIN) * side / max(np.ptp(each, axis=0).max() for each in bounds)
    framed = []
    for head, each, bound in zip(heads, flat, bounds, strict=True):
        middle = (bound.min(axis=0) + bound.max(axis=0)) / 2
        framed.append(((each - middle) * (scale, -scale) + (side - 1) / 2, head[:, 2] * scale))
    return framed


def _turned(vertices: np.ndarray, degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vertices @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


def _outward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces, turned over when most of them show their inside."""
    first, second, third = (vertices - vertices.mean(axis=0))[faces].transpose(1, 0, 2)
    return faces[:, ::-1] if (first * np.cross(second, third)).sum() < 0 else faces


def _background(side: int) -> np.ndarray:  # [side, side, 3]
    across = np.linspace(-1, 1, side, dtype=np.float32) ** 2
    light = _CORNER + (_MIDDLE - _CORNER) * np.exp(-1.2 * (across[:, None] + across))
    return np.repeat(light[..., None], 3, axis=2).astype(np.float32)


def _halved(canvas: np.ndarray) -> np.ndarray:
    import cv2

    height, width = (side // SUPERSAMPLING for side in canvas.shape[:2])
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def _degrees(view: str | float) -> float:
    if isinstance(view, str) and view in VIEWS:
        return VIEWS[view]
    if isinstance(view, (int, float)) and np.isfinite(view):
        return float(view)
    raise ValueError(f"Expected views out of {', '.join(VIEWS)}, or degrees, got {view!r}.")


def _checked_vertices(vertices: ArrayLike) -> np.ndarray:
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not len(vertices):
        raise ValueError(f"Expected the vertices of one head [V,3], got shape {list(vertices.shape)}.")
    check_finite(vertices, "The head")
    if not np.ptp(vertices, axis=0).max() > 0:
        raise ValueError("All vertices lie in one place: expected a head. Make the shape again.")
    return vertices


def _checked_side(size: int) -> int:
    if not isinstance(size, (int, np.integer)) or not 16 <= size <= MAX_SIDE:
        raise ValueError(f"Expected a size of 16 to {MAX_SIDE} pixels, got {size!r}.")
    return int(size)


def _checked_picture(picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"Expected a picture uint8 [H,W,3] RGB, got {picture.dtype} {list(picture.shape)}.")
    return np.ascontiguousarray(picture)
