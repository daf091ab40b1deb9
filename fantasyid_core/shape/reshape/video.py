"""The whole way: frames in, frames out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .report import ReshapedFrame, ReshapeReport
from .settings import PersonEdit, ReshapeSettings, Strength

if TYPE_CHECKING:
    from ..reconstruct.landmark_fit import MeanHead
    from ..topology.topology import Topology


def reshape_video(
    frames: np.ndarray | Iterable[np.ndarray],
    edit,
    topology: Topology | MeanHead | None = None,
    strength: Strength = 1.0,
    settings: ReshapeSettings | None = None,
    count: int | None = None,
    report: ReshapeReport | None = None,
) -> np.ndarray | Iterator[np.ndarray]:
    """`reshape_frames` without masks: an array [T,H,W,3] for an array, else an iterator of frames."""
    made = reshape_frames(frames, edit, topology, strength, settings, count, report)
    if not isinstance(frames, np.ndarray):
        return (each.picture for each in made)
    changed = np.empty_like(frames)
    for number, each in enumerate(made):
        changed[number] = each.picture
    return changed


def reshape_frames(
    frames: np.ndarray | Iterable[np.ndarray],
    edit: PersonEdit | Sequence[PersonEdit] | object,
    topology: Topology | MeanHead | None = None,
    strength: Strength = 1.0,
    settings: ReshapeSettings | None = None,
    count: int | None = None,
    report: ReshapeReport | None = None,
) -> Iterator[ReshapedFrame]:
    """The frames with the face of one or several people changed as their edits say, in their order.

    frames: np.uint8 [T,H,W,3] or floats in 0..1, RGB; or an iterable of [H,W,3] frames, which may be endless. edit: a
    `PersonEdit`, several of them, or what the `edit` of one may be, for the largest face. strength: multiplies all
    edits. count: the number of frames, which a strength over time needs when `frames` has no length. report: is filled
    along the way.
    """
    from .thin import thin_frames

    return thin_frames(frames, edit, topology, strength, settings or ReshapeSettings(), count, report)
