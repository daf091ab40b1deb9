"""Face shapes in files: FLAME's vertices, in FLAME's order and in metres, as .ply, .obj, .glb, .stl, .npy or .npz.

The network knows a vertex only by its place in the list, so nothing here merges, splits or reorders vertices.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...files.writing import write_aside
from ...modelfiles.check import content as kind_of
from ...options import SHAPE_FILES
from ..faceshape import VERTEX_COUNT, FaceShape, Proof
from ..mesh import check_faces, check_finite
from ..order import check_order, check_triangles, order_of
from .meshfile import FOREIGN, READABLE, Refused, decode, encode, welded

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

UNITS = (("metres", 1, 0.1, 1.0), ("centimetres", 100, 15.0, 70.0), ("millimetres", 1000, 150.0, 700.0))
"""Name, how many make a metre, and the longest extents a head may have in it. Heads decoded by DECA measure
0.32 to 0.33 m from the neck's rim to the crown. Inches and unit cubes fall into the gaps."""

MAX_OFFSET = 0.5
"""How far, in metres, a head's middle may lie from the origin, where FLAME's own lies within 0.1."""

MAX_BYTES = 256 * 2**20
"""A head is under a megabyte; with textures, a few dozen."""

_UNPACK = "Unpack it and take the file from inside."
_INSTEAD = {
    "Git LFS pointer": "a Git LFS pointer, which only says where the file is. Run `git lfs pull` in the folder that "
    "the file comes from, or download the file itself.",
    "web page": "a web page, or another XML document. Download the file itself.",
    **{kind: f"a {kind}. {_UNPACK}" for kind in ("zip archive", "gzip archive", "7z archive", "RAR archive")},
    **{kind: f"a {kind}. Choose the 3D file." for kind in ("PNG picture", "JPEG picture", "PDF document")},
    "PyTorch zip": "a PyTorch file. Choose the 3D file.",
}
"""What lies under the name of a 3D file, in the words of `modelfiles.check.content`."""


def load_shape(path: str | os.PathLike, vertex_count: int = VERTEX_COUNT) -> torch.Tensor:
    """The vertices of `read_shape`: torch.float32 [V,3] in metres."""
    return read_shape(path, vertex_count).vertices


def read_shape(
    path: str | os.PathLike,
    vertex_count: int = VERTEX_COUNT,
    faces: ArrayLike | None = None,  # [F,3]
    template: ArrayLike | None = None,  # [V,3]
) -> FaceShape:
    """Reads a head from a .ply (text or binary), .obj, .glb, .stl, .npy or .npz file.

    A .npz holds `vertices` and, if it has them, `faces`. A head in centimetres or millimetres, told by its
    size, is converted to metres; the warning and the note of the result say so.
    faces: FLAME's (`Topology.faces`); a cloud of points gets them, a .stl file is read with their help, and
    faces in the file are compared with them. template: FLAME's mean head (`Topology.template`): the order of
    the vertices is checked against it (`check_order`).

    Raises FileNotFoundError for a missing file; ValueError for an unknown suffix, a damaged or empty file,
    another number of vertices than `vertex_count`, NaN or infinite coordinates, a size that is no head's,
    another order, and a .stl file without `faces`.
    """
    import torch

    path = Path(path)
    known = None if faces is None else check_faces(faces, vertex_count, "FLAME's mesh")
    vertices, found = _read(path, known, vertex_count)
    _check_vertices(vertices, path.name, vertex_count)
    scaled, unit_note = _in_metres(vertices, path.name)
    notes = [unit_note, _displacement_note(scaled, path.name), _order_notes(scaled, found, known, template, path.name)]
    note = " ".join(filter(None, notes))
    if note:
        warnings.warn(note, stacklevel=2)
    head = torch.tensor(scaled, dtype=torch.float32)
    proof = Proof(head, "" if template is None else order_of(template))
    return FaceShape(head, known if found is None else found, path.stem, note, proof=proof)


def save_shape(vertices: torch.Tensor | ArrayLike, path: str | os.PathLike, faces: ArrayLike | None = None) -> None:
    """Writes vertices [V,3] (metres) as .ply, .obj, .glb or .npy, with faces [F,3] except in .npy.

    .ply, .glb and .npy keep every bit of a float32, .obj eight decimals. The file appears at `path` only when
    it is complete; until then an older one stays as it was.

    Raises ValueError for an unknown suffix, another shape, no vertices, NaN or infinite coordinates, or
    faces that name missing vertices; OSError when the file cannot be written.
    """
    import torch

    path = Path(path)
    if path.suffix.lower() not in SHAPE_FILES:
        raise ValueError(
            f"Cannot save a shape as {path.name!r}: expected one of {', '.join(SHAPE_FILES)}. Change the ending."
        )
    vertices = torch.as_tensor(vertices).detach().cpu().to(torch.float32).numpy()
    _check_vertices(vertices, "The shape to save")
    if faces is not None:
        faces = check_faces(faces, len(vertices), "The shape to save")
    content = encode(vertices, faces, path.suffix.lower())
    with write_aside(path) as aside:
        aside.write_bytes(content)


def _read(path: Path, known_faces: np.ndarray | None, vertex_count: int) -> tuple[np.ndarray, np.ndarray | None]:
    suffix = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path}: expected the file of a head, got a folder. Choose one file in it.")
    _check_suffix(path.name, suffix, known_faces)
    if not path.exists():
        raise FileNotFoundError(f"There is no shape at {path}. Check the path and the spelling of the name.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(
            f"{path.name}: expected a head of at most {MAX_BYTES // 2**20} MB, got {size / 2**20:.0f} MB. Export the "
            "head alone, without textures."
        )
    if instead := _INSTEAD.get(kind_of(path)):
        raise ValueError(f"{path.name}: expected a 3D file ({suffix}), got {instead}")
    content = path.read_bytes()
    try:
        vertices, faces, parts = decode(content, suffix)
    except Refused as error:
        raise ValueError(f"{path.name}: {error}") from error
    except Exception as error:  # damaged files make the parsers trip in too many ways to name
        raise ValueError(
            f"{path.name} cannot be read as {suffix} ({len(content)} bytes; "
            f"{error or type(error).__name__}): expected a complete file with the vertices of a head. "
            "Export it again or choose another file."
        ) from error
    if suffix == ".stl":
        return welded(vertices, known_faces, path.name), known_faces
    if vertices.ndim == 3 and len(vertices) == 1:
        vertices = vertices[0]  # a batch of one
    if len(parts) > 1 and len(vertices) != vertex_count:
        raise ValueError(f"{path.name}: {parts.describe()}")
    known = faces is not None and len(vertices) > 0  # without vertices the faces are not what is wrong
    return vertices, check_faces(faces, len(vertices), path.name) if known else None


def _check_suffix(name: str, suffix: str, known_faces: np.ndarray | None) -> None:
    if suffix not in READABLE:
        way = " Open it in a 3D program, such as Blender, and export the head as .ply." if suffix in FOREIGN else ""
        raise ValueError(
            f"{name}: expected a shape as one of {', '.join(READABLE)}, got {suffix or 'no suffix'!r}.{way}"
        )
    if suffix == ".stl" and known_faces is None:
        raise ValueError(
            f"{name}: an STL file repeats every vertex for each triangle, so FLAME's order is lost. Export the "
            "head as .ply, .obj or .glb, or get the mesh topology (transform.pkl), with which the order can be "
            "found again."
        )


def _order_notes(
    vertices: np.ndarray,
    found: np.ndarray | None,
    faces: np.ndarray | None,
    template: ArrayLike | None,
    name: str,
) -> str:
    notes = []
    if template is not None:
        notes.append(check_order(vertices, template, faces, name))
    if found is not None and faces is not None:
        notes.append(check_triangles(found, faces, name, ordered=template is not None))
    return " ".join(filter(None, notes))


def _check_vertices(vertices: np.ndarray, name: str, count: int | None = None) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"{name}: expected vertices [V,3] (x, y, z), got shape {list(vertices.shape)}.")
    if len(vertices) == 0:
        raise ValueError(f"{name} holds no vertices: expected {count or 'at least 1'}. Export the head again.")
    if count is not None and len(vertices) != count:
        raise ValueError(
            f"{name}: expected {count} FLAME vertices, got {len(vertices)}. "
            + (
                "Programs write more vertices than the head has where its texture or its normals have seams, and "
                "where something else is in the file: export the head alone, without texture coordinates and "
                "normals, as .ply."
                if len(vertices) > count
                else "Use a FLAME head, such as the cloud DECA writes, complete and not decimated."
            )
        )
    check_finite(vertices, name)


def _in_metres(vertices: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    height = np.ptp(vertices, axis=0).max()
    for unit, per_metre, low, high in UNITS:
        if low <= height <= high:
            if per_metre == 1:
                return vertices, ""
            return vertices / per_metre, (
                f"{name} looks like {unit} (height {height:.4g}): its coordinates were divided by {per_metre}."
            )
    raise ValueError(
        f"{name}: expected a head 0.1 to 1 metre tall (about 0.3; in centimetres 15 to 70, in millimetres "
        f"150 to 700), got a height of {height:.4g}. Scale it to metres."
    )


def _displacement_note(vertices: np.ndarray, name: str) -> str:
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    distance = np.linalg.norm(middle)
    if distance <= MAX_OFFSET:
        return ""
    return (
        f"{name}: the middle of the head lies {distance:.3g} m from the origin, where FLAME's lies. The "
        "network reads absolute depth, so the result will not resemble this face. Move the head to the "
        "origin."
    )
