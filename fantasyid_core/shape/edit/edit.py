"""A face edited by the controls."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ..faceshape import FaceShape
from .controls import as_given, face_controls
from .editstate import Edit, edit_from_values, format_edit, parse_edit
from .faceframe import checked_vertices

if TYPE_CHECKING:
    from ..reconstruct.flame import FlameModel

    Vertices = TypeVar("Vertices")


def edit_shape(
    vertices: Vertices,  # [V,3]
    values: Edit | str | Mapping,
    flame: FlameModel | None = None,
    plausible: bool | None = None,
) -> Vertices:  # [V,3]
    """The face with the controls at these values: vertices in metres, float32, a tensor for a tensor.

    values: name -> -1..1, or {"left": ..., "right": ...} for one-sided edits; the editor's JSON; or an `Edit`. The
    edit is linear (see `controls.shape_controls`), and no edit gives the vertices as they were. flame: for its
    shape components and for plausible edits. plausible: projects the edit onto FLAME's shape space; by default what
    the edit says.

    Unknown controls are ignored, values out of range clamped and NaN taken as 0, with a warning that names them
    (of an `Edit` its notes say so). Raises ValueError as `shape_controls` and `parse_edit` do.
    """
    edit = values if isinstance(values, Edit) else _read(values)
    wanted = edit.plausible if plausible is None else plausible
    points = checked_vertices(vertices)
    controls = face_controls(points, flame, wanted)
    known = {name: pair for name, pair in edit.values.items() if name in controls.controls}
    missing = [name for name in edit.values if name not in known]
    if missing:
        warnings.warn(_missing_note(missing), stacklevel=2)
    return as_given(vertices, points + controls.displacement(known) if known else points)


def edit_face(shape: FaceShape, edit: Edit, flame: FlameModel | None = None) -> FaceShape:
    """`edit_shape` of a `FaceShape`; its faces, name and note stay, its `edit` is this one."""
    return replace(shape, vertices=edit_shape(shape.vertices, edit, flame), edit=format_edit(edit))


def _read(values: str | Mapping) -> Edit:
    edit = parse_edit(values) if values is None or isinstance(values, str) else edit_from_values(values)
    for note in edit.notes:
        warnings.warn(note, stacklevel=3)
    return edit


def _missing_note(names: list[str]) -> str:
    flame = any(name.startswith("flame_") for name in names)
    reason = "its components need the FLAME model" if flame else "this mesh lacks the places that they move"
    return f"Without effect here: {', '.join(names[:5])}, because {reason}."
