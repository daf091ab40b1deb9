"""Heads in files: order, count and bits survive; other units are converted, other things refused."""

import errno
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from facesamples import official_names

from fantasyid_core.shape.faceshape import FaceShape
from fantasyid_core.shape.files.pointcloud import load_shape, read_shape, save_shape

V = 5023
SUFFIXES = [".ply", ".obj", ".glb", ".npy"]


@pytest.fixture(scope="module")
def head() -> torch.Tensor:  # [V,3] metres
    """An ellipsoid as tall as a head, its vertices in no order that a program would choose."""
    directions = np.random.default_rng(0).standard_normal((V, 3))
    points = directions / np.linalg.norm(directions, axis=1, keepdims=True) * (0.1, 0.16, 0.13)
    return torch.tensor(points, dtype=torch.float32)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:  # [F,3]; the last 23 vertices belong to no face
    return np.random.default_rng(1).permuted(np.tile(np.arange(5000), (600, 1)), axis=1)[:, :3]


def written(folder, content, name="head.ply"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ply(vertices, encoding="ascii", kind="float", faces=()):
    """A .ply written by hand, so that reading is not only tested against our own writing."""
    header = f"ply\nformat {encoding} 1.0\ncomment by hand\nelement vertex {len(vertices)}\n"
    header += "".join(f"property {kind} {axis}\n" for axis in "xyz")
    if len(faces):
        header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\n"
    header = (header + "end_header\n").encode()
    if encoding == "ascii":
        lines = [" ".join(f"{x:.9g}" for x in row) for row in vertices]
        lines += ["3 " + " ".join(map(str, face)) for face in faces]
        return header + ("\n".join(lines) + "\n").encode()
    order = "<" if "little" in encoding else ">"
    return header + np.asarray(vertices).astype(order + {"float": "f4", "double": "f8"}[kind]).tobytes()


@pytest.fixture(scope="module")
def flame(person):
    """What reading a file is told about the mesh of `person`: keyword arguments."""
    return {"faces": person.faces, "template": person.template}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("with_faces", [False, True])
def test_round_trip_keeps_order_count_and_bits(tmp_path, head, faces, suffix, with_faces):
    path = tmp_path / f"head{suffix}"
    save_shape(head, path, faces if with_faces else None)
    shape = read_shape(path)
    assert shape.vertices.shape == (V, 3) and shape.vertices.dtype == torch.float32
    if suffix == ".obj":
        torch.testing.assert_close(shape.vertices, head, rtol=0, atol=1e-8)
    else:
        assert torch.equal(shape.vertices, head)
    if with_faces and suffix != ".npy":
        np.testing.assert_array_equal(shape.faces, faces)
        assert shape.faces.dtype == np.int64
    else:
        assert shape.faces is None
    assert shape.name == "head" and shape.note == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("kind", ["float", "double"])
def test_every_kind_of_ply_is_read(tmp_path, head, encoding, kind):
    loaded = load_shape(written(tmp_path, ply(head.numpy(), encoding, kind)))
    assert torch.equal(loaded, head)


@pytest.mark.parametrize("name", official_names())
def test_the_official_sample_clouds_are_read(licensed, name):
    path = licensed(f"{name}.ply")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shape = read_shape(path)
    body = path.read_bytes().split(b"end_header\n", 1)[1]
    expected = np.frombuffer(body, "<f8").reshape(V, 3).astype(np.float32)
    np.testing.assert_array_equal(shape.vertices.numpy(), expected)
    assert shape.faces is None and shape.name == name and shape.note == ""


def test_people_survive_every_format_and_the_check_of_their_order(tmp_path, person, flame):
    count = len(person.vertices)
    save_shape(torch.from_numpy(person.vertices), tmp_path / "points.ply")
    sample = read_shape(tmp_path / "points.ply", count, **flame)
    np.testing.assert_array_equal(sample.faces, flame["faces"])  # a cloud of points gets the mesh's
    for suffix in SUFFIXES:
        save_shape(sample.vertices, tmp_path / f"head{suffix}", sample.faces)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = read_shape(tmp_path / f"head{suffix}", count, **flame)
        torch.testing.assert_close(again.vertices, sample.vertices, rtol=0, atol=1e-7)
        np.testing.assert_array_equal(again.faces, flame["faces"])
        assert again.note == ""


def test_other_orders_are_refused_whatever_the_file_tells(tmp_path, person, flame):
    count = len(person.vertices)
    shuffled = np.random.default_rng(0).permutation(count)
    vertices = torch.from_numpy(person.vertices[shuffled])
    save_shape(vertices, tmp_path / "head.ply", np.argsort(shuffled)[flame["faces"]])
    with pytest.raises(ValueError, match=f"head.ply: its {count} vertices are not in FLAME's order.*shuffled"):
        read_shape(tmp_path / "head.ply", count, **flame)
    with pytest.raises(ValueError, match="head.ply: 0% of its [0-9]+ triangles join .* not in FLAME's order"):
        read_shape(tmp_path / "head.ply", count, faces=flame["faces"])
    assert len(load_shape(tmp_path / "head.ply", count)) == count  # nothing to compare with


def test_turned_heads_and_foreign_triangles_are_notes(tmp_path, person, flame):
    (x, y, z), some = torch.from_numpy(person.vertices).T, len(person.faces) * 9 // 10
    path = tmp_path / "head.ply"
    save_shape(torch.stack([x, -z, y], dim=1) * 1000, path, flame["faces"][:some])
    message = f"looks like millimetres .*axes swapped: z up instead of y up.*{some} triangles"
    with pytest.warns(UserWarning, match=message):
        shape = read_shape(path, len(person.vertices), **flame)
    torch.testing.assert_close(shape.vertices, torch.stack([x, -z, y], dim=1))  # said, not done
    assert len(shape.faces) == some


def test_known_faces_and_template_must_fit_the_count(tmp_path, head):
    save_shape(head, tmp_path / "head.ply")
    with pytest.raises(ValueError, match="FLAME's mesh: expected faces that name vertices 0 to 5022, got 0 to 5023"):
        read_shape(tmp_path / "head.ply", faces=[[0, 1, V]])
    with pytest.raises(ValueError, match=r"FLAME's template has, \[100, 3\], got \[5023, 3\]"):
        read_shape(tmp_path / "head.ply", template=head[:100])


def test_npz_with_faces_and_a_batch_of_one_are_read(tmp_path, head, faces):
    np.savez(tmp_path / "head.npz", vertices=head.double().numpy(), faces=faces.astype(np.uint16))
    shape = read_shape(tmp_path / "head.npz")
    assert torch.equal(shape.vertices, head)
    np.testing.assert_array_equal(shape.faces, faces)
    np.save(tmp_path / "head.npy", head[None].numpy())
    assert torch.equal(load_shape(tmp_path / "head.npy"), head)


def test_obj_with_seams_materials_and_groups_keeps_the_vertices(tmp_path, head):
    lines = ["mtllib absent.mtl", *(f"v {x:.8f} {y:.8f} {z:.8f}" for x, y, z in head.tolist())]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "o skin", "usemtl skin", "f 1/1 2/2 3/3", "f 3/1 2/3 4/2"]
    lines += ["o eyes", "usemtl eyes", "f 4/1 5/2 6/3 7/1"]
    shape = read_shape(written(tmp_path, "\n".join(lines), "head.obj"))
    torch.testing.assert_close(shape.vertices, head, rtol=0, atol=1e-8)
    assert shape.faces[:2].tolist() == [[0, 1, 2], [2, 1, 3]] and len(shape.faces) == 4


def test_glb_placement_is_applied(tmp_path, head, faces):
    scene = trimesh.Scene()
    placement = np.diag([2.0, 2.0, 2.0, 1.0])
    placement[1, 3] = 0.1
    scene.add_geometry(trimesh.Trimesh(head.numpy() / 2, faces, process=False), transform=placement)
    path = written(tmp_path, scene.export(file_type="glb"), "head.glb")
    torch.testing.assert_close(load_shape(path), head + torch.tensor([0, 0.1, 0]))
    scene.add_geometry(trimesh.creation.box())
    with pytest.raises(ValueError, match="2 objects with .*5023.* vertices; expected one"):
        load_shape(written(tmp_path, scene.export(file_type="glb"), "head.glb"))


@pytest.mark.parametrize("unit, factor", [("millimetres", 1000), ("centimetres", 100)])
def test_other_units_are_converted_and_said(tmp_path, head, unit, factor):
    path = written(tmp_path, ply(head.numpy() * factor, "binary_little_endian"))
    with pytest.warns(UserWarning, match=rf"looks like {unit} \(height .*divided by {factor}"):
        shape = read_shape(path)
    torch.testing.assert_close(shape.vertices, head, rtol=1e-6, atol=0)
    assert f"looks like {unit}" in shape.note


@pytest.mark.parametrize("factor", [50_000 / 0.32, 1e-6, 0.1, 39.37, 1 / 0.16, 0.0])
def test_sizes_that_fit_no_unit_are_refused(tmp_path, head, factor):
    path = written(tmp_path, ply(head.numpy() * factor, "binary_little_endian", "double"))
    with pytest.raises(ValueError, match="expected a head 0.1 to 1 metre tall .*got a height of"):
        load_shape(path)


def test_a_head_far_from_the_origin_is_reported(tmp_path, head):
    path = written(tmp_path, ply(head.numpy() + (0, 0, 1.5), "binary_little_endian"))
    with pytest.warns(UserWarning, match="1.5 m from the origin"):
        assert "origin" in read_shape(path).note


@pytest.mark.parametrize("count", [1, 5022, 5024, 10_000])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_wrong_vertex_count_is_refused(tmp_path, head, suffix, count):
    path = tmp_path / f"head{suffix}"
    save_shape(head.repeat(2, 1)[:count], path)
    with pytest.raises(ValueError, match=f"expected 5023 FLAME vertices, got {count}"):
        load_shape(path)
    if count > 1:
        assert len(load_shape(path, vertex_count=count)) == count


def test_no_vertices_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no vertices: expected 5023"):
        load_shape(written(tmp_path, ply(np.zeros((0, 3)))))
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    with pytest.raises(ValueError, match="holds no vertices: expected 5023"):
        load_shape(tmp_path / "none.npy")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian"])
def test_nan_and_infinite_coordinates_are_refused(tmp_path, head, value, encoding):
    broken = head.numpy().copy()
    broken[[7, 100, 5000], [0, 2, 1]] = value
    with pytest.raises(ValueError, match="in 3 of 5023 vertices, the first at index 7"):
        load_shape(written(tmp_path, ply(broken, encoding)))


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb", ".npy", ".npz"])
@pytest.mark.parametrize("content", [b"", b"hello, this is no head\n" * 100, b"\xff\xfe\x00\x80" * 500])
def test_empty_files_and_garbage_are_refused(tmp_path, suffix, content):
    path = written(tmp_path, content, f"head{suffix}")
    with pytest.raises(ValueError, match=f"head{suffix} (cannot be read as|holds no vertices)"):
        load_shape(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.98])
def test_truncated_files_are_refused(tmp_path, head, suffix, kept):
    path = tmp_path / f"head{suffix}"
    save_shape(head, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"head{suffix}(:| cannot| holds)"):
        load_shape(path)


def test_a_header_that_promises_too_much_is_refused(tmp_path, head):
    content = ply(head.numpy(), "binary_little_endian").replace(b"vertex 5023", b"vertex 99999999999")
    with pytest.raises(ValueError, match="head.ply cannot be read"):
        load_shape(written(tmp_path, content))


def test_text_among_the_numbers_and_faces_out_of_range_are_refused(tmp_path, head):
    content = ply(head.numpy()).decode().splitlines()
    content[20] = "zero one two"
    with pytest.raises(ValueError, match="head.ply cannot be read as .ply"):
        load_shape(written(tmp_path, "\n".join(content)))
    with pytest.raises(ValueError, match="faces that name vertices 0 to 5022, got 0 to 5023|cannot be read"):
        load_shape(written(tmp_path, ply(head.numpy(), faces=[[0, 1, 5023]])))


def test_arrays_of_another_shape_or_kind_are_refused(tmp_path, head):
    for array in (head.numpy().T, head.numpy()[:, :2], np.float32(3), head[None].repeat(2, 1, 1).numpy()):
        np.save(tmp_path / "head.npy", array)
        with pytest.raises(ValueError, match=r"expected vertices \[V,3\]"):
            load_shape(tmp_path / "head.npy")
    np.savez(tmp_path / "head.npz", points=head.numpy())
    with pytest.raises(ValueError, match="it holds points; expected 'vertices'"):
        load_shape(tmp_path / "head.npz")


class Intruder:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickles_in_arrays_are_never_run(tmp_path, suffix):
    objects = np.array([Intruder(tmp_path / "intruded")], dtype=object)
    path = tmp_path / f"head{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, **{"arr" if suffix == ".npy" else "vertices": objects})
    with pytest.raises(ValueError, match="it holds Python objects"):
        load_shape(path)
    assert not (tmp_path / "intruded").exists()


def test_missing_files_folders_and_other_formats_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no shape at .*nobody.ply"):
        load_shape(tmp_path / "nobody.ply")
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(ValueError, match="got a folder"):
        load_shape(tmp_path / "folder.ply")
    with pytest.raises(ValueError, match="STL file repeats every vertex"):
        load_shape(written(tmp_path, b"solid", "head.stl"))
    with pytest.raises(ValueError, match="one of .ply, .obj, .glb, .stl, .npy, .npz, got '.txt'"):
        load_shape(written(tmp_path, b"x", "head.txt"))
    for suffix in (".fbx", ".usdz", ".gltf", ".blend"):
        with pytest.raises(ValueError, match=rf"got '{suffix}'. Open it in a 3D program, .* export .* as .ply"):
            load_shape(written(tmp_path, b"x", f"head{suffix}"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("existing", [True, False])
def test_full_disk_costs_nothing(tmp_path, head, monkeypatch, suffix, existing):
    path = tmp_path / f"head{suffix}"
    if existing:
        save_shape(head, path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(self, content):
        with open(self, "wb") as file:  # half of it still fits
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device.* Nothing was changed"):
        save_shape(head * 1.1, path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, head):
    blocked = written(tmp_path, b"a file, not a folder", "blocked")
    with pytest.raises(OSError, match="Cannot write"):
        save_shape(head, blocked / "head.ply")
    assert blocked.read_bytes() == b"a file, not a folder"


def test_bad_shapes_are_not_saved(tmp_path, head):
    path = tmp_path / "head.ply"
    broken = head.clone()
    broken[3, 1] = float("nan")
    for vertices, faces, message in [
        (broken, None, "1 of 5023 vertices, the first at index 3"),
        (head[:0], None, "no vertices"),
        (head[None], None, r"vertices \[V,3\]"),
        (head, [[0, 1, V]], "faces that name vertices 0 to 5022"),
        (head, [[0.5, 1.0, 2.0]], "as integers"),
    ]:
        with pytest.raises(ValueError, match=message):
            save_shape(vertices, path, faces)
    with pytest.raises(ValueError, match="Cannot save a shape as 'head.stl'"):
        save_shape(head, tmp_path / "head.stl")
    assert not list(tmp_path.iterdir())


def test_face_shape_is_one_head_and_frozen(head):
    shape = FaceShape(head)
    assert shape.faces is None and shape.note == ""
    with pytest.raises(AttributeError):
        shape.vertices = head
    with pytest.raises(ValueError, match=r"one head \[V,3\], got \[1, 5023, 3\]"):
        FaceShape(head[None])
