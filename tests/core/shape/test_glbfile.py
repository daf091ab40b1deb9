"""Binary glTF as 3D programs write it: the head as the scene shows it, or the true reason why not."""

import base64

import numpy as np
import pytest
from glbfiles import Glb

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.files.pointcloud import read_shape

VERTICES, FACES = (tensor.numpy() for tensor in synthetic_head(2))
VERTICES, FACES = VERTICES.astype("<f4"), FACES.astype("<u4")
V = len(VERTICES)
WIDER = np.zeros_like(VERTICES)
WIDER[: V // 2, 0] = 0.3 * VERTICES[: V // 2, 0]
TURN = [0.0, np.sin(np.pi / 4), 0.0, np.cos(np.pi / 4)]  # by 90 degrees about y: (x, y, z) -> (z, y, -x)


def head(**primitive):
    """A document with the head as its first mesh, and that mesh's primitive."""
    glb = Glb(nodes=[{"mesh": 0}])
    primitive = {"attributes": {"POSITION": glb.array(VERTICES)}, "indices": glb.array(FACES.ravel()), **primitive}
    glb.document["meshes"] = [{"primitives": [primitive]}]
    return glb, primitive


def read(folder, glb):
    path = folder / "head.glb"
    path.write_bytes(glb if isinstance(glb, bytes) else glb.content())
    return read_shape(path, V)


@pytest.mark.parametrize("place", ["mesh", "node", "both"])
@pytest.mark.parametrize("sparse", [False, True])
def test_shape_keys_count_as_their_weights_say(tmp_path, place, sparse):
    glb, primitive = head()
    keys = [glb.sparse(WIDER) if sparse else glb.array(WIDER), glb.array(np.ones_like(VERTICES))]
    primitive["targets"] = [{"POSITION": key} for key in keys]
    if place in ("mesh", "both"):
        glb.document["meshes"][0]["weights"] = [0.5, 0.0] if place == "mesh" else [9.0, 9.0]
    if place in ("node", "both"):  # a node's weights take the place of its mesh's
        glb.document["nodes"][0]["weights"] = [0.5, 0.0]
    found = read(tmp_path, glb)
    np.testing.assert_allclose(found.vertices, VERTICES + 0.5 * WIDER, atol=1e-7)
    np.testing.assert_array_equal(found.faces, FACES)


def test_shape_keys_without_weights_and_without_positions_change_nothing(tmp_path):
    glb, primitive = head()
    primitive["targets"] = [{"NORMAL": glb.array(WIDER)}, {"POSITION": glb.array(WIDER)}]
    np.testing.assert_array_equal(read(tmp_path, glb).vertices, VERTICES)
    glb.document["meshes"][0]["weights"] = [1.0, 0.0]
    np.testing.assert_array_equal(read(tmp_path, glb).vertices, VERTICES)


@pytest.mark.parametrize("kind, stride", [("i2", 8), ("i1", 4), ("u2", 8)])
@pytest.mark.parametrize("normalized", [True, False])
def test_quantised_positions_are_read(tmp_path, kind, stride, normalized):
    """KHR_mesh_quantization: small integers, placed by their node."""
    low, high = (0, np.iinfo(kind).max) if kind[0] == "u" else (-np.iinfo(kind).max, np.iinfo(kind).max)
    size = float(np.ptp(VERTICES, axis=0).max())
    corner = VERTICES.min(axis=0).astype(float)
    small = np.round((VERTICES - corner) / size * (high - low) + low).astype(kind)
    glb, primitive = head()
    primitive["attributes"]["POSITION"] = glb.array(small, stride, **({"normalized": True} if normalized else {}))
    step = size / (high - low)
    scale = step * (np.iinfo(kind).max if normalized else 1)
    glb.document["nodes"][0].update(scale=[scale] * 3, translation=(corner - low * step).tolist())
    glb.document["extensionsRequired"] = ["KHR_mesh_quantization"]
    np.testing.assert_allclose(read(tmp_path, glb).vertices, VERTICES, atol=step)


def test_rows_with_strides_and_offsets_and_data_in_the_description(tmp_path):
    glb, primitive = head()
    primitive["attributes"]["POSITION"] = glb.accessor(
        "f4", V, 3, byteOffset=12,
        bufferView=glb.view(np.column_stack([WIDER, VERTICES]).astype("<f4").tobytes(), byteStride=24),
    )  # fmt: skip
    assert np.array_equal(read(tmp_path, glb).vertices, VERTICES)
    inside = "data:application/octet-stream;base64," + base64.b64encode(glb.data).decode()
    glb.document["buffers"] = [{"byteLength": len(glb.data), "uri": inside}]
    glb.data = b""
    assert np.array_equal(read(tmp_path, glb).vertices, VERTICES)


def test_nodes_above_place_the_head(tmp_path):
    glb, _ = head()
    up = {"children": [1], "rotation": TURN, "translation": [0.0, 0.1, 0.0]}
    glb.document["nodes"] = [up, {"mesh": 0, "scale": [2.0, 1.0, 1.0]}]
    x, y, z = VERTICES.T
    np.testing.assert_allclose(read(tmp_path, glb).vertices, np.stack([z, y + 0.1, -2 * x]).T, atol=1e-6)
    columns = np.eye(4)
    columns[3, :3] = 0.0, 0.1, 0.0  # glTF writes a matrix column after column
    glb.document["nodes"] = [{"children": [1], "matrix": columns.ravel().tolist()}, {"mesh": 0}]
    np.testing.assert_allclose(read(tmp_path, glb).vertices, VERTICES + [0, 0.1, 0], atol=1e-7)


def test_rotations_of_another_length_count_as_of_length_one_and_of_none_are_refused(tmp_path):
    glb, _ = head()
    glb.document["nodes"] = [{"mesh": 0, "rotation": [2 * value for value in TURN]}]
    x, y, z = VERTICES.T
    np.testing.assert_allclose(read(tmp_path, glb).vertices, np.stack([z, y, -x]).T, atol=1e-6)
    glb.document["nodes"] = [{"mesh": 0, "rotation": [0.0, 0.0, 0.0, 0.0]}]
    with pytest.raises(ValueError, match="zero norm.*Export it again"):
        read(tmp_path, glb)


def test_what_is_not_in_the_scene_is_not_read(tmp_path):
    glb, primitive = head()
    glb.document["meshes"].append({"primitives": [primitive]})
    glb.document["nodes"].append({"mesh": 1})
    assert np.array_equal(read(tmp_path, glb).vertices, VERTICES)
    del glb.document["scene"], glb.document["scenes"]
    with pytest.raises(ValueError, match="head.glb: it holds 2 objects with 162, 162 vertices; expected one, the head"):
        read(tmp_path, glb)


@pytest.mark.parametrize("posed", [False, True])
def test_a_skeleton_holds_the_head(tmp_path, posed):
    glb, primitive = head()
    joints = np.zeros((V, 4), "u1")
    joints[V // 2 :, 0] = 1
    shares = np.zeros((V, 4), "<f4")
    shares[:, 0] = 1
    primitive["attributes"].update(JOINTS_0=glb.array(joints), WEIGHTS_0=glb.array(shares))
    inverse = np.stack([np.eye(4), np.eye(4)]).astype("<f4")
    inverse[1, 3, 1] = -0.1  # column after column; the second joint rests at y = 0.1
    glb.document["skins"] = [{"joints": [1, 2], "inverseBindMatrices": glb.array(inverse.reshape(2, 16))}]
    moved = [0.05, 0.1, 0.0] if posed else [0.0, 0.1, 0.0]
    nodes = [{"mesh": 0, "skin": 0, "translation": [9.0, 9.0, 9.0]}, {"children": [2]}, {"translation": moved}]
    glb.document.update(nodes=nodes, scenes=[{"nodes": [0, 1]}])
    expected = VERTICES.copy()
    expected[V // 2 :, 0] += 0.05 * posed
    np.testing.assert_allclose(read(tmp_path, glb).vertices, expected, atol=1e-6)


@pytest.mark.parametrize("mode, corners, triangles", [
    (5, [0, 1, 2, 3, 4], [[0, 1, 2], [2, 1, 3], [2, 3, 4]]),
    (6, [0, 1, 2, 3], [[0, 1, 2], [0, 2, 3]]),
    (0, [0, 1], None),
])  # fmt: skip
def test_strips_fans_and_points_are_read(tmp_path, mode, corners, triangles):
    glb, primitive = head(mode=mode)
    primitive["indices"] = glb.array(np.array(corners, "<u2"))
    found = read(tmp_path, glb)
    assert np.array_equal(found.vertices, VERTICES)
    assert (found.faces is None) if triangles is None else (found.faces.tolist() == triangles)


def test_pieces_that_share_their_vertices_are_one_mesh(tmp_path):
    glb, primitive = head()
    glb.document["meshes"][0]["primitives"] = [
        {**primitive, "indices": glb.array(part.ravel()), "material": place}
        for place, part in enumerate((FACES[:50], FACES[50:]))
    ]
    found = read(tmp_path, glb)
    assert np.array_equal(found.vertices, VERTICES) and np.array_equal(found.faces, FACES)


def compressed(name, required=True):
    glb, primitive = head()
    if required:
        glb.document["extensionsRequired"] = [name]
    if "draco" in name:
        primitive["extensions"] = {name: {"bufferView": 0, "attributes": {"POSITION": 0}}}
        del glb.document["accessors"][0]["bufferView"]
    else:
        glb.document["bufferViews"][0]["extensions"] = {name: {"buffer": 0, "byteLength": 4}}
        glb.document["buffers"] = [{"byteLength": 0, "extensions": {name: {"fallback": True}}}]
    return glb


def divided():
    glb, primitive = head()
    glb.document["meshes"][0]["primitives"].append(
        {"attributes": {"POSITION": glb.array(VERTICES[:80])}, "material": 1}
    )
    return glb


def other(**changes):
    glb, _ = head()
    glb.document.update(changes)
    return glb


@pytest.mark.parametrize("make, sentence", [
    (lambda: compressed("KHR_draco_mesh_compression"), "it is Draco-compressed .* without compression"),
    (lambda: compressed("KHR_draco_mesh_compression", False), "it is Draco-compressed .* without compression"),
    (lambda: compressed("EXT_meshopt_compression"), "it is meshopt-compressed .* without compression"),
    (lambda: compressed("EXT_meshopt_compression", False), "it is meshopt-compressed .* without compression"),
    (lambda: other(extensionsRequired=["VENDOR_shapes"]), "needs the glTF extension VENDOR_shapes, which is not read"),
    (lambda: other(buffers=[{"byteLength": 1, "uri": "head.bin"}]), "data lie in another file, 'head.bin'"),
    (divided, "divided into 2 pieces with 162, 80 vertices.* with one material, or as .ply"),
    (lambda: other(nodes=[{"children": [0]}]), r"cannot be read as .glb .*its own"),
    (lambda: other(meshes=[{}]), r"cannot be read as .glb .*no valid glTF"),
    (lambda: other(bufferViews=[{"buffer": 0, "byteLength": 4}] * 2), "cannot be read .*ends within its data"),
    (lambda: head()[0].content()[:-40], r"cannot be read as .glb .*bytes"),
    (lambda: b"glTF\1\0\0\0" + bytes(40), "it is glTF 1, and only version 2 is read"),
])  # fmt: skip
def test_what_is_not_read_is_refused_for_the_true_reason(tmp_path, make, sentence):
    with pytest.raises(ValueError, match=f"head.glb.*{sentence}"):
        read(tmp_path, make())
