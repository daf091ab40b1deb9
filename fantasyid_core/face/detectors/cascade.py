"""The frontal LBP cascade that scikit-image ships as data, evaluated in NumPy.

A window of 24 x 24 pixels passes a stage when the leaf values of its weak classifiers reach the stage's
threshold. Each looks up one code of 8 bits: which of the eight blocks around the middle one of a 3 x 3 grid
are at least as bright (Zhang et al. 2007, Multi-block LBP). scikit-image's own `Cascade` decides the same per
window, but merges the windows and loses their number, which is what tells faces from chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from xml.etree import ElementTree

import numpy as np

WINDOW = 24
CELL = 4
BAND = 40_000  # windows that are decided together, so that they fit the processor's cache
EARLY = 3  # stages after the first that are decided per band, before few windows are left
# Row and column of the blocks around the middle one, from the highest bit of the code to the lowest.
AROUND = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))


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


def scan(grey: np.ndarray, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """y and x of the corners of the windows of np.uint8 [H,W] that pass, out of those at every `stride` pixels."""
    if min(grey.shape) < WINDOW:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    return scan_levels([grey], stride)[1:]


def scan_levels(
    levels: list[np.ndarray], stride: int = 1, contrast: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`scan` of several pictures with sides of at least `WINDOW`: picture, y and x of the windows that pass.

    contrast: windows with a smaller standard deviation, in grey levels, are left out (measured in cells of
    `CELL` pixels, and to within as many).
    """
    canvas, corners = _packed(levels, stride)  # many small pictures would cost more in calls than in work
    rows, columns = ((side - WINDOW) // stride + 1 for side in canvas.shape)
    owners = np.full((rows, columns), -1, np.int16)
    for owner, (level, (y, x)) in enumerate(zip(levels, corners // stride, strict=True)):
        below, right = ((side - WINDOW) // stride + 1 for side in level.shape)
        owners[y : y + below, x : x + right] = owner
    ys, xs = _scan_canvas(canvas, owners >= 0, stride, contrast)
    owner = owners[ys // stride, xs // stride]
    return owner, ys - corners[owner, 0], xs - corners[owner, 1]


def scan_tiles(tiles: np.ndarray, stride: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tile, y and x of the corners of the windows of np.uint8 [N,H,W] that pass, at every `stride` pixels."""
    count, height, width = tiles.shape
    offsets = [np.arange(0, side - WINDOW + 1, stride) for side in (height, width)]
    nth, ys, xs = (some.ravel() for some in np.meshgrid(np.arange(count), *offsets, indexing="ij"))
    sums = _integral(tiles.reshape(count * height, width))
    places = _narrowed((nth * height + ys) * sums.shape[1] + xs, sums, load_stages())
    ys, xs = np.divmod(places, sums.shape[1])
    return ys // height, ys % height, xs


def _packed(levels: list[np.ndarray], stride: int) -> tuple[np.ndarray, np.ndarray]:
    """One picture that holds all, and their corners y, x [N,2], multiples of `stride`: shelves, filled in turn."""
    sizes = [-(-np.array(level.shape) // stride) * stride for level in levels]
    width, bottom, shelves, corners = max(size[1] for size in sizes), 0, [], []
    for size in sizes:
        shelf = next((shelf for shelf in shelves if shelf[1] >= size[0] and shelf[2] + size[1] <= width), None)
        if shelf is None:
            shelf = [bottom, size[0], 0]  # top, height, width that is taken
            shelves.append(shelf)
            bottom += size[0]
        corners.append((shelf[0], shelf[2]))
        shelf[2] += size[1]
    canvas = np.zeros((bottom, width), np.uint8)
    for level, (y, x) in zip(levels, corners, strict=True):
        canvas[y : y + level.shape[0], x : x + level.shape[1]] = level
    return canvas, np.array(corners)


def _scan_canvas(canvas: np.ndarray, wanted: np.ndarray, stride: int, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """y and x of those windows that pass, out of the `wanted` ones: bool, one for every `stride` pixels."""
    sums, passed = _integral(canvas), []
    if contrast > 0:
        wanted = wanted & _has_contrast(sums, contrast, wanted.shape, stride)
    width, rows = sums.shape[1], max(1, BAND // wanted.shape[1])
    first, *later = load_stages()
    for top in range(0, wanted.shape[0], rows):
        here = wanted[top : top + rows]
        band = sums[top * stride : (top + len(here)) * stride + WINDOW]
        ys, xs = np.nonzero(here & _dense(first, band, here.shape, stride))
        places = _narrowed((ys * width + xs) * stride, band, later[:EARLY])
        passed.append(places + top * stride * width)
    return np.divmod(_narrowed(np.concatenate(passed), sums, later[EARLY:]), width)


def _has_contrast(sums: np.ndarray, least: float, shape: tuple[int, int], stride: int) -> np.ndarray:
    """Whether the standard deviation in a window is at least so large, about: bool of `shape`."""
    corners = sums[::CELL, ::CELL]
    cells = np.diff(np.diff(corners, axis=0), axis=1) / CELL**2
    mean, mean_square = (_window_means(values, WINDOW // CELL) for values in (cells, cells**2))
    enough = mean_square - mean**2 >= least**2
    rows, columns = (
        np.minimum(np.arange(count) * stride // CELL, length - 1)
        for count, length in zip(shape, enough.shape, strict=True)
    )
    return enough[rows][:, columns]


def _window_means(values: np.ndarray, side: int) -> np.ndarray:
    sums = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2


def _dense(stage: tuple[float, list], sums: np.ndarray, shape: tuple[int, int], stride: int) -> np.ndarray:
    """Which of all windows pass a stage: bool of `shape`."""
    # Where a stride skips, what it reads is gathered first: whole arrays are faster than every other number.
    phases = {(i, j): sums[i::stride, j::stride].copy() for i in range(stride) for j in range(stride)}

    def corner(y: int, x: int) -> np.ndarray:
        top, left = y // stride, x // stride
        return phases[y % stride, x % stride][top : top + shape[0], left : left + shape[1]]

    return _passes(stage, corner)


def _narrowed(places: np.ndarray, sums: np.ndarray, stages: list) -> np.ndarray:
    """Those of the windows that pass all stages; a place is y * width + x of the corner in `sums`."""
    flat, width = sums.ravel(), sums.shape[1]
    for stage in stages:
        if not len(places):
            break
        here = places
        places = here[_passes(stage, lambda y, x, here=here: flat[y * width + x :].take(here))]
    return places


def _passes(stage: tuple[float, list], corner: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """Which windows pass; corner(y, x): the integral picture at that place of every window."""
    threshold, weaks = stage
    return sum(leaf_of_code.take(_codes(grid, corner)) for grid, leaf_of_code in weaks) >= threshold


def _codes(grid: tuple[int, int, int, int], corner: Callable[[int, int], np.ndarray]) -> np.ndarray:
    x, y, w, h = grid
    above, blocks = None, []
    for row in range(4):
        corners = [corner(y + row * h, x + column * w) for column in range(4)]
        if above is not None:
            columns = [low - high for low, high in zip(corners, above, strict=True)]
            blocks.append([right - left for left, right in zip(columns, columns[1:], strict=False)])
        above = corners
    codes = np.zeros(blocks[0][0].shape, np.uint8)
    for row, column in AROUND:
        codes += codes  # a shift to the left, several times faster
        codes |= (blocks[row][column] >= blocks[1][1]).view(np.uint8)
    return codes


def _integral(grey: np.ndarray) -> np.ndarray:
    """Sums [H+1,W+1] over all pixels above and to the left; overflow does no harm to their differences."""
    sums = np.zeros((grey.shape[0] + 1, grey.shape[1] + 1), np.int32)
    np.cumsum(grey, axis=1, dtype=np.int32, out=sums[1:, 1:])
    for above, row in zip(sums[1:], sums[2:], strict=False):  # several times faster than np.cumsum along columns
        row += above
    return sums


def _weak_classifier(weak, grids) -> tuple:
    node = weak.find("internalNodes").text.split()
    leaves = [float(value) for value in weak.find("leafValues").text.split()]
    words = np.array([int(word) for word in node[3:11]], np.int64).astype(np.uint32)
    chosen = (words[:, None] >> np.arange(32, dtype=np.uint32)) & 1  # [8,32] -> bit of code 32 i + j
    return grids[int(node[2])], np.where(chosen.ravel(), *leaves).astype(np.float32)
