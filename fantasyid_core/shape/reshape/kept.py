"""The mask of what stands before a face, at the picture's own resolution.

The covered places of the head say roughly where something stands. GrabCut (Rother et al. 2004) then finds the pixels of
its colours, also beside the face, and a guided filter (He et al. 2010) finds its edge in the full picture."""

from __future__ import annotations

import numpy as np

from ...face.align import opencv
from ..draw.raster import interpolate
from .cliphead import Lying
from .covering import Covered, reduced
from .field import Grid, draw_on

SURELY, HARDLY = 0.85, 0.15  # covered
ROUNDS = 2
SMALLEST = 12  # pixels of the drawing
RADIUS, STIFFNESS = 2, 40.0  # of the guided filter: pixels of the drawing, levels of 255 that count as an edge
WIDER = 1  # pixels of the drawing by which the mask is larger than what is seen


def kept_mask(picture: np.ndarray, grid: Grid, lying: Lying, faces: np.ndarray, covered: Covered) -> np.ndarray | None:
    """np.float32 [height,width] of the grid's part of a picture np.uint8 [H,W,3], 0..1; None without any."""
    cv2 = opencv()
    drawing = draw_on(grid, lying.vertices, faces)
    both = np.column_stack([covered.share, covered.told])
    share, told = np.moveaxis(interpolate(both, faces, drawing.index, drawing.barycentric), -1, 0)
    small = reduced(picture, grid)
    rough = _cut_out(small, share, told > 0.5)
    if rough is None:
        return None
    rough = cv2.dilate(rough.astype(np.float32), np.ones((2 * WIDER + 1,) * 2))
    return guided(np.ascontiguousarray(grid.cut(picture)), small, rough)


def _cut_out(small: np.ndarray, share: np.ndarray, told: np.ndarray) -> np.ndarray | None:  # bool [h,w]
    cv2 = opencv()
    sure = share > SURELY
    if sure.sum() < SMALLEST:
        return None
    marks = np.full(share.shape, cv2.GC_PR_BGD, np.uint8)
    marks[told & (share < HARDLY)] = cv2.GC_BGD
    marks[share > 0.5] = cv2.GC_PR_FGD
    marks[sure] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(small, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)
    count, labels = cv2.connectedComponents(found)
    touched = np.zeros(count, bool)
    touched[np.unique(labels[sure])] = True
    touched[0] = False
    return touched[labels]


def guided(picture: np.ndarray, small: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """A rough mask [h,w] of a small picture, with the edges of the large one."""
    cv2 = opencv()
    size = (2 * RADIUS + 1,) * 2
    mean = lambda values: cv2.blur(values, size)  # noqa: E731
    guide = small.astype(np.float32)
    middle, level = mean(guide), mean(rough)
    covariance = np.empty((*rough.shape, 3, 3), np.float32)
    for one in range(3):
        for other in range(3):
            product = mean(np.ascontiguousarray(guide[..., one] * guide[..., other]))
            covariance[..., one, other] = product - middle[..., one] * middle[..., other]
    covariance += STIFFNESS * np.eye(3, dtype=np.float32)
    along = mean(guide * rough[..., None]) - middle * level[..., None]
    slope = np.linalg.solve(covariance, along[..., None])[..., 0].astype(np.float32)
    offset = level - (slope * middle).sum(axis=-1)
    slope, offset = mean(slope), mean(offset)
    wide = picture.shape[1::-1]
    slope, offset = (cv2.resize(values, wide, interpolation=cv2.INTER_LINEAR) for values in (slope, offset))
    return ((slope * picture).sum(axis=-1) + offset).clip(0, 1)
