"""What an edit is on the head of a clip: the displacement of its vertices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...options import MOST_ALIKE
from ..edit.controls import face_controls
from ..edit.controltable import CONTROLS
from ..edit.editstate import Edit, edit_from_values, parse_edit
from ..edit.faceframe import checked_vertices, face_frame
from ..faceshape import VERTEX_COUNT, FaceShape
from ..ownhead.mesh import head_mesh
from ..reconstruct.landmark_fit import MeanHead, mean_head_of, own_head
from .settings import PersonEdit, ReshapeSettings

OTHER_MESH = (
    "Expected shapes of {wanted} vertices ({mesh}), got {found}. Use shapes that Reconstruct Face made and Edit Shape "
    "changed, or the sliders' values themselves."
)


@dataclass(frozen=True, eq=False)
class Asked:
    """An edit that was read. sliders: the values, for an edit of sliders. shift: [V,3] millimetres of a head of mean
    size along its axes, for a pair of shapes."""

    who: PersonEdit
    sliders: Edit | None
    shift: np.ndarray | None

    @property
    def empty(self) -> bool:
        return not (self.sliders.values if self.shift is None else self.shift.any())

    def displacement(self, vertices: np.ndarray, values: Mapping | None = None) -> np.ndarray:  # [V,3] -> [V,3]
        """Metres, on a neutral head. values: instead of the sliders' own."""
        if self.shift is not None:
            return face_frame(vertices).turned(self.shift)
        controls = face_controls(vertices, plausible=self.sliders.plausible)
        values = self.sliders.values if values is None else values
        return controls.displacement({name: pair for name, pair in values.items() if name in controls.controls})

    def notes(self, head: MeanHead) -> list[str]:
        if self.sliders is None:
            return []
        missing = [name for name in self.sliders.values if name not in face_controls(head.template).controls]
        told = f"Without effect on this head: {', '.join(missing[:5])}."
        return [*self.sliders.notes, *([told] if missing else [])]


def read_edits(edit, settings: ReshapeSettings) -> list[Asked]:
    """The edits of all people. Raises ValueError for what is none, and for two shapes of different meshes."""
    several = isinstance(edit, Sequence) and len(edit) and all(isinstance(each, PersonEdit) for each in edit)
    people = list(edit) if several else [edit if isinstance(edit, PersonEdit) else PersonEdit(edit)]
    if settings.recognise is None and any(who.how == MOST_ALIKE for who in people):
        raise ValueError(
            "The most alike face is found by an ArcFace model, which is not there. Give one as `recognise`, or choose "
            "the face by its place."
        )
    return [_read(who) for who in people]


def head_for(asked: list[Asked], topology, settings: ReshapeSettings) -> MeanHead:
    """The mean head of the mesh that shapes have; without shapes that of the topology, see `mean_head_of`.

    Raises ValueError for a mesh that landmarks cannot be placed on.
    """
    counts = {len(each.shift) for each in asked if each.shift is not None}
    if settings.already is not None:
        counts.add(len(_vertices(settings.already)))
    own = len(head_mesh().template)
    head = own_head() if topology is None and counts == {own} else mean_head_of(topology)
    count = len(head.template)
    if counts - {count}:
        mesh = {VERTEX_COUNT: "FLAME's", own: "the project's own head"}.get(count, "another mesh")
        raise ValueError(OTHER_MESH.format(wanted=count, mesh=mesh, found=" and ".join(map(str, sorted(counts)))))
    return head


def already_moved(sliders: Edit, vertices: np.ndarray, reference) -> dict[str, float]:
    """By how much a head [V,3] differs from the reference in the quantity of each slider, in slider values."""
    from ..edit.controls import measure_face

    reference = checked_vertices(_vertices(reference))
    before, after = measure_face(reference), measure_face(vertices)
    unit = {}
    for name in sliders.values:
        amount = CONTROLS[name].amount if name in CONTROLS else None
        if amount is None or name not in before:
            continue
        size = before[name] * float(amount.rstrip(" %")) / 100 if isinstance(amount, str) else amount
        unit[name] = (after[name] - before[name]) / size
    return unit


def only_the_rest(sliders: Edit, already: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """The values less what is there already in their direction; never beyond what is asked, nor back."""
    rest = {}
    for name, (left, right) in sliders.values.items():
        asked = (left + right) / 2
        share = already.get(name, 0.0) / asked if asked else 0.0
        rest[name] = tuple(value * (1 - min(max(share, 0.0), 1.0)) for value in (left, right))
    return rest


def _read(who: PersonEdit) -> Asked:
    edit = who.edit
    if isinstance(edit, Edit):
        return Asked(who, edit, None)
    if edit is None or isinstance(edit, str):
        return Asked(who, parse_edit(edit), None)
    if isinstance(edit, Mapping):
        return Asked(who, edit_from_values(edit), None)
    if isinstance(edit, Sequence) and len(edit) == 2:
        return Asked(who, None, _shift(*edit))
    raise ValueError(
        f"Expected an edit such as {{'face_width': 0.5}}, the editor's state, or the shapes before and after, got "
        f"{type(edit).__name__}."
    )


def _shift(before, after) -> np.ndarray:
    before, after = (checked_vertices(_vertices(shape)) for shape in (before, after))
    if before.shape != after.shape:
        raise ValueError(
            f"Expected two heads of one mesh, got {len(before)} and {len(after)} vertices. Connect the shape before "
            "and the shape after the node Edit Shape."
        )
    if len(before) not in (VERTEX_COUNT, len(head_mesh().template)):
        raise ValueError(
            OTHER_MESH.format(
                wanted=f"{VERTEX_COUNT} or {len(head_mesh().template)}",
                mesh="FLAME's or the project's own head",
                found=len(before),
            )
        )
    frame = face_frame(before)
    return (after - before) @ frame.rotation / frame.unit


def _vertices(shape):
    return shape.vertices if isinstance(shape, FaceShape) else shape
