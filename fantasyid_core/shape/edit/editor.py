"""A run of the face editor: the edited face, the heads for the browser, and the template head before the first run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..draw.present import describe_change
from ..faceshape import FaceShape
from ..topology.known import with_faces
from ..topology.topology import find_topology, load_topology
from .controlpack import pack_controls
from .edit import edit_face
from .editstate import parse_edit
from .warp import warp_face

if TYPE_CHECKING:
    from ...face.align import FaceCrop
    from ..reconstruct.flame import FlameModel

OWN_LEVEL = 4
"""Of the project's own head: 2562 vertices, when there is no topology file."""


class Edited(NamedTuple):
    """before, after: the 3D face with its triangles. flame: the model that serves it, or None. heads: what the browser
    shows, packed. lines: for people."""

    before: FaceShape
    after: FaceShape
    flame: FlameModel | None
    heads: list[bytes]
    lines: list[str]


def run_editor(
    shape: FaceShape, edit: str, flame: FlameModel | None = None, folders: Iterable[str | os.PathLike] = ()
) -> Edited:
    """The face edited by the editor's JSON, and what the editor then shows.

    flame: the user's model, left out for a head of another mesh. folders: one may hold the topology file, whose
    triangles a cloud of points gets. Raises ValueError for JSON that is no edit, and a mesh that has no controls.
    """
    state = parse_edit(edit)
    flame = flame if flame is not None and len(flame.template) == len(shape.vertices) else None
    before = with_faces(shape, folders)
    after = edit_face(before, state, flame)
    return Edited(before, after, flame, pack_heads(before, flame), [*state.notes, describe_change(before, after)])


def pack_heads(shape: FaceShape, flame: FlameModel | None = None) -> list[bytes]:
    """The head and its controls as the browser takes them; with `flame` a second one whose edits are plausible.

    Raises ValueError for a mesh that has no controls.
    """
    heads = [pack_controls(shape.vertices, shape.faces, flame)]
    if flame is not None:
        heads.append(pack_controls(shape.vertices, shape.faces, flame, plausible=True))
    return heads


def warp_to(face: FaceCrop, before: FaceShape, after: FaceShape, folders: Iterable[str | os.PathLike] = ()) -> FaceCrop:
    """`warp.warp_face` by two shapes, placed by DECA's camera where `before` knows it; triangles as in `with_faces`.

    Raises ValueError for points whose triangles are not known, and as `warp_face`.
    """
    faces = with_faces(before, folders).faces
    faces = after.faces if faces is None else faces
    if faces is None:
        raise ValueError(
            "Expected a 3D face with triangles, got points only. Put transform.pkl into models/fantasyid (the command "
            "doctor says where it comes from), or load a file that holds the mesh."
        )
    return warp_face(face, before.vertices, after.vertices, faces, before.seen)


def pack_template_head(folders: Iterable[str | os.PathLike] = ()) -> bytes:
    """FLAME's mean head from the user's topology file in one of the folders, else the project's own head.

    Raises ValueError for a damaged topology file.
    """
    path = find_topology(tuple(folders))
    return _packed_template(path, path.stat().st_mtime_ns if path else 0)


@lru_cache(maxsize=2)
def _packed_template(path: Path | None, _changed: int) -> bytes:
    from ..head import synthetic_head

    if path is None:
        vertices, faces = synthetic_head(OWN_LEVEL)
        return pack_controls(vertices, faces)
    topology = load_topology(path)
    return pack_controls(topology.template, topology.faces)
