"""Face shapes in files: FLAME's vertices, in FLAME's order and in metres, as .ply, .obj, .glb, .npy or .npz.

The network knows a vertex only by its place in the list, so nothing here merges, splits or reorders vertices.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import write_aside

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

VERTEX_COUNT = 5023
"""Vertices of a FLAME head (2017, 2020 and 2023 alike)."""

MESH_SUFFIXES = (".ply", ".obj", ".glb")
READABLE = (*MESH_SUFFIXES, ".npy", ".npz")
WRITABLE = (*MESH_SUFFIXES, ".npy")

UNITS = (("metres", 1, 0.1, 1.0), ("centimetres", 100, 15.0, 70.0), ("millimetres", 1000, 150.0, 700.0))
"""Name, how many make a metre, and the longest extents a head may have in it. Heads decoded by DECA measure
0.32 to 0.33 m from the neck's rim to the crown. Inches and unit cubes fall into the gaps."""

MAX_OFFSET = 0.5
"""How far, in metres, a head's middle may lie from the origin, where FLAME's own lies within 0.1."""

MAX_BYTES = 256 * 2**20
"""A head is under a megabyte; with textures, a few dozen."""


@dataclass(frozen=True, eq=False)
class FaceShape:
    """One head as FLAME vertices.

    vertices: torch.float32 [V,3], metres. faces: np.int64 [F,3], or None for a cloud of points.
    name: where it comes from, for people. note: what was changed when it was read, "" if nothing.
    """

    vertices: torch.Tensor
    faces: np.ndarray | None = None
    name: str = ""
    note: str = ""

    def __post_init__(self):
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise ValueError(f"Expected the vertices of one head [V,3], got {list(self.vertices.shape)}.")


def load_shape(path: str | os.PathLike, vertex_count: int = VERTEX_COUNT) -> torch.Tensor:
    """The vertices of `read_shape`: torch.float32 [V,3] in metres."""
    return read_shape(path, vertex_count).vertices


def read_shape(path: str | os.PathLike, vertex_count: int = VERTEX_COUNT) -> FaceShape:
    """Reads a head from a .ply (text or binary), .obj, .glb, .npy or .npz file.

    A .npz holds `vertices` and, if it has them, `faces`. A head in centimetres or millimetres, told by its
    size, is converted to metres; the warning and the note of the result say so.

    Raises FileNotFoundError for a missing file; ValueError for an unknown suffix, a damaged or empty file,
    another number of vertices than `vertex_count`, NaN or infinite coordinates, and a size that is no head's.
    """
    import torch

    path = Path(path)
    vertices, faces = _read(path)
    _check_vertices(vertices, path.name, vertex_count)
    scaled, note = _in_metres(vertices, path.name)
    note = " ".join(filter(None, (note, _displacement_note(scaled, path.name))))
    if note:
        warnings.warn(note, stacklevel=2)
    return FaceShape(torch.tensor(scaled, dtype=torch.float32), faces, path.stem, note)


def save_shape(
    vertices: torch.Tensor | ArrayLike, path: str | os.PathLike, faces: ArrayLike | None = None
) -> None:
    """Writes vertices [V,3] (metres) as .ply, .obj, .glb or .npy, with faces [F,3] except in .npy.

    .ply, .glb and .npy keep every bit of a float32, .obj eight decimals. The file appears at `path` only when
    it is complete; until then an older one stays as it was.

    Raises ValueError for an unknown suffix, another shape, no vertices, NaN or infinite coordinates, or
    faces that name missing vertices; OSError when the file cannot be written.
    """
    import torch

    path = Path(path)
    if path.suffix.lower() not in WRITABLE:
        raise ValueError(
            f"Cannot save a shape as {path.name!r}: expected one of {', '.join(WRITABLE)}. Change the ending."
        )
    vertices = torch.as_tensor(vertices).detach().cpu().to(torch.float32).numpy()
    _check_vertices(vertices, "The shape to save")
    if faces is not None:
        faces = _checked_faces(faces, len(vertices), "The shape to save")
    content = _encoded(vertices, faces, path.suffix.lower())
    with write_aside(path) as aside:
        aside.write_bytes(content)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    suffix = path.suffix.lower()
    if suffix == ".stl":
        raise ValueError(
            f"{path.name}: an STL file repeats every vertex for each triangle, so FLAME's order is lost. "
            f"Export the head as one of {', '.join(READABLE)}."
        )
    if suffix not in READABLE:
        raise ValueError(
            f"{path.name}: expected a shape as one of {', '.join(READABLE)}, got {suffix or 'no suffix'!r}."
        )
    if not path.exists():
        raise FileNotFoundError(f"There is no shape at {path}. Check the path and the spelling of the name.")
    if path.is_dir() or path.stat().st_size > MAX_BYTES:
        found = "a folder" if path.is_dir() else f"{path.stat().st_size / 2**20:.0f} MB"
        raise ValueError(f"{path.name}: expected a head of at most {MAX_BYTES // 2**20} MB, got {found}.")
    content = path.read_bytes()
    try:
        vertices, faces = (_read_mesh if suffix in MESH_SUFFIXES else _read_arrays)(content, suffix)
        vertices = np.asarray(vertices, dtype=np.float64)
    except Exception as error:  # damaged files make the parsers trip in too many ways to name
        raise ValueError(
            f"{path.name} cannot be read as {suffix} ({len(content)} bytes; "
            f"{error or type(error).__name__}): expected a complete file with the vertices of a head. "
            "Export it again or choose another file."
        ) from error
    if vertices.ndim == 3 and len(vertices) == 1:
        vertices = vertices[0]  # a batch of one
    return vertices, None if faces is None else _checked_faces(faces, len(vertices), path.name)


def _read_mesh(content: bytes, suffix: str) -> tuple[np.ndarray, np.ndarray | None]:
    import trimesh

    if suffix == ".obj":
        content = _bare_obj(content)
    # From memory, so that no texture or material beside the file is looked for.
    loaded = trimesh.load(io.BytesIO(content), file_type=suffix[1:], process=False, maintain_order=True)
    if not isinstance(loaded, trimesh.Scene):
        return loaded.vertices, getattr(loaded, "faces", None)
    parts = []
    for node in loaded.graph.nodes_geometry:
        placement, name = loaded.graph[node]
        part = loaded.geometry[name]
        parts.append((trimesh.transform_points(part.vertices, placement), getattr(part, "faces", None)))
    if len(parts) > 1:
        sizes = ", ".join(str(len(vertices)) for vertices, _ in parts)
        raise ValueError(f"it holds {len(parts)} objects with {sizes} vertices; expected one")
    return parts[0] if parts else (np.zeros((0, 3)), None)


def _bare_obj(content: bytes) -> bytes:
    # With textures trimesh keeps the vertices that have one, and with materials it makes one mesh of each.
    lines = re.findall(rb"^[ \t]*[vf][ \t].*$", content.replace(b"\\\n", b" "), flags=re.MULTILINE)
    return b"\n".join(re.sub(rb"/\S*", b"", line) for line in lines)


def _read_arrays(content: bytes, suffix: str) -> tuple[np.ndarray, np.ndarray | None]:
    loaded = np.load(io.BytesIO(content), allow_pickle=False)
    if suffix == ".npy":
        return loaded, None
    if "vertices" not in loaded:
        raise ValueError(f"it holds {', '.join(loaded.files) or 'nothing'}; expected 'vertices'")
    return loaded["vertices"], loaded["faces"] if "faces" in loaded else None


def _check_vertices(vertices: np.ndarray, name: str, count: int | None = None) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"{name}: expected vertices [V,3] (x, y, z), got shape {list(vertices.shape)}.")
    if len(vertices) == 0:
        raise ValueError(
            f"{name} holds no vertices: expected {count or 'at least 1'}. Export the head again."
        )
    if count is not None and len(vertices) != count:
        raise ValueError(
            f"{name}: expected {count} FLAME vertices, got {len(vertices)}. "
            + (
                "If it is a FLAME head, the exporter split its vertices at texture seams: export it "
                "without texture coordinates and normals, as .ply."
                if len(vertices) > count
                else "Use a FLAME head, such as the cloud DECA writes, complete and not decimated."
            )
        )
    bad = ~np.isfinite(vertices).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name}: expected finite coordinates, got NaN or infinite ones in {bad.sum()} of "
            f"{len(vertices)} vertices, the first at index {bad.argmax()}. Make the shape again."
        )


def _checked_faces(faces: ArrayLike, vertex_count: int, name: str) -> np.ndarray:
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(f"{name}: expected faces [F,3] as integers, got {faces.dtype} {list(faces.shape)}.")
    if faces.size and not 0 <= faces.min() <= faces.max() < vertex_count:
        raise ValueError(
            f"{name}: expected faces that name vertices 0 to {vertex_count - 1}, got {faces.min()} to "
            f"{faces.max()}."
        )
    return faces.astype(np.int64)


def _in_metres(vertices: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    height = np.ptp(vertices, axis=0).max()
    for unit, per_metre, low, high in UNITS:
        if low <= height <= high:
            if per_metre == 1:
                return vertices, ""
            return vertices / per_metre, (
                f"{name} looks like {unit} (height {height:.4g}): its coordinates were divided by "
                f"{per_metre}."
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


def _encoded(vertices: np.ndarray, faces: np.ndarray | None, suffix: str) -> bytes:
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, vertices)
        return buffer.getvalue()
    import trimesh

    shape = trimesh.PointCloud(vertices) if faces is None else trimesh.Trimesh(vertices, faces, process=False)
    content = shape.export(file_type=suffix[1:])
    return content.encode() if isinstance(content, str) else content
