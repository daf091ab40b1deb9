"""The bytes of a 3D file <-> vertices and faces, in the order in which the file names the vertices.

The formats are read here and not by a library: the network knows a vertex by its place in the list, and readers
merge, split and reorder vertices on the way. trimesh writes them.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np

from .glbfile import read_glb
from .meshtext import Parts, Refused
from .objfile import read_obj
from .plyfile import read_ply
from .stlfile import read_stl

MESH_SUFFIXES = (".ply", ".obj", ".glb")
READABLE = (*MESH_SUFFIXES, ".stl", ".npy", ".npz")

FOREIGN = (".fbx", ".usd", ".usda", ".usdc", ".usdz", ".gltf", ".dae", ".abc", ".blend", ".3ds", ".3mf", ".ma", ".mb")
"""Formats in which 3D programs keep heads, and which are not read."""


class Decoded(NamedTuple):
    """What a file holds: vertices np.float64 [V,3] (of .npy and .npz: of whatever shape), faces [F,3] or None, and
    its objects, where the format has any. Of a .stl file the vertices are the corners [3F,3] of its triangles."""

    vertices: np.ndarray
    faces: np.ndarray | None = None
    parts: Parts = Parts()


def decode(content: bytes, suffix: str) -> Decoded:
    """The file's vertices and faces; suffix: one of `READABLE`. See `welded` for .stl files.

    Raises Refused, with the reason and what to do, for files that are understood and not taken; on damaged files
    ValueError and whatever NumPy raises.
    """
    if suffix == ".ply":
        found = Decoded(*read_ply(content))
    elif suffix == ".obj":
        found = Decoded(*read_obj(content))
    elif suffix == ".glb":
        found = Decoded(*read_glb(content))
    elif suffix == ".stl":
        corners, parts = read_stl(content)
        found = Decoded(corners, None, parts)
    else:
        found = Decoded(*_read_arrays(content, suffix))
    if len(found.parts) > 1 and suffix in (".glb", ".stl"):
        raise Refused(found.parts.describe())
    return found._replace(vertices=np.asarray(found.vertices, dtype=np.float64))


def welded(corners: np.ndarray, faces: np.ndarray, name: str) -> np.ndarray:
    """The vertices [V,3] of a .stl file, which holds none: only the corners [3F,3] of its triangles.

    It works where the triangles stand in the order of the known `faces` [F,3]: then every corner has its
    vertex, and all corners of a vertex must agree. Raises ValueError when they do not.
    """
    if len(corners) != faces.size:
        raise ValueError(f"{name}: expected FLAME's {len(faces)} triangles, got {len(corners) // 3}. {_STL_REMEDY}")
    vertices = np.full((int(faces.max()) + 1, 3), np.nan)
    vertices[faces.ravel()] = corners
    # Programs that compute in float32 may round a corner differently in each of its triangles.
    apart = abs(vertices[faces.ravel()] - corners).max(axis=1) > 1e-6 * np.ptp(corners, axis=0).max()
    if apart.any():
        raise ValueError(
            f"{name}: its triangles do not stand in FLAME's order, so the order of the vertices is lost: "
            f"{apart.sum()} of {len(corners)} corners lie elsewhere than the same vertex in another triangle. "
            f"{_STL_REMEDY}"
        )
    return vertices


def encode(vertices: np.ndarray, faces: np.ndarray | None, suffix: str) -> bytes:
    """The file, of a suffix in `options.SHAPE_FILES`, for vertices np.float32 [V,3] and faces [F,3] or None."""
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, vertices)
        return buffer.getvalue()
    import trimesh

    shape = trimesh.PointCloud(vertices) if faces is None else trimesh.Trimesh(vertices, faces, process=False)
    content = shape.export(file_type=suffix[1:])
    return content.encode() if isinstance(content, str) else content


_BEGINNINGS = {".npy": b"\x93NUMPY", ".npz": b"PK"}
_ARRAYS = ("vertices", "faces")
_SAVE_ARRAY = "Save the vertices as an array of numbers, [V,3]."
_STL_REMEDY = "An STL file keeps no vertices: export the head as .ply, .obj or .glb."


def _read_arrays(content: bytes, suffix: str) -> tuple[np.ndarray, np.ndarray | None]:
    if not content.startswith(_BEGINNINGS[suffix]):
        raise ValueError("it does not begin as NumPy's files do")
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = {"array": loaded} if suffix == ".npy" else {key: loaded[key] for key in _ARRAYS if key in loaded}
    except ValueError as error:
        if "allow_pickle" in str(error):  # its advice would run what anybody wrote into the file
            raise Refused(f"it holds Python objects. {_SAVE_ARRAY}") from error
        raise
    if named := [name for name, each in arrays.items() if each.dtype.names]:
        raise Refused(f"its {named[0]} has named columns. {_SAVE_ARRAY}")
    if suffix == ".npy":
        return loaded, None
    if "vertices" not in arrays:
        raise Refused(f"it holds {', '.join(loaded.files) or 'nothing'}; expected 'vertices'. {_SAVE_ARRAY}")
    return arrays["vertices"], arrays.get("faces")
