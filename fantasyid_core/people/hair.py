"""Hair as a shell over the scalp: its hairline, length and thickness, and the styles.

The shell is a grid of columns from the crown down; each follows the skull at a distance to the hairline and then, in
long styles, hangs. Numbers are millimetres and degrees, as in `surface`; degrees turn from the front to the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..shape.ownhead.surface import skull, smooth_curve, smooth_step

COLUMNS, LINES = 49, 13
_CENTRE = np.array([0.0, 15.0, -8.0])

# The hairline: degrees from the front, degrees from the crown on the sphere of `surface`.
_HAIRLINE = np.array(
    [[0, 30.5], [20, 29.5], [38, 28], [50, 30], [60, 36], [69, 43], [76, 48], [83, 50], [90, 49], [97, 46], [112, 46],
     [124, 58], [140, 74], [160, 80], [180, 81]], float,
)  # fmt: skip
_BELOW = 2.6  # millimetres per degree of it


@dataclass(frozen=True)
class HairStyle:
    """thickness: of the front, top, sides and back. Where it hangs, `ends` says at which y the hair ends in front, at
    the temples, sides and back (None: at the hairline), first for short, then for long hair of this style."""

    thickness: tuple[float, float, float, float] = (8, 10, 6, 8)
    ends: tuple = (None, None, None, None)
    long_ends: tuple = (None, None, None, None)
    curl: float = 0.0
    slant: float = 0.0  # of the fringe: higher on one side
    lift: float = 0.0  # of the hair over the forehead
    parting: float = 0.0  # where the top is flat, degrees; 0: none
    chop: float = 3.0  # how uneven the ends are
    buns: tuple = ()  # centre x, y, z and radius
    shell: bool = True
    cover: float = 1.0  # of the painted scalp


HAIR_STYLES = {
    "bald": HairStyle(shell=False, cover=0.0),
    "buzz": HairStyle(shell=False, cover=0.8),
    "short": HairStyle((8, 11, 5, 7)),
    "quiff": HairStyle((19, 16, 4, 6), lift=9.0),
    "side part": HairStyle((10, 13, 7, 8), (50, None, None, None), (42, None, None, None), slant=20, parting=28),
    "fringe": HairStyle((8, 12, 8, 10), (42, 8, None, -60), (32, -8, None, -75), chop=5.0),
    "curly": HairStyle((18, 22, 16, 18), (46, 20, None, -60), (40, 5, None, -80), curl=6.0),
    "afro": HairStyle((34, 40, 38, 40), curl=4.0),
    "bob": HairStyle((10, 15, 18, 18), (None, -70, -75, -85), (None, -100, -105, -110)),
    "fringed bob": HairStyle((10, 15, 18, 18), (36, -70, -75, -85), (28, -100, -105, -110)),
    "long": HairStyle((9, 13, 16, 16), (None, -125, -140, -150), (None, -190, -200, -210)),
    "wavy": HairStyle((12, 17, 21, 22), (None, -100, -120, -130), (None, -170, -190, -200), curl=5.0, parting=14),
    "bun": HairStyle((6, 8, 5, 6), buns=((0, 132, -28, 25),)),
    "two buns": HairStyle((6, 8, 5, 6), buns=((-52, 108, -16, 24), (52, 108, -16, 24))),
}


def hairline_distance(turn: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Distance of places of the scalp (radians on the sphere of `surface`) behind the hairline, about millimetres."""
    return (_hairline(turn) - np.rad2deg(fall)) * _BELOW


@cache
def hair_shell(style: str, volume: float, length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places [N,3], strand coordinates [N,2] (radians around, millimetres along) and faces [F,3] of the hair.

    volume, length: 0..1. N is the same for all volumes and lengths of a style; 0 for styles without a shell.
    """
    look = HAIR_STYLES[style]
    if not look.shell:
        return np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 3), np.int64)
    turn = np.linspace(-np.pi, np.pi, COLUMNS)
    path = _paths(look, turn, volume, length)
    points, along = _evenly(path)
    points = _curled(points, turn, along, look.curl * (0.6 + 0.8 * volume))
    places, strands = [points.reshape(-1, 3)], [_strands(turn, along)]
    faces = [_grid_faces(COLUMNS, LINES)]
    for x, y, z, radius in look.buns:
        ball, ball_strands, ball_faces = _ball(np.array([x, y, z]), radius * (0.85 + 0.3 * volume))
        faces.append(ball_faces + sum(map(len, places)))
        places.append(ball)
        strands.append(ball_strands)
    return np.concatenate(places), np.concatenate(strands), np.concatenate(faces)


def seen_from_within(style: str, faces: np.ndarray) -> np.ndarray:
    """Which faces of `hair_shell` may show their inside: the lower ones of hair that hangs or stands off far."""
    look = HAIR_STYLES[style]
    if look.ends == (None,) * 4 and look.thickness[2] < 12:
        return np.zeros(len(faces), bool)
    return ((faces < COLUMNS * LINES) & (faces % LINES >= LINES // 3)).any(axis=1)


def _hairline(turn: np.ndarray) -> np.ndarray:
    return smooth_curve(np.rad2deg(abs(turn)), _HAIRLINE[:, 0], _HAIRLINE[:, 1:])[:, 0]


def _around(turn: np.ndarray, front: float, temple: float, side: float, back: float) -> np.ndarray:
    """A quantity around the head from four of its values; nan stays within its sector."""
    angle = np.rad2deg(abs(turn))
    knots = np.array([0.0, 45, 62, 95, 125, 180])
    values = np.array([front, front, temple, side, back, back], float)
    if np.isnan(values).any():
        sector = np.digitize(angle, [56, 80, 112])
        return np.array([front, temple, side, back], float)[sector]
    return smooth_curve(angle, knots, values[:, None])[:, 0]


def _paths(look: HairStyle, turn: np.ndarray, volume: float, length: float) -> np.ndarray:
    """Columns [C,K,3] of points before they are spread evenly: over the scalp, then hanging."""
    share = np.linspace(0, 1, 60)
    fall = (_hairline(turn) - 1.5)[:, None] / 180 * share  # [C,60]
    base = skull(np.repeat(turn, 60), fall.ravel()).reshape(len(turn), 60, 3)
    front, top, side, back = look.thickness
    rim = _around(turn, front, (front + side) / 2, side, back)[:, None]
    thickness = (top + (rim - top) * smooth_step(share, 0.25, 0.75)) * (0.65 + 0.7 * volume)
    ends = _ends(look, turn, length)
    closing = 0.04 + 0.96 * np.sqrt(1 - smooth_step(share, 0.72, 1.0))  # down to the skin at the hairline
    thickness = thickness * np.where(~np.isnan(ends)[:, None], 1.0, closing)
    if look.parting:
        valley = np.exp(-(((np.rad2deg(turn)[:, None] - look.parting) / 9) ** 2))
        thickness = thickness * (1 - 0.5 * valley * (1 - smooth_step(share, 0.9, 1)))
    out = base - _CENTRE
    over = base + out / np.linalg.norm(out, axis=-1, keepdims=True) * thickness[..., None]
    over_forehead = smooth_step(share, 0.35, 0.8) * (1 - smooth_step(share, 0.85, 1))
    ahead = smooth_step(np.cos(turn), 0.5, 0.95)[:, None] * over_forehead
    over[..., 1] += look.lift * ahead
    over[..., 2] += 0.6 * look.lift * ahead
    return np.concatenate([over, _hanging(over[:, -1], base[:, -1], ends, turn)], axis=1)


def _ends(look: HairStyle, turn: np.ndarray, length: float) -> np.ndarray:
    """y at which each column ends; nan where it does not hang."""
    ends = [
        np.nan if short is None else short + length * (long - short)
        for short, long in zip(look.ends, look.long_ends, strict=True)
    ]
    around = _around(turn, *ends)
    around = around + look.chop * np.sin(11 * turn + 1) * np.cos(8 * turn)
    if look.slant:
        around = around + look.slant * np.sin(turn * 1.6).clip(-1, 1) * (abs(turn) < 1.2)
    return around


def _hanging(start: np.ndarray, skin: np.ndarray, ends: np.ndarray, turn: np.ndarray) -> np.ndarray:  # [C,30,3]
    """From the hairline down: over the forehead along the skin, elsewhere straight, a little wider below the ears."""
    share = np.linspace(0, 1, 30)[None, :, None]
    drop = np.where(np.isnan(ends), 0.0, (ends - start[:, 1]).clip(None, 0))[:, None, None] * share
    wide = 1 + 0.10 * smooth_step(-drop, 20, 90) - 0.08 * smooth_step(-drop, 110, 220)
    height = start[:, None, 1:2] + drop
    falling = np.concatenate([start[:, None, :1] * wide, height, start[:, None, 2:] * wide], axis=2)
    off = (start - skin)[:, None] * (1 - 0.5 * share)
    on_skin = np.concatenate([_skin_at(height[..., 0] - 4, turn), height], axis=2)  # x, z, y
    along = np.stack([on_skin[..., 0] + off[..., 0], on_skin[..., 2], on_skin[..., 1] + off[..., 2]], axis=2)
    ahead = smooth_step(np.cos(turn), 0.55, 0.8)[:, None, None]
    return along * ahead + falling * (1 - ahead)


def _skin_at(height: np.ndarray, turn: np.ndarray) -> np.ndarray:  # [C,K], [C] -> [C,K,2]
    """x and z of the skull above the nose at these heights."""
    rows = np.linspace(0, 1 / 3, 400)
    profile = skull(np.repeat(turn, 400), np.tile(rows, len(turn))).reshape(len(turn), 400, 3)[:, ::-1]
    return np.array([
        [np.interp(heights, column[:, 1], column[:, axis]) for axis in (0, 2)]
        for heights, column in zip(height, profile, strict=True)
    ]).transpose(0, 2, 1)  # fmt: skip


def _evenly(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns [C,K,3] as LINES points each, equally far apart, and their distances along the column [C,LINES]."""
    steps = np.linalg.norm(np.diff(path, axis=1), axis=2)
    along = np.concatenate([np.zeros((len(path), 1)), np.cumsum(steps, axis=1)], axis=1)
    wanted = along[:, -1:] * np.linspace(0, 1, LINES)
    points = np.stack([
        np.stack([np.interp(wanted[c], along[c], path[c, :, axis]) for axis in range(3)], axis=1)
        for c in range(len(path))
    ])  # fmt: skip
    return points, wanted


def _curled(points: np.ndarray, turn: np.ndarray, along: np.ndarray, amount: float) -> np.ndarray:
    phase = turn[:, None]
    # whole numbers of waves around, so that the seam behind closes
    wave = np.sin(8 * phase + along / 13) * np.cos(4 * phase - along / 17 + 1) + 0.5 * np.sin(11 * phase - along / 11)
    out = points - _CENTRE
    out = out / np.linalg.norm(out, axis=-1, keepdims=True)
    return points + out * (amount * wave * smooth_step(along, 10, 40))[..., None]


def _strands(turn: np.ndarray, along: np.ndarray) -> np.ndarray:
    return np.stack([np.repeat(turn, along.shape[1]), along.ravel()], axis=1)


def _grid_faces(columns: int, lines: int) -> np.ndarray:
    corner = np.arange(columns * lines).reshape(columns, lines)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def _ball(centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    columns, lines = 17, 9
    turn, fall = np.meshgrid(np.linspace(-np.pi, np.pi, columns), np.linspace(0, np.pi, lines), indexing="ij")
    ball = np.stack([np.sin(fall) * np.sin(turn), np.cos(fall), np.sin(fall) * np.cos(turn)], axis=-1).reshape(-1, 3)
    strands = np.stack([turn.ravel(), fall.ravel() * radius], axis=1)
    return centre + radius * ball, strands, _grid_faces(columns, lines)
