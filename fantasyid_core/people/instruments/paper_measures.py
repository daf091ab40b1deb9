"""The paper's four measures (section 4.2) on drawn people, for whom ArcFace and Inception were not trained.

RS and IFS use the probe's vectors instead of ArcFace's, and FID uses them instead of Inception's features. FM is as in
the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...evaluation.frechet import fid
from ...evaluation.motion import face_motion
from ...evaluation.similarity import inter_frame_similarity, reference_similarity

NAMES = ("RS", "IFS", "FM", "FID")


def paper_measures(
    clips: np.ndarray, vectors: np.ndarray, references: np.ndarray, true_vectors: np.ndarray, heads: np.ndarray
) -> dict[str, float]:
    """RS: mean cosine of every frame and the reference; IFS: of consecutive frames. FM: mean length of the optical flow
    in the head's box, pixels per frame. FID: Frechet distance of all frames' vectors and the true renders' (NaN for
    fewer frames than the vectors' width).

    clips uint8 [N,T,H,W,3]; vectors and true_vectors [N,T,E], references [N,E]: by the probe; heads bool [N,T,H,W]:
    where the true head is. Errors as the functions of `evaluation.similarity` and `evaluation.motion`.
    """
    people = range(len(clips))
    return {
        "RS": float(np.mean([reference_similarity(references[n], vectors[n]) for n in people])),
        "IFS": float(np.mean([inter_frame_similarity(vectors[n]) for n in people])),
        "FM": float(np.mean([face_motion(clips[n], _boxes(heads[n])) for n in people])),
        "FID": _distance(vectors, true_vectors),
    }


def _distance(vectors: np.ndarray, true_vectors: np.ndarray) -> float:
    ours, true = (each.reshape(-1, each.shape[-1]) for each in (vectors, true_vectors))
    return fid(ours, true) if len(ours) > ours.shape[1] else math.nan


def _boxes(head: np.ndarray) -> Sequence[tuple[int, int, int, int]]:  # bool [T,H,W] -> x0, y0, x1, y1 of every frame
    boxes = []
    for shown in head:
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return boxes
