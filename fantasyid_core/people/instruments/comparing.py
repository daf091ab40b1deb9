"""Correlations, slopes and distances that the instruments report. Undefined ones (no spread) are NaN."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np


def softened(pictures: np.ndarray, part: float) -> np.ndarray:
    """Pictures [...,S,S,3], blurred by a Gaussian of `part` of their side: float32."""
    frames = pictures.reshape(-1, *pictures.shape[-3:]).astype(np.float32)
    return np.stack([cv2.GaussianBlur(each, (0, 0), part * len(each)) for each in frames]).reshape(pictures.shape)


def correlation(ours: np.ndarray, truth: np.ndarray) -> float:
    """Pearson's, over all values together."""
    ours, truth = (np.asarray(each, np.float64).ravel() for each in (ours, truth))
    ours, truth = ours - ours.mean(), truth - truth.mean()
    size = math.sqrt((ours @ ours) * (truth @ truth))
    return float(ours @ truth / size) if size > 1e-12 else math.nan


class WithinPerson(NamedTuple):
    """correlation: mean of each person's own; one whose readings do not change counts as 0. pooled: over all together,
    each person's mean taken away; people whose readings follow more or less steeply lower it. slope: of the latter."""

    correlation: float
    pooled: float
    slope: float


def within_person(values: np.ndarray, measured: np.ndarray) -> WithinPerson:  # [K], [N,K]
    """How `measured` follows `values` within every one of N people."""
    measured = np.asarray(measured, np.float64)
    values = np.broadcast_to(np.asarray(values, np.float64), measured.shape)
    values = values - values.mean(axis=1, keepdims=True)
    measured = measured - measured.mean(axis=1, keepdims=True)
    each = np.nan_to_num([correlation(*pair) for pair in zip(measured, values, strict=True)])
    slope = float((values * measured).sum() / (values**2).sum())
    return WithinPerson(float(np.mean(each)), correlation(measured, values), slope)


def psnr(ours: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """dB of uint8 pictures; mask: of the pixels that count, without the channels."""
    errors = (ours.astype(np.float64) - truth) ** 2
    error = (errors if mask is None else errors[mask]).mean()
    return float(-10 * math.log10(max(error, 1e-3) / 255**2))


def nearest(vectors: np.ndarray, gallery: np.ndarray) -> np.ndarray:  # [N,E], [M,E] -> [N]
    """The place in the gallery with the largest cosine."""
    directions = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (vectors, gallery)]
    return (directions[0] @ directions[1].T).argmax(axis=1)


def signed_change(frames: np.ndarray, last: bool) -> np.ndarray:  # [T,H,W,3]
    """Last minus first frame, or every frame minus the one before, float32."""
    frames = frames.astype(np.float32)
    return frames[-1] - frames[0] if last else np.diff(frames, axis=0)
