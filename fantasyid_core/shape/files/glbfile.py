"""Binary glTF (.glb): one mesh as its scene shows it, with nodes, shape keys and skin, in the file's order of vertices.

Format: Khronos Group, "glTF 2.0 Specification", and KHR_mesh_quantization. Libraries that read .glb pass over the
weights of shape keys, so a head that was posed in a 3D program would come back in its rest shape.
"""

from __future__ import annotations

import base64
import json
import struct

import numpy as np

from .meshtext import Parts, Refused

_KINDS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_DRACO, _MESHOPT, _COPIES = "KHR_draco_mesh_compression", "EXT_meshopt_compression", "EXT_mesh_gpu_instancing"
_COMPRESSIONS = {_DRACO: "Draco", _MESHOPT: "meshopt", "KHR_meshopt_compression": "meshopt"}
_HARMLESS = ("KHR_mesh_quantization", "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_xmp_")
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MOST = 20_000_000  # numbers in an accessor without data, which says nothing by its size

Mesh = tuple[np.ndarray, "np.ndarray | None"]


def read_glb(content: bytes) -> tuple[np.ndarray, np.ndarray | None, Parts]:
    """Vertices np.float64 [V,3], triangles np.int64 [F,3] or None, and the objects of the scene.

    Of several objects the vertices stand one after the other, and there are no triangles. Raises Refused for
    compressed and divided meshes, and ValueError for what is no valid glTF.
    """
    try:
        found = _Document(*_chunks(content)).objects()
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise ValueError("its parts do not fit each other, so it is no valid glTF") from error
    parts = Parts((name, len(mesh[0])) for name, mesh in found)
    if len(found) == 1:
        return *found[0][1], parts
    return np.concatenate([np.zeros((0, 3)), *(vertices for _, (vertices, _) in found)]), None, parts


def _chunks(content: bytes) -> tuple[dict, bytes]:
    """The JSON of the file, and its binary chunk (b"" when it has none)."""
    magic, version, length = struct.unpack_from("<4sII", content.ljust(12, b"\0"))
    if magic != b"glTF":
        raise ValueError("it does not begin with 'glTF'")
    if version != 2:
        raise Refused(f"it is glTF {version}, and only version 2 is read. Export it again as glTF 2.0 binary (.glb).")
    if length > len(content):
        raise ValueError(f"it has {len(content)} of {length} bytes")
    chunks, at = {}, 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", content, at)
        if at + 8 + size > length:
            raise ValueError("the file ends within its data")
        chunks.setdefault(kind, content[at + 8 : at + 8 + size])
        at += 8 + size
    document = json.loads(chunks[b"JSON"].decode("utf-8-sig"))
    if not isinstance(document, dict):
        raise ValueError("its description is no JSON object")
    return document, chunks.get(b"BIN\0", b"")


class _Document:
    """The description and the data of a file; its arrays are read when they are asked for."""

    def __init__(self, document: dict, binary: bytes):
        self.document, self.binary = document, binary
        for name in document.get("extensionsRequired", []):
            if name in _COMPRESSIONS:
                raise _compressed(name)
            if not name.startswith(_HARMLESS):
                raise Refused(f"it needs the glTF extension {name}, which is not read. Export the head without it.")

    def objects(self) -> list[tuple[str, Mesh]]:
        """Name and mesh of every node of the scene that shows one, placed in the scene."""
        world = self._world()
        found = []
        for index, matrix in world.items():
            node = self.document["nodes"][index]
            if "mesh" not in node:
                continue
            if _COPIES in node.get("extensions", {}):
                raise Refused("it shows one mesh several times (EXT_mesh_gpu_instancing). Export the head alone.")
            mesh = self.document["meshes"][node["mesh"]]
            vertices, faces = self._shape(node, mesh)
            if "skin" in node:
                vertices = self._skinned(vertices, mesh, self.document["skins"][node["skin"]], world)
            else:
                vertices = _placed(vertices, matrix)
            found.append((str(node.get("name") or mesh.get("name") or ""), (vertices, faces)))
        return found

    def _world(self) -> dict[int, np.ndarray]:
        """Node -> its matrix [4,4] in the scene, in the order of the scene."""
        nodes = self.document.get("nodes", [])
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in children]
        if scenes := self.document.get("scenes"):
            roots = scenes[self.document.get("scene", 0)].get("nodes", [])
        placed: dict[int, np.ndarray] = {}
        waiting = [(index, np.eye(4)) for index in reversed(roots)]
        while waiting:
            index, parent = waiting.pop()
            if index in placed:
                raise ValueError("a node has two parents, or is its own")
            placed[index] = parent @ _matrix(nodes[index])
            waiting += [(child, placed[index]) for child in reversed(nodes[index].get("children", []))]
        return placed

    def _shape(self, node: dict, mesh: dict) -> Mesh:
        """The mesh with its shape keys as their weights say, not yet placed."""
        primitives = mesh["primitives"]
        for each in primitives:
            position = self.document["accessors"][each["attributes"]["POSITION"]]
            if _DRACO in each.get("extensions", {}) and "bufferView" not in position:
                raise _compressed(_DRACO)
        shared = {each["attributes"]["POSITION"] for each in primitives}
        if len(shared) > 1:
            sizes = ", ".join(str(self.document["accessors"][index]["count"]) for index in sorted(shared))
            raise Refused(
                f"its mesh is divided into {len(shared)} pieces with {sizes} vertices, as programs do for materials, "
                "so the order of the head's vertices is lost. Export the head with one material, or as .ply."
            )
        vertices = self._array(shared.pop())
        targets = primitives[0].get("targets", [])
        weights = node.get("weights") or mesh.get("weights") or []
        for target, weight in zip(targets, weights, strict=False):
            if weight and "POSITION" in target:
                vertices = vertices + weight * self._array(target["POSITION"])
        faces = [triangles for each in primitives if (triangles := self._triangles(each, len(vertices))) is not None]
        return vertices, np.concatenate(faces) if faces else None

    def _triangles(self, primitive: dict, count: int) -> np.ndarray | None:
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            return None  # points and lines
        given = "indices" in primitive
        corners = self._array(primitive["indices"])[:, 0].astype(np.int64) if given else np.arange(count)
        if mode == _TRIANGLES:
            return corners[: len(corners) // 3 * 3].reshape(-1, 3)
        if mode == _FAN:
            return np.column_stack([np.full(max(len(corners) - 2, 0), corners[:1].sum()), corners[1:-1], corners[2:]])
        strip = np.column_stack([corners[:-2], corners[1:-1], corners[2:]])
        strip[1::2] = strip[1::2, [1, 0, 2]]  # every second one is turned over
        return strip

    def _skinned(self, vertices: np.ndarray, mesh: dict, skin: dict, world: dict[int, np.ndarray]) -> np.ndarray:
        """The vertices as the skeleton holds them; the place of the node itself does not count (glTF 3.7.3.3)."""
        joints = skin["joints"]
        inverse = np.broadcast_to(np.eye(4), (len(joints), 4, 4))
        if "inverseBindMatrices" in skin:
            inverse = self._array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        poses = np.stack([world[joint] @ matrix for joint, matrix in zip(joints, inverse, strict=True)])
        attributes, total, posed = mesh["primitives"][0]["attributes"], 0.0, np.zeros_like(vertices)
        for number in range(len(attributes)):
            if f"JOINTS_{number}" not in attributes:
                break
            which = self._array(attributes[f"JOINTS_{number}"]).astype(np.int64)
            shares = self._array(attributes[f"WEIGHTS_{number}"])
            for each, share in zip(which.T, shares.T, strict=True):
                rows = poses[each]
                posed += share[:, None] * (np.einsum("vij,vj->vi", rows[:, :3, :3], vertices) + rows[:, :3, 3])
                total = total + share
        if np.ndim(total) == 0 or not (total > 0).all():
            return vertices
        return posed / total[:, None]

    def _array(self, index: int) -> np.ndarray:
        """The values of an accessor as np.float64 [count, width]; normalised integers are divided by their largest."""
        accessor = self.document["accessors"][index]
        count, width = accessor["count"], _WIDTHS[accessor["type"]]
        kind = np.dtype(_KINDS[accessor["componentType"]])
        if "bufferView" in accessor:
            values = self._view(accessor, count, width, kind)
        elif 0 <= count * width <= _MOST:
            values = np.zeros((count, width), kind)
        else:
            raise ValueError(f"an accessor without data counts {count} values")
        if "sparse" in accessor:
            values = self._with_changes(values, accessor["sparse"], kind)
        values = values.astype(np.float64)
        if accessor.get("normalized") and kind.kind != "f":
            values = np.maximum(values / np.iinfo(kind).max, -1)
        return values

    def _with_changes(self, values: np.ndarray, sparse: dict, kind: np.dtype) -> np.ndarray:
        indices, count = sparse["indices"], sparse["count"]
        places = self._view(indices, count, 1, np.dtype(_KINDS[indices["componentType"]]))[:, 0]
        values = values.copy()
        values[places] = self._view(sparse["values"], count, values.shape[1], kind)
        return values

    def _view(self, source: dict, count: int, width: int, kind: np.dtype) -> np.ndarray:
        view = self.document["bufferViews"][source["bufferView"]]
        packed = next((name for name in _COMPRESSIONS if name in view.get("extensions", {})), None)
        data = self._buffer(self.document["buffers"][view["buffer"]], packed)
        start, length = view.get("byteOffset", 0), view["byteLength"]
        data = data[start : start + length]
        offset, stride = source.get("byteOffset", 0), view.get("byteStride") or kind.itemsize * width
        last = offset + (count - 1) * stride + kind.itemsize * width
        if min(start, length, offset, stride, count) < 0 or (count and last > len(data)):
            raise ValueError("the file ends within its data")
        if not count:
            return np.zeros((0, width), kind)
        return np.ndarray((count, width), kind, data, offset, (stride, kind.itemsize))

    def _buffer(self, buffer: dict, packed: str | None) -> bytes:
        uri = buffer.get("uri")
        if uri is None:
            fallback = any(buffer.get("extensions", {}).get(name, {}).get("fallback") for name in _COMPRESSIONS)
            if packed and (fallback or not self.binary):
                raise _compressed(packed)
            return self.binary
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2])
        raise Refused(f"its data lie in another file, {uri[:60]!r}. Export it as .glb, which holds everything.")


def _compressed(name: str) -> Refused:
    return Refused(
        f"it is {_COMPRESSIONS[name]}-compressed ({name}), which is not read. Export the head without compression."
    )


def _matrix(node: dict) -> np.ndarray:
    """The node's own matrix [4,4]: translation, rotation (a quaternion x, y, z, w) and scale, or as it is given."""
    from scipy.spatial.transform import Rotation

    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T  # columns first
    matrix = np.eye(4)
    turn = Rotation.from_quat(node.get("rotation", (0.0, 0.0, 0.0, 1.0))).as_matrix()
    matrix[:3, :3] = turn * np.array(node.get("scale", (1.0, 1.0, 1.0)), np.float64)
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def _placed(vertices: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    if (matrix == np.eye(4)).all():
        return vertices
    return vertices @ matrix[:3, :3].T + matrix[:3, 3]
