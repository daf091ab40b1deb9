"""The new picture: every pixel is fetched once, at the picture's own resolution, from where the movement says.

What is mixed - a softer picture where the face shrinks, what stands before the face - is mixed as light, not as the
numbers of sRGB, so that edges get no dark rims."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...face.align import opencv
from ..edit.warp import BLUR, shrinking
from .field import LEAST, Field

MASK_FROM, MASK_TO = 0.05, 1.0  # pixels of movement between which the mask rises to 1
MARGIN = 4  # pixels around what is fetched, for cubic interpolation and the softer picture
STEPS = 2**16  # of light, in the way back to bytes


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


def moved_picture(picture: np.ndarray, movement: Movement, fetch=None) -> tuple[np.ndarray, np.ndarray]:
    """The picture [H,W,3] after a movement, and np.float32 [H,W], 0..1, where it was changed.

    fetch: resamples in place of OpenCV, see `gpu`. The picture is not written to; where nothing moves, the result has
    its very values.
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
    new = (fetch or fetched)(picture, shift, there[0].start, there[1].start)
    if movement.kept is not None and movement.kept.any():
        kept = _kept_and_fetched(movement.kept, shift, rows, columns)
        new, changed = mixed(new, picture[there], kept[..., None]), changed * (1 - kept)
    result = picture.copy()
    result[there], mask[there] = new, changed
    return result, mask


def _kept_and_fetched(kept: np.ndarray, shift: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """The share of every pixel that stays: because something stands there, or where its new value would come from."""
    cv2 = opencv()
    across, down = (np.arange(part.start, part.stop, dtype=np.float32) for part in (columns, rows))
    source = cv2.remap(kept, shift[..., 0] + across, shift[..., 1] + down[:, None], cv2.INTER_LINEAR)
    return np.maximum(kept[rows, columns], source)


def fetched(picture: np.ndarray, shift: np.ndarray, top: int, left: int) -> np.ndarray:
    """Pixels of a picture from where `shift` [h,w,2], whose first pixel lies at (left, top) in it, says: bicubic,
    averaged where the picture shrinks."""
    cv2 = opencv()
    low, high = _needed(picture, shift, top, left)
    part = picture[low[1] : high[1], low[0] : high[0]]
    source = np.ascontiguousarray(part if part.dtype in (np.uint8, np.float32) else part.astype(np.float32))
    columns = np.arange(left - low[0], left - low[0] + shift.shape[1], dtype=np.float32)
    rows = np.arange(top - low[1], top - low[1] + shift.shape[0], dtype=np.float32)
    from_x, from_y = shift[..., 0] + columns, shift[..., 1] + rows[:, None]
    sharp = cv2.remap(source, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    softness = shrinking(shift)
    if softness.max() > 1 / 255:
        blurred = cv2.GaussianBlur(source, (0, 0), BLUR)
        soft = cv2.remap(blurred, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
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


def mixed(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:  # [h,w,3], [h,w,3], [h,w,1]
    """Both pictures as light, `other` by its share; in the type of `one`, whose values stay where the share is 0."""
    some = share[..., 0] > 0
    first, second, part = one[some], other[some], share[some]
    light = _light(first) * (1 - part) + _light(second) * part
    result = one.copy()
    result[some] = _stored(light, one.dtype)
    return result


def _light(values: np.ndarray) -> np.ndarray:
    """sRGB -> linear light in 0..1, np.float32."""
    if values.dtype == np.uint8:
        return _table()[values]
    values = values.astype(np.float32)
    return np.where(values <= 0.04045, values / 12.92, ((values.clip(0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _stored(light: np.ndarray, kind) -> np.ndarray:
    """Linear light -> sRGB."""
    if kind == np.uint8:
        return _table_back()[(light * (STEPS - 1) + 0.5).clip(0, STEPS - 1).astype(np.int32)]
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light.clip(1e-9) ** (1 / 2.4) - 0.055).astype(kind)


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    return _light(np.arange(256, dtype=np.float32) / 255)


@lru_cache(maxsize=1)
def _table_back() -> np.ndarray:
    return np.rint(255 * _stored(np.linspace(0, 1, STEPS, dtype=np.float32), np.float32)).astype(np.uint8)


def _window(shift: np.ndarray) -> tuple[slice, slice] | None:
    """The rows and columns between which anything moves."""
    moving = np.abs(shift).max(axis=2) >= LEAST
    rows, columns = np.flatnonzero(moving.any(axis=1)), np.flatnonzero(moving.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
