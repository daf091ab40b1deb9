"""One person as one mesh: the shaped head with hair, glasses and garment, ready for the renderer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..shape.ownhead.mesh import METRE, head_mesh
from ..shape.ownhead.surface import bump, smooth_step
from . import columns as col
from .expression import expression_fields
from .hair import hair_shell, hairline_distance, seen_from_within
from .headshape import check_shape, shape_basis
from .wearing import garment, glasses

if TYPE_CHECKING:
    from .appearance import Appearance


class Scene(NamedTuple):
    """Arrays of the compiled loops; millimetres. The head's vertices come first."""

    neutral: np.ndarray  # [N,3] float32
    expression: np.ndarray  # [E,V,3] float32, of the head's vertices
    follow: np.ndarray  # [N] float32: how far a vertex turns with the head
    attributes: np.ndarray  # [N,A] float32
    faces: np.ndarray  # [F,3] uint32
    kinds: np.ndarray  # [F] uint8


class _Part(NamedTuple):
    places: np.ndarray  # [N,3] on the average head
    basis: np.ndarray  # [K,N*3] float32: the shape parameters
    expression: np.ndarray  # [E,N,3]
    follow: np.ndarray
    attributes: np.ndarray


# Dark places: centre, width, and the share of the light that is missing. Rows with x > 0 are mirrored.
_OCCLUSION = np.array(
    [
        [0, -137, 20, 60, 20, 60, 0.62],  # the neck below the chin
        [0, -116, 45, 45, 9, 30, 0.25],
        [16, 2, 82, 7, 9, 30, 0.45],  # corners of the eyes beside the nose
        [32, 12, 84, 18, 5, 30, 0.22],  # below the brows
        [0, -46, 92, 13, 4.5, 30, 0.45],  # below the nose
        [17, -40, 88, 4, 6, 30, 0.25],
        [0, -79, 88, 16, 4.5, 30, 0.22],  # below the lower lip
        [79, -6, -8, 9, 13, 8, 0.65],  # inside the ears
        [71, -8, -34, 9, 30, 12, 0.40],  # behind them
    ]
)
_FLUSH = np.array(
    [
        [42, -32, 70, 19, 15, 40, 0.85],
        [0, -36, 108, 12, 10, 30, 0.75],
        [80, -5, -20, 14, 36, 24, 0.8],
        [0, -102, 84, 16, 12, 30, 0.3],
        [30, 2, 82, 19, 9, 40, 0.35],
    ]
)
_LOBES = {
    "full": [
        (0, -102, 78, 46, 24, 60, 1.6), (48, -80, 40, 24, 34, 34, 1.5), (0, -53, 90, 25, 5.5, 30, 1.5),
        (26, -66, 80, 8, 18, 30, 1.3),
    ],
    "goatee": [(0, -98, 84, 20, 19, 40, 1.6), (0, -53, 90, 22, 5, 30, 1.4), (25, -68, 80, 5, 15, 30, 1.3)],
    "moustache": [(0, -53, 90, 26, 4.6, 30, 1.7), (20, -57, 84, 9, 5, 30, 1.2)],
}  # fmt: skip
BEARDS = ("none", *_LOBES)
_FOLLOWED, _NEAR = 12, 4.0  # so many vertices of the head move what it wears; millimetres that count as near


def build_scene(shape, appearance: Appearance, bend: np.ndarray | None = None) -> Scene:
    """The scene of a person with these shape parameters and this appearance.

    bend: [V,3] in metres, added to the head's vertices; hair and glasses follow the head that is nearest to them.
    """
    amounts = check_shape(shape).astype(np.float32)
    look = appearance
    parts = [_head(look.beard, look.hair_style == "bald"), _hair(look.hair_style), _glasses(look.glasses), _garment()]
    shaped = [part.places + (amounts @ part.basis).reshape(-1, 3) for part in parts]
    shaped[1] = shaped[1] + _hair_change(look.hair_style, look.hair_volume, look.hair_length)
    if bend is not None:
        moved = np.asarray(bend, np.float32) / np.float32(METRE)
        shaped[0] = shaped[0] + moved
        shaped[1] = shaped[1] + _following(_hair, look.hair_style, moved)
        shaped[2] = shaped[2] + _following(_glasses, look.glasses, moved)
    faces, kinds = _faces(look.hair_style, look.glasses)
    return Scene(
        np.concatenate(shaped, dtype=np.float32),
        parts[0].expression,
        np.concatenate([part.follow for part in parts]),
        np.concatenate([part.attributes for part in parts]),
        faces,
        kinds,
    )


@cache
def _faces(style: str, shape: str) -> tuple[np.ndarray, np.ndarray]:
    lists = [head_mesh().faces, hair_shell(style, 0.5, 0.5)[2], glasses(shape)[1], garment()[1]]
    counts = [len(part.places) for part in (_head("none", False), _hair(style), _glasses(shape))]
    offsets = np.cumsum([0, *counts])
    faces = np.concatenate([part + offset for part, offset in zip(lists, offsets, strict=True)])
    kinds = np.repeat([col.HEAD, col.SHELL, col.FRAMES, col.GARMENT], [len(part) for part in lists])
    kinds[kinds == col.SHELL] = np.where(seen_from_within(style, lists[1]), col.CURTAIN, col.SHELL)
    return np.ascontiguousarray(faces, np.uint32), kinds.astype(np.uint8)


def _part(places: np.ndarray, follow: np.ndarray, attributes: np.ndarray) -> _Part:
    basis = shape_basis(places * METRE) / METRE
    return _Part(
        places.astype(np.float32),
        np.ascontiguousarray(basis.reshape(len(basis), -1), np.float32),
        np.ascontiguousarray(expression_fields(places), np.float32),
        follow.astype(np.float32),
        np.ascontiguousarray(attributes, np.float32),
    )


@cache
def _head(beard: str, bald: bool) -> _Part:
    mesh = head_mesh()
    places = mesh.template / METRE
    attributes = np.zeros((len(places), col.ATTRIBUTE_COUNT))
    attributes[:, col.AT_X : col.AT_Z + 1] = places
    turn, fall = np.arctan2(mesh.directions[:, 0], mesh.directions[:, 2]), np.arccos(mesh.directions[:, 1])
    ears = bump(abs(places) * (1, 0, 0) + places * (0, 1, 1), (82, -8, -20), (12, 34, 22))
    behind = hairline_distance(turn, fall) - 60 * ears * (abs(places[:, 0]) > 77)  # no hair grows on the ears
    attributes[:, col.AT_HAIRLINE] = -100 if bald else behind
    attributes[:, col.AT_OCCLUSION] = _sum_of_bumps(places, _OCCLUSION).clip(0, 0.8)
    attributes[:, col.AT_FLUSH] = _sum_of_bumps(places, _FLUSH).clip(0, 1)
    if beard != "none":
        attributes[:, col.AT_BEARD] = smooth_step(_sum_of_bumps(places, np.array(_LOBES[beard])), 0.35, 0.75)
        lips = bump(places, (0, -65.5, 88), (27, 9.5, 30))
        attributes[:, col.AT_BEARD] *= 1 - smooth_step(lips, 0.32, 0.5)
    return _part(places, smooth_step(places[:, 1], -172, -114), attributes)


@cache
def _hair(style: str) -> _Part:
    places, strands, _ = hair_shell(style, 0.5, 0.5)
    attributes = np.zeros((len(places), col.ATTRIBUTE_COUNT))
    attributes[:, :2] = strands
    return _part(places, 0.35 + 0.65 * smooth_step(places[:, 1], -190, -60), attributes)


@cache
def _hair_corners(style: str) -> list[np.ndarray]:
    return [hair_shell(style, volume, length)[0].astype(np.float32) for volume in (0, 1) for length in (0, 1)]


def _hair_change(style: str, volume: float, length: float) -> np.ndarray:
    """Displacement of the hair's shell by volume and length, both 0..1, from their middle values."""
    a, b, c, d = _hair_corners(style)
    between = (a * (1 - length) + b * length) * (1 - volume) + (c * (1 - length) + d * length) * volume
    return between - _hair(style).places


def _following(make, kind: str, moved: np.ndarray) -> np.ndarray:  # [V,3] -> [N,3]
    """Displacements of hair, glasses and garment that follow the head."""
    indices, shares = _nearest(make, kind)
    return (moved[indices] * shares[..., None]).sum(axis=1, dtype=np.float32)


@cache
def _nearest(make, kind: str) -> tuple[np.ndarray, np.ndarray]:  # [N,K], [N,K]
    """The vertices of the average head that each place of a part follows, and their shares."""
    places, head = make(kind).places, _head("none", False).places
    squared = ((places[:, None] - head) ** 2).sum(axis=2)
    indices = np.argsort(squared, axis=1, kind="stable")[:, :_FOLLOWED]
    shares = 1 / (np.take_along_axis(squared, indices, axis=1) + _NEAR**2)
    return indices, (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def _glasses(shape: str) -> _Part:
    places, _ = glasses(shape)
    return _part(places, np.ones(len(places)), np.zeros((len(places), col.ATTRIBUTE_COUNT)))


@cache
def _garment() -> _Part:
    places, _ = garment()
    attributes = np.zeros((len(places), col.ATTRIBUTE_COUNT))
    attributes[:, col.AT_X : col.AT_Z + 1] = places
    part = _part(places, np.zeros(len(places)), attributes)
    return part._replace(basis=np.zeros_like(part.basis))


def _sum_of_bumps(places: np.ndarray, table: np.ndarray) -> np.ndarray:
    total = np.zeros(len(places))
    for row in table:
        total += row[6] * bump(places, row[:3], row[3:6])
        if row[0] > 0:
            total += row[6] * bump(places, row[:3] * (-1, 1, 1), row[3:6])
    return total
