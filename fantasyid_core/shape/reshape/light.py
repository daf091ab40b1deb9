"""Mixes pictures as light, not as the numbers of sRGB."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

STEPS = 2**16  # of light, in the way back to bytes


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
