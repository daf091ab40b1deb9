"""The frontal LBP cascade that scikit-image ships as data, evaluated in NumPy.

A window of 24 x 24 pixels passes a stage when the leaf values of its weak classifiers reach the stage's
threshold. Each looks up one code of 8 bits: which of the eight blocks around the middle one of a 3 x 3 grid
are at least as bright (Zhang et al. 2007, Multi-block LBP). scikit-image's own `Cascade` decides the same per
window, but merges the windows and loses their number, which is what tells faces from chance.

Two passes: a pyramid in steps of `STEP` names candidates; around each one a fixed fine grid of places and
sizes is examined, and the share of the grid that passes is the score.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

WINDOW = 24
STEP = 1.25
BORDER = 10  # pixels at every level, so that a face cut by the edge is still seen
SMALLEST_LEVEL = 18  # with both borders a window still fits, so a face may fill the picture
TILE = 44  # the window and 10 pixels on every side
ZOOMS = 1.06 ** np.arange(-4, 5)
ENOUGH_VOTES = 16  # measured: 139 of 140 pasted faces reach it, places without a face reach 15
MAX_CANDIDATES = 60
OVERLAP = 0.4  # intersection over union from which windows are one candidate
SAME_FACE = 0.3  # the same for the found faces, or one's middle inside the other's
NEIGHBOURS = ((0, 0, 128), (0, 1, 64), (0, 2, 32), (1, 2, 16), (2, 2, 8), (2, 1, 4), (2, 0, 2), (1, 0, 1))


def find_windows(
    grey: Image.Image, enough_votes: int = ENOUGH_VOTES
) -> list[tuple[float, float, float, float]]:
    """Faces in a PIL picture of mode L: (x, y of the middle, side, score), in pixels, the best first.

    x and y count from the picture's corner, so the first pixel's centre is at 0.5. The score is
    v / (v + 16), where v is the number of windows around it that pass, at least `enough_votes`.
    """
    windows = _candidate_windows(grey)
    candidates = _merged(windows)[:MAX_CANDIDATES]
    if not candidates:
        return []
    votes = [window for window in _vote(grey, candidates) if window[3] >= enough_votes]
    faces = []
    for face in sorted(votes, key=lambda face: -face[3]):
        if not any(_is_same(face, other) for other in faces):
            faces.append(face)
    return [(x, y, side, count / (count + ENOUGH_VOTES)) for x, y, side, count in faces]


@lru_cache(maxsize=1)
def load_stages() -> list[tuple[float, list]]:
    """The cascade: per stage its threshold and weak classifiers ((x, y, w, h), leaf value of each code [256]).

    x, y is the corner of the grid in the window, w, h the size of one block.
    """
    # Optional, so not an import statement: scikit-image is no requirement of the pack.
    path = import_module("skimage.data").lbp_frontal_face_cascade_filename()
    root = ElementTree.parse(path).getroot()[0]
    grids = [tuple(int(n) for n in rect.text.split()[:4]) for rect in root.iter("rect")]
    return [
        (
            float(stage.find("stageThreshold").text),
            [_weak_classifier(weak, grids) for weak in stage.find("weakClassifiers")],
        )
        for stage in root.find("stages")
    ]


def scan(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y and x of the corners of all windows of np.uint8 [H,W] that pass the cascade."""
    height, width = grey.shape
    if min(height, width) < WINDOW:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    sums = np.zeros((height + 1, width + 1), np.int32)
    np.cumsum(np.cumsum(grey, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    blocks = {}

    def block_sums(w: int, h: int) -> np.ndarray:
        if (w, h) not in blocks:
            blocks[w, h] = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        return blocks[w, h]

    (threshold, weaks), *later = load_stages()
    shape = (height - WINDOW + 1, width - WINDOW + 1)
    total = sum(_dense_values(block_sums, weak, shape) for weak in weaks)
    ys, xs = np.divmod(np.flatnonzero(total >= threshold), shape[1])  # faster than nonzero in 2D
    for threshold, weaks in later:
        if not len(ys):
            break
        passed = sum(_sparse_values(block_sums, weak, ys, xs) for weak in weaks) >= threshold
        ys, xs = ys[passed], xs[passed]
    return ys, xs


def _weak_classifier(weak, grids) -> tuple:
    node = weak.find("internalNodes").text.split()
    leaves = [float(value) for value in weak.find("leafValues").text.split()]
    words = np.array([int(word) for word in node[3:11]], np.int64).astype(np.uint32)
    chosen = (words[:, None] >> np.arange(32, dtype=np.uint32)) & 1  # [8,32] -> bit of code 32 i + j
    return grids[int(node[2])], np.where(chosen.ravel(), *leaves).astype(np.float32)


def _dense_values(block_sums, weak, shape) -> np.ndarray:
    (x, y, w, h), leaf_of_code = weak
    sums = block_sums(w, h)

    def block(row, column):
        top, left = y + row * h, x + column * w
        return sums[top : top + shape[0], left : left + shape[1]]

    return leaf_of_code.take(_codes(block, shape))


def _sparse_values(block_sums, weak, ys, xs) -> np.ndarray:
    (x, y, w, h), leaf_of_code = weak
    sums = block_sums(w, h)
    flat, stride = sums.ravel(), sums.shape[1]
    corner = (ys + y) * stride + xs + x

    def block(row, column):
        return flat.take(corner + (row * h * stride + column * w))

    return leaf_of_code.take(_codes(block, ys.shape))


def _codes(block, shape) -> np.ndarray:
    middle, codes = block(1, 1), np.zeros(shape, np.uint8)
    for row, column, bit in NEIGHBOURS:
        codes |= (block(row, column) >= middle).view(np.uint8) * np.uint8(bit)
    return codes


def _candidate_windows(grey: Image.Image) -> np.ndarray:
    """Middle x, y and side [N,3] of all windows of the pyramid that pass."""
    found, zoom = [np.zeros((0, 3))], 1.0
    while min(grey.size) / zoom >= SMALLEST_LEVEL:
        level = grey if zoom == 1 else _smaller(grey, zoom)
        ys, xs = scan(np.pad(np.asarray(level), BORDER, mode="edge"))
        middles = np.stack([xs, ys], axis=1) - BORDER + WINDOW / 2
        sides = np.full((len(ys), 1), float(WINDOW))
        found.append(np.hstack([middles, sides]) * zoom)
        zoom *= STEP
    return np.concatenate(found)


def _smaller(grey: Image.Image, zoom: float) -> Image.Image:
    from PIL import Image

    return grey.resize([round(side / zoom) for side in grey.size], Image.Resampling.BILINEAR)


def _merged(windows: np.ndarray) -> list[np.ndarray]:
    """Mean windows [3] of the groups of overlapping windows, largest group first."""
    near = _overlaps(windows) >= OVERLAP
    free, groups = np.ones(len(windows), bool), []
    while free.any():
        counts = (near & free).sum(axis=1) * free
        members = near[counts.argmax()] & free
        groups.append((members.sum(), windows[members].mean(axis=0)))
        free &= ~members
    return [window for _, window in sorted(groups, key=lambda group: -group[0])]


def _overlaps(windows: np.ndarray) -> np.ndarray:
    low, high = windows[:, :2] - windows[:, 2:] / 2, windows[:, :2] + windows[:, 2:] / 2
    shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = shared.clip(0).prod(axis=-1)
    areas = windows[:, 2] ** 2
    return shared / (areas[:, None] + areas - shared)


def _is_same(face, other) -> bool:
    small, large = sorted((face, other), key=lambda some: some[2])
    inside = max(abs(small[0] - large[0]), abs(small[1] - large[1])) < large[2] / 2
    return inside or _overlaps(np.array([face[:3], other[:3]]))[0, 1] >= SAME_FACE


def _vote(grey: Image.Image, candidates: list[np.ndarray]) -> list[tuple]:
    """Median middle and side of the windows of the fine grid that pass, and their number, per candidate."""
    tiles = [_tile(grey, window, zoom) for window in candidates for zoom in ZOOMS]
    ys, xs = scan(np.concatenate(tiles))  # one under the other: one scan instead of hundreds
    tile, ys = np.divmod(ys, TILE)
    whole = ys <= TILE - WINDOW  # not across two tiles
    owner, nth = np.divmod(tile[whole], len(ZOOMS))
    offsets = np.stack([xs[whole], ys[whole]], axis=1) + (WINDOW - TILE) / 2
    votes = []
    for index, window in enumerate(candidates):
        mine = owner == index
        if mine.any():
            scale = window[2] * ZOOMS[nth[mine]] / WINDOW
            x, y = np.median(window[:2] + offsets[mine] * scale[:, None], axis=0)
            votes.append((float(x), float(y), float(np.median(scale) * WINDOW), int(mine.sum())))
    return votes


def _tile(grey: Image.Image, window: np.ndarray, zoom: float) -> np.ndarray:
    """np.uint8 [TILE,TILE] around a window, which becomes WINDOW / zoom pixels large; edges are repeated."""
    from PIL import Image

    reach = window[2] * zoom * TILE / WINDOW / 2
    low = np.floor(window[:2] - reach).astype(int)
    high = np.ceil(window[:2] + reach).astype(int)
    size = np.array(grey.size)
    inner = np.clip([low, high], 0, size)
    part = np.asarray(grey.crop((*inner[0], *inner[1])))
    (left, top), (right, bottom) = inner[0] - low, high - inner[1]
    padded = Image.fromarray(np.pad(part, ((top, bottom), (left, right)), mode="edge"))
    box = (*(window[:2] - reach - low), *(window[:2] + reach - low))
    return np.asarray(padded.resize((TILE, TILE), Image.Resampling.BILINEAR, box=box))
