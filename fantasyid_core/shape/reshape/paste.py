"""The new picture: every pixel is fetched once, at the picture's own resolution, from where the movement says.

What is mixed - a softer picture where the face shrinks, what stands before the face - is mixed as light, not as the
numbers of sRGB, so that edges get no dark rims."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..edit.warp import shrinking
from .behind import without
from .field import LEAST, Field
from .light import mixed
from .resample import Resample, with_opencv

MASK_FROM, MASK_TO = 0.05, 1.0  # pixels of movement between which the mask rises to 1
MARGIN = 4  # pixels around what is fetched, for cubic interpolation and the softer picture


class Movement(NamedTuple):
    """Of a part of a picture: `shift` np.float32 [h,w,2], pixels to add to a pixel's place to get where it comes from;
    kept: np.float32 [h,w], 0..1, what stays because it stands before the face, or None. left, top: of the part."""

    left: int
    top: int
    shift: np.ndarray
    kept: np.ndarray | None = None


def joined(fields: list[Field], kept: list[np.ndarray | None]) -> Movement:
    """The movements of several people as one: where they reach over each other, they add up. kept: [h,w] on the
    fields' grids."""
    grids = [field.grid for field in fields]
    left, top = min(grid.left for grid in grids), min(grid.top for grid in grids)
    right, bottom = (
        max(getattr(g, at) + getattr(g, by) for g in grids) for at, by in (("left", "width"), ("top", "height"))
    )
    shift, standing = np.zeros((bottom - top, right - left, 2), np.float32), None
    for field, share in zip(fields, kept, strict=True):
        grid = field.grid
        there = (
            slice(grid.top - top, grid.top - top + grid.height),
            slice(grid.left - left, grid.left - left + grid.width),
        )
        shift[there] += field.full()
        if share is not None:
            standing = np.zeros(shift.shape[:2], np.float32) if standing is None else standing
            standing[there] = np.maximum(standing[there], share)
    return Movement(left, top, shift, standing)


def moved_picture(
    picture: np.ndarray, movement: Movement, resample: Resample = with_opencv
) -> tuple[np.ndarray, np.ndarray]:
    """The picture [H,W,3] after a movement, and np.float32 [H,W], 0..1, where it was changed.

    The picture is not written to; where nothing moves, the result has its very values.
    """
    mask, window = np.zeros(picture.shape[:2], np.float32), _window(movement.shift)
    if window is None:
        return picture, mask
    rows, columns = window
    shift = movement.shift[window]
    there = (
        slice(movement.top + rows.start, movement.top + rows.stop),
        slice(movement.left + columns.start, movement.left + columns.stop),
    )
    changed = ((np.hypot(*np.moveaxis(shift, -1, 0)) - MASK_FROM) / (MASK_TO - MASK_FROM)).clip(0, 1)
    covered = movement.kept is not None and movement.kept.any()
    behind = _behind(picture, movement) if covered else picture
    new = fetched(behind, shift, there[0].start, there[1].start, resample)
    if covered:
        kept = movement.kept[window]
        new, changed = mixed(new, picture[there], kept[..., None]), changed * (1 - kept)
    result = picture.copy()
    result[there], mask[there] = new, changed
    return result, mask


def _behind(picture: np.ndarray, movement: Movement) -> np.ndarray:
    """The picture without what stands before the face, so that none of it is fetched from beside it."""
    height, width = movement.kept.shape
    part = slice(movement.top, movement.top + height), slice(movement.left, movement.left + width)
    result = picture.copy()
    result[part] = without(picture[part], movement.kept)
    return result


def fetched(picture: np.ndarray, shift: np.ndarray, top: int, left: int, resample: Resample) -> np.ndarray:
    """Pixels of a picture from where `shift` [h,w,2], whose first pixel lies at (left, top) in it, says: bicubic,
    averaged where the picture shrinks."""
    low, high = _needed(picture, shift, top, left)
    part = picture[low[1] : high[1], low[0] : high[0]]
    source = np.ascontiguousarray(part if part.dtype in (np.uint8, np.float32) else part.astype(np.float32))
    columns = np.arange(left - low[0], left - low[0] + shift.shape[1], dtype=np.float32)
    rows = np.arange(top - low[1], top - low[1] + shift.shape[0], dtype=np.float32)
    from_x, from_y = shift[..., 0] + columns, shift[..., 1] + rows[:, None]
    softness = shrinking(shift)
    sharp, soft = resample(source, from_x, from_y, bool(softness.max() > 1 / 255))
    if soft is not None:
        sharp = mixed(sharp, soft, softness[..., None])
    still = np.abs(shift).max(axis=2) < LEAST
    sharp[still] = picture[top : top + shift.shape[0], left : left + shift.shape[1]][still]
    return sharp.astype(picture.dtype, copy=False)


def _needed(picture: np.ndarray, shift: np.ndarray, top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the part of a picture that is fetched from."""
    reach = np.ceil(np.abs(shift).max(axis=(0, 1))).astype(int) + MARGIN
    first = np.array([left, top])
    limits = np.array(picture.shape[1::-1])
    return (first - reach).clip(0, limits - 1), (first + shift.shape[1::-1] + reach).clip(1, limits)


def _window(shift: np.ndarray) -> tuple[slice, slice] | None:
    """The rows and columns between which anything moves."""
    moving = np.abs(shift).max(axis=2) >= LEAST
    rows, columns = np.flatnonzero(moving.any(axis=1)), np.flatnonzero(moving.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
