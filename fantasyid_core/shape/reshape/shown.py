"""How much of an edit a finished video shows already: the meter of a model that was asked for an edited face.

The head of the video's person is fitted to its frames and compared with the 3D face before the edit. The fit leans to
the average head, so it sees a part of what is there, another one of each slider. A yardstick tells how large this part
is: some of the frames are reshaped by the whole edit, and measured in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ...running.progress import ask
from ..edit.editstate import Edit
from ..edit.faceframe import checked_vertices, face_frame
from ..reconstruct.landmark_fit import MeanHead
from .cliphead import clip_head
from .edits import already_moved
from .frames import checked_frames
from .meter import WHOLE
from .request import ReshapeRequest, edit_of, head_of
from .settings import PersonEdit, ReshapeSettings
from .track import Follower, Seen
from .video import reshape_frames

PARTS = 6  # of the video, that tell how much the amount changes over time
SAMPLES = 12  # frames that are reshaped
NEEDS = "Expected a 3D face before the edit, and the edit or a 3D face after it, got less. Connect both faces."


class Shown(NamedTuple):
    """name: of a slider, or `WHOLE` for two shapes. asked: the slider's value, 1 for two shapes. seen: of it, by the
    whole video; spread: its standard deviation from part to part of the video. whole: what the same measure sees more
    of once the whole edit is added to the video."""

    name: str
    asked: float
    seen: float
    spread: float
    whole: float

    def sentence(self) -> str:
        return (
            f"{self.name}: asked {self.asked:+.2f}. Landmarks see {self.seen:+.2f} in the video (spread "
            f"{self.spread:.2f}); of the whole edit they see {self.whole:+.2f}."
        )


def shown_in(frames: np.ndarray | Iterable[np.ndarray], request: ReshapeRequest) -> list[Shown]:
    """What the video [T,H,W,3] shows of the request's edit, in comparison with the 3D face before it.

    Sliders without a quantity that can be measured are left out; the list is empty for a video without a face. Raises
    ValueError for a request without a face before the edit or without an edit, and for frames as `reshape_frames`.
    """
    edit = edit_of(request)
    if request.before is None or not (request.edited or request.after is not None):
        raise ValueError(NEEDS)
    person = PersonEdit(edit, 1.0, request.how, request.number)
    pictures, points = _followed(frames, person, request.device)
    if not points:
        return []
    head = head_of(request)
    there = _amounts(points, edit, head, request)
    parts = [_amounts(part, edit, head, request) for part in _parts(points)]
    both = [_amounts(some, edit, head, request) for some in _reshaped(pictures, person, head, request.device) if some]
    told = []
    for name, (asked, seen) in there.items():
        whole = both[1][name][1] - both[0][name][1] if len(both) == 2 else 0.0
        told.append(Shown(name, asked, seen, float(np.std([part[name][1] for part in parts])), whole))
    return told


def _followed(frames, person: PersonEdit, device: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Some frames np.uint8 [H,W,3] with the person, and the points [478,3] in all of those."""
    follow, points, kept, every = Follower([person], device=device), [], [], 1
    for frame in checked_frames(frames):
        ask()
        (seen,) = follow(frame.bytes).people
        if not isinstance(seen, Seen):
            continue
        if len(points) % every == 0:
            kept.append(frame.bytes)
        points.append(seen.points)
        if len(kept) >= 2 * SAMPLES:  # spread over a video of any length
            kept, every = kept[::2], 2 * every
    return kept[:: -(-len(kept) // SAMPLES) or 1], points


def _reshaped(pictures: list[np.ndarray], person: PersonEdit, head: MeanHead, device: str) -> tuple[list, list]:
    """The points in frames, and in the same frames with the whole edit."""
    found = [], []
    for picture in pictures:
        ask()
        (made,) = reshape_frames([picture], person, head, settings=ReshapeSettings(measure_every=0, device=device))
        for points, each in zip(found, (picture, made.picture), strict=True):
            (seen,) = Follower([person], device=device)(each).people
            points += [seen.points] if isinstance(seen, Seen) else []
    return found


def _parts(points: list) -> list[list]:
    edges = np.linspace(0, len(points), min(PARTS, len(points)) + 1).astype(int)
    return [points[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def _amounts(points: list, edit, head: MeanHead, request: ReshapeRequest) -> dict[str, tuple[float, float]]:
    """Name -> (asked, shown)."""
    vertices = clip_head(points, head).vertices
    if isinstance(edit, Edit):
        there = already_moved(edit, vertices, request.before)
        return {name: (max(edit.values[name], key=abs), amount) for name, amount in there.items()}
    before, after, ours = (_upright(each) for each in (*edit, vertices))
    way = after - before
    return {WHOLE: (1.0, float(((ours - before) * way).sum() / max((way * way).sum(), 1e-12)))}


def _upright(shape) -> np.ndarray:  # [V,3] millimetres of a head of mean size, the eyes at the origin
    vertices = checked_vertices(getattr(shape, "vertices", shape))
    return face_frame(vertices).upright(vertices)
