"""The whole way: frames in, frames out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .edits import head_for, read_edits
from .report import PersonReport, ReshapedFrame, ReshapeReport
from .settings import PersonEdit, ReshapeSettings, Strength
from .strengths import check_strength
from .timeline import Timeline

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
    """The frames with the face of one or several people changed as their edits say, in their order and of their type.

    frames: np.uint8 [T,H,W,3] or floats in 0..1, RGB; or an iterable of [H,W,3] frames, which may be endless: it is
    read about 100 frames ahead at most. edit: a `PersonEdit`, several of them, or what the `edit` of one may be, for
    the largest face. Without an edit, or with a strength of 0, every frame is returned as it came, bit for bit; so is a
    frame without the face, which the report counts. topology: of FLAME's mesh, see `mean_head_of`. strength: multiplies
    all edits. count: the number of frames, which a strength over time needs when `frames` has no length. report: is
    filled along the way.

    Each person gets one head for the clip. It is fitted to `settings.head_frames` frames: of an array, list or tensor
    they are spread over all of it, of other iterables they are the first ones that show the person.

    Raises ValueError for edits, shapes and settings that cannot be used, at once; and, when it comes to it, for frames
    of another shape or type and for NaN.
    """
    settings, report = settings or ReshapeSettings(), ReshapeReport() if report is None else report
    asked = read_edits(edit, settings)
    for each in (strength, *(one.who.strength for one in asked)):
        check_strength(each)
    if count is None and hasattr(frames, "__len__"):
        count = len(frames)
    head = head_for(asked, topology, settings)
    report.people = [PersonReport(notes=each.notes(head)) for each in asked]
    return Timeline(frames, asked, head, strength, settings, count, report).made()
