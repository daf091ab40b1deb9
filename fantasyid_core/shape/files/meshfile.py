"""The bytes of a 3D file <-> vertices and faces, in the order in which the file names the vertices.

trimesh reads and writes the formats; what it would merge, split or reorder on the way is prevented here.
"""

from __future__ import annotations

import io
import re

import numpy as np

from .plyfaces import with_triangles

MESH_SUFFIXES = (".ply", ".obj", ".glb")
READABLE = (*MESH_SUFFIXES, ".stl", ".npy", ".npz")

FOREIGN = (".fbx", ".usd", ".usda", ".usdc", ".usdz", ".gltf", ".dae", ".abc", ".blend", ".3ds", ".3mf", ".ma", ".mb")
"""Formats in which 3D programs keep heads, and which are not read."""


def decode(content: bytes, suffix: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices np.float64 [V,3] (of .npy and .npz: of whatever shape they hold) and faces [F,3] or None.

    suffix: one of `READABLE`. Of a .stl file the vertices are the corners [3F,3] of its triangles; see `welded`.
    Raises ValueError, and on damaged files whatever the parsers raise.
    """
    vertices, faces = (_read_arrays if suffix in (".npy", ".npz") else _read_mesh)(content, suffix)
    return np.asarray(vertices, dtype=np.float64), faces


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


_STL_REMEDY = "An STL file keeps no vertices: export the head as .ply, .obj or .glb."


def _read_mesh(content: bytes, suffix: str) -> tuple[np.ndarray, np.ndarray | None]:
    import trimesh

    prepare = {".obj": _bare_obj, ".ply": with_triangles}.get(suffix, bytes)
    # From memory, so that no texture or material beside the file is looked for. Without fix_texture=False a
    # .ply with texture coordinates gets its vertices split and re-ordered.
    options = {"process": False, "maintain_order": True} | ({"fix_texture": False} if suffix == ".ply" else {})
    loaded = trimesh.load(io.BytesIO(prepare(content)), file_type=suffix[1:], **options)
    if not isinstance(loaded, trimesh.Scene):
        return loaded.vertices, getattr(loaded, "faces", None)
    parts = []
    for node in loaded.graph.nodes_geometry:
        placement, name = loaded.graph[node]
        part = loaded.geometry[name]
        parts.append((trimesh.transform_points(part.vertices, placement), getattr(part, "faces", None)))
    if len(parts) > 1:
        sizes = ", ".join(str(len(vertices)) for vertices, _ in parts)
        raise ValueError(f"it holds {len(parts)} objects with {sizes} vertices; expected one, the head")
    return parts[0] if parts else (np.zeros((0, 3)), None)


def _bare_obj(content: bytes) -> bytes:
    """Vertices and faces alone, the faces counted from the first vertex.

    With textures trimesh keeps the vertices that have one, with materials it makes one mesh of each, and it
    counts negative indices from the file's last vertex instead of the last one before the face.
    """
    count, kept = 0, []
    for line in re.findall(rb"^[ \t]*[vf][ \t][^\r\n#]*", re.sub(rb"\\\r?\n", b" ", content), flags=re.MULTILINE):
        kind, *words = line.split()
        if kind == b"v":
            count += 1
        else:
            corners = [int(word.partition(b"/")[0]) for word in words]
            corners = [corner + (count + 1 if corner < 0 else 0) for corner in corners]
            if min(corners, default=1) < 1:
                raise ValueError(f"a face names the vertex {min(corners)}; they are counted from 1")
            words = [b"%d" % corner for corner in corners]
        kept.append(b" ".join([kind, *words]))
    return b"\n".join(kept)


def _read_arrays(content: bytes, suffix: str) -> tuple[np.ndarray, np.ndarray | None]:
    loaded = np.load(io.BytesIO(content), allow_pickle=False)
    if suffix == ".npy":
        return loaded, None
    if "vertices" not in loaded:
        raise ValueError(f"it holds {', '.join(loaded.files) or 'nothing'}; expected 'vertices'")
    return loaded["vertices"], loaded["faces"] if "faces" in loaded else None
