"""What a user asks for, in a node or a command, as a `PersonEdit` and `ReshapeSettings`: the files are looked up."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...face.photo import FaceRequest, embedding_of
from ...options import LARGEST, MOST_ALIKE
from ..edit.edit import edit_shape
from ..edit.editstate import Edit, edit_from_values, parse_edit
from ..ownhead.mesh import head_mesh
from ..reconstruct.landmark_fit import MeanHead, mean_head_of, own_head
from .report import ReshapedFrame, ReshapeReport
from .settings import PersonEdit, ReshapeSettings, Strength
from .video import reshape_frames

if TYPE_CHECKING:
    from ..faceshape import FaceShape

ENTRY = re.compile(r"(\w+)\s*[=:]\s*([+-]?(?:\d+\.?\d*|\.\d+))(?:\s*[,;]\s*|\s+|$)")
SAME = 2e-6  # metres by which an edit may differ from the shape that it made

ALONE = "Expected the 3D face before the edit beside the one after it, got the latter alone. Connect both."
BOTH = (
    "Expected either two 3D faces, before and after the edit, or an edit, got both. Disconnect the 3D face after the "
    "edit, or leave the edit empty."
)
REST = (
    "Expected the 3D face before the edit, as of the photo that the video was made from: without it nobody knows what "
    "is still missing of the edit. Connect it, or switch only_the_rest off."
)
LIKE = (
    "Expected a picture of the person for the way most alike, got none. Connect one, or choose the face by its place."
)
NOTHING = "There is no edit, so every frame is as it came."


@dataclass(frozen=True, eq=False)
class ReshapeRequest:
    """Who is changed in a finished video, and how.

    edit: sliders by name, or as text (`written_edit`). before, after: two 3D faces of one mesh instead of it. strength:
    multiplies the edit, over time, too. how, number: which of the faces, as in `FaceRequest`; like: np.uint8 [H,W,3],
    a picture of the person for the way "most alike". smoothing, in_front: as in `ReshapeSettings`. only_the_rest: adds
    what the video's face still lacks of the edit, in comparison with `before`. folders: in which the ArcFace model and
    the mesh topology may lie. device: of torch.

    Raises ValueError for parts that do not go together, and for an edit that is none.
    """

    edit: str | Mapping = ""
    before: FaceShape | None = None
    after: FaceShape | None = None
    strength: Strength = 1.0
    how: str = LARGEST
    number: int = 0
    like: np.ndarray | None = None
    smoothing: float = 1.5
    in_front: float = 1.0
    only_the_rest: bool = False
    folders: tuple[str | os.PathLike, ...] = ()
    device: str = "cpu"

    def __post_init__(self):
        if self.after is not None and self.before is None:
            raise ValueError(ALONE)
        if self.after is not None and self.edited:
            raise ValueError(BOTH)
        if self.only_the_rest and self.before is None:
            raise ValueError(REST)
        if self.how == MOST_ALIKE and self.like is None:
            raise ValueError(LIKE)

    @cached_property
    def sliders(self) -> Edit:
        """The edit that is not told by 3D faces."""
        return written_edit(self.edit) if isinstance(self.edit, str) else edit_from_values(self.edit)

    @property
    def edited(self) -> bool:
        """Whether the edit names any slider, known or not."""
        return bool(self.sliders.values or self.sliders.notes)


def reshape_as_asked(
    frames: np.ndarray | Iterable[np.ndarray],
    request: ReshapeRequest,
    count: int | None = None,
    report: ReshapeReport | None = None,
) -> Iterator[ReshapedFrame]:
    """`reshape_frames` for a request. Raises as that; RuntimeError or FileNotFoundError without the ArcFace model that
    "most alike" needs."""
    recognise, like = _recogniser(request), None
    if request.how == MOST_ALIKE:
        like = embedding_of(request.like, FaceRequest("mediapipe", folders=request.folders))
    settings = ReshapeSettings(
        request.smoothing,
        request.in_front,
        already=request.before if request.only_the_rest else None,
        recognise=recognise,
        device=request.device,
    )
    person = PersonEdit(edit_of(request), 1.0, request.how, request.number, like)
    return reshape_frames(frames, person, head_of(request), request.strength, settings, count, report)


def written_edit(text: str) -> Edit:
    """The editor's JSON, or sliders as a person types them: "face_width=0.5, nose_length=-0.3".

    Between name and value stands = or :, between sliders a comma, a semicolon or a blank. Raises ValueError for what
    is neither; unknown sliders are named in the edit's notes.
    """
    if not text.strip() or text.lstrip()[:1] in "{[":
        return parse_edit(text)
    values, left = {}, text.strip()
    while left:
        entry = ENTRY.match(left)
        if entry is None:
            raise ValueError(
                f"Expected sliders such as face_width=0.5, nose_length=-0.3, or the editor's JSON, got {left[:60]!r}."
            )
        values[entry[1]], left = float(entry[2]), left[entry.end() :]
    return edit_from_values(values)


def edit_of(request: ReshapeRequest):
    """The edit for `PersonEdit`: sliders where the 3D face after the edit still tells them, else both 3D faces."""
    if request.after is None:
        return request.sliders
    if request.after.edit and len(request.before.vertices) == len(request.after.vertices):
        edit = parse_edit(request.after.edit)
        made = edit_shape(request.before.vertices, edit, plausible=False)
        if float((made - request.after.vertices).abs().max()) < SAME:
            return edit
    return request.before, request.after


def head_of(request: ReshapeRequest) -> MeanHead:
    own = request.before is not None and len(request.before.vertices) == len(head_mesh().template)
    return own_head() if own else mean_head_of(None, request.folders)


def _recogniser(request: ReshapeRequest):
    from ...face.likeness import has_likeness, load_likeness

    if request.how != MOST_ALIKE and not has_likeness(request.folders):
        return None
    return load_likeness(folders=request.folders).embed
