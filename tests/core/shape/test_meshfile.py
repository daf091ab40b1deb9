"""What other programs put into 3D files: it is read, and never re-orders the vertices."""

import struct
import warnings

import numpy as np
import pytest
import trimesh

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.files.pointcloud import load_shape, read_shape

VERTICES, FACES = (tensor.numpy() for tensor in synthetic_head(2))
V = len(VERTICES)
COUNTED = {"<": "binary_little_endian", ">": "binary_big_endian"}


def written(folder, content, name="head.ply"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ply_header(encoding, kind="float", faces=0, vertex_extras=(), face_extras=()):
    lines = ["ply", f"format {encoding} 1.0", "comment by hand", f"element vertex {V}"]
    lines += [f"property {kind} {axis}" for axis in "xyz"] + [f"property {extra}" for extra in vertex_extras]
    if faces:
        lines += [f"element face {faces}", "property list uchar int vertex_indices"]
        lines += [f"property {extra}" for extra in face_extras]
    return "\n".join([*lines, "end_header\n"])


def quads_and_triangles():
    """The head's faces with the first 40 pairs of neighbours joined into quads: 40 quads, then triangles."""
    left, polygons = [tuple(map(int, face)) for face in FACES], []
    while len(polygons) < 40:
        first = left.pop(0)
        for second in left:
            shared = [corner for corner in first if corner in second]
            if len(shared) == 2:
                left.remove(second)
                (other,) = set(second) - set(shared)
                at = next(i for i in range(3) if {first[i], first[(i + 1) % 3]} == set(shared))
                polygons.append((*first[at + 1 :], *first[: at + 1], other))
                break
    return polygons + left


def same_surface(found):
    """Whether triangles cover the same polygons as FACES: the same edges, but for the diagonals of quads."""
    edges = lambda faces: {tuple(sorted(edge)) for face in faces for edge in zip(face, np.roll(face, 1), strict=True)}  # noqa: E731
    return len(found) == len(FACES) and len(edges(FACES.tolist()) ^ edges(found.tolist())) <= 2 * 40


@pytest.mark.parametrize("order", COUNTED)
@pytest.mark.parametrize("kind, code", [("float", "f4"), ("double", "f8")])
@pytest.mark.parametrize("with_faces", [False, True])
def test_binary_ply_with_normals_and_colours_is_read(tmp_path, order, kind, code, with_faces):
    extras = [f"float n{axis}" for axis in "xyz"] + [f"uchar {colour}" for colour in ("red", "green", "blue")]
    rows = np.zeros(V, [("p", order + code, 3), ("n", order + "f4", 3), ("c", "u1", 3)])
    rows["p"], rows["n"], rows["c"] = VERTICES, 0.5, 200
    triangles = np.zeros(len(FACES), [("count", "u1"), ("corners", order + "i4", 3), ("flags", order + "i4")])
    triangles["count"], triangles["corners"] = 3, FACES
    header = ply_header(COUNTED[order], kind, len(FACES) if with_faces else 0, extras, ["int flags"])
    content = header.encode() + rows.tobytes() + (triangles.tobytes() if with_faces else b"")

    shape = read_shape(written(tmp_path, content), V)
    np.testing.assert_array_equal(shape.vertices.numpy(), VERTICES)
    if with_faces:
        np.testing.assert_array_equal(shape.faces, FACES)
    else:
        assert shape.faces is None


@pytest.mark.parametrize("order", COUNTED)
@pytest.mark.parametrize("extra", ["", "int flags", "list uchar float texcoord"])
def test_binary_ply_with_quads_among_triangles_is_read(tmp_path, order, extra):
    polygons = quads_and_triangles()
    content = ply_header(COUNTED[order], faces=len(polygons), face_extras=[extra] if extra else []).encode()
    content += VERTICES.astype(order + "f4").tobytes()
    for polygon in polygons:
        content += struct.pack(f"{order}B{len(polygon)}i", len(polygon), *polygon)
        if extra:
            content += struct.pack(order + "i", 7) if "int" in extra else struct.pack(order + "B4f", 4, 0, 1, 0, 1)
    path = written(tmp_path, content)
    shape = read_shape(path, V)
    np.testing.assert_array_equal(shape.vertices.numpy(), VERTICES)
    assert same_surface(shape.faces)
    path.write_bytes(content[:-3])
    with pytest.raises(ValueError, match="head.ply cannot be read as .ply"):
        read_shape(path, V)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_text_ply_with_colours_quads_and_windows_line_ends_is_read(tmp_path, newline):
    polygons = quads_and_triangles()
    lines = [" ".join([*(f"{x:.9g}" for x in row), "0 0 1", "255 0 0"]) for row in VERTICES.tolist()]
    lines += [f"{len(polygon)} {' '.join(map(str, polygon))}" for polygon in polygons]
    extras = [f"float n{axis}" for axis in "xyz"] + [f"uchar {colour}" for colour in ("red", "green", "blue")]
    text = ply_header("ascii", "double", len(polygons), extras) + "\n".join(lines) + "\n"
    shape = read_shape(written(tmp_path, text.replace("\n", newline)), V)
    np.testing.assert_array_equal(shape.vertices.numpy(), VERTICES)
    assert same_surface(shape.faces)


@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian"])
def test_ply_with_texture_seams_keeps_the_vertices(tmp_path, encoding):
    """As MeshLab writes it: texture coordinates per corner, for which trimesh would split vertices."""
    header = ply_header(encoding, faces=len(FACES), face_extras=["list uchar float texcoord"])
    coordinates = np.random.default_rng(0).random((len(FACES), 6)).astype(np.float32)
    if encoding == "ascii":
        lines = [" ".join(f"{x:.9g}" for x in row) for row in VERTICES.tolist()]
        rows = zip(FACES.tolist(), coordinates.tolist(), strict=True)
        lines += [" ".join(map(str, (3, *corners, 6, *uv))) for corners, uv in rows]
        content = (header + "\n".join(lines) + "\n").encode()
    else:
        content = header.encode() + VERTICES.astype("<f4").tobytes()
        for face, uv in zip(FACES, coordinates, strict=True):
            content += struct.pack("<B3iB6f", 3, *face, 6, *uv)
    shape = read_shape(written(tmp_path, content), V)
    np.testing.assert_array_equal(shape.vertices.numpy(), VERTICES)
    np.testing.assert_array_equal(shape.faces, FACES)


def obj_lines(faces):
    return [*(f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in VERTICES.tolist()), *faces]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_obj_with_negative_indices_comments_and_windows_line_ends_is_read(tmp_path, newline):
    """Negative indices count from the last vertex before the face, wherever the face stands in the file."""
    lines = ["# by hand"]
    ready = {int(last): [face for face in FACES if face.max() == last] for last in range(V)}
    for index, (x, y, z) in enumerate(VERTICES.tolist()):
        lines.append(f"v {x:.9g} {y:.9g} {z:.9g} 1.0 0.5 0.5")
        for corner in ready[index]:
            a, b, c = corner - index - 1
            lines.append(f"f {a}//1 {b}/2 \\\n{c}/3/3  # three corners")
    shape = read_shape(written(tmp_path, newline.join("\n".join(lines).split("\n")), "head.obj"), V)
    np.testing.assert_array_equal(shape.vertices.numpy(), VERTICES)
    assert sorted(map(tuple, shape.faces)) == sorted(map(tuple, FACES))


@pytest.mark.parametrize("face", ["f 0 1 2", f"f {-V - 1} 1 2", "f 1 2 three", f"f 1 2 {V + 1}"])
def test_obj_faces_that_name_no_vertex_are_refused(tmp_path, face):
    with pytest.raises(ValueError, match="head.obj( cannot be read|: expected faces)"):
        load_shape(written(tmp_path, "\n".join(obj_lines([face])), "head.obj"), V)


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_stl_in_the_known_order_gets_its_vertices_back(tmp_path, kind, newline):
    content = trimesh.Trimesh(VERTICES, FACES, process=False).export(file_type=kind)
    content = content.encode().replace(b"\n", newline) if isinstance(content, str) else content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shape = read_shape(written(tmp_path, content, "head.stl"), V, faces=FACES, template=VERTICES)
    np.testing.assert_allclose(shape.vertices.numpy(), VERTICES, rtol=0, atol=0 if kind == "stl" else 1e-7)
    np.testing.assert_array_equal(shape.faces, FACES)


def test_an_stl_of_a_person_gets_its_vertices_back(person, tmp_path):
    _, head, faces, template = person
    content = trimesh.Trimesh(head, faces, process=False).export(file_type="stl")
    shape = read_shape(written(tmp_path, content, "head.stl"), len(head), faces=faces, template=template)
    assert np.array_equal(shape.vertices, head) and shape.note == ""


def test_stl_in_another_order_is_refused(tmp_path):
    def stl(faces):
        return written(tmp_path, trimesh.Trimesh(VERTICES, faces, process=False).export(file_type="stl"), "head.stl")

    for faces in (np.random.default_rng(0).permutation(FACES), FACES[::-1], np.roll(FACES, 1, axis=1)):
        with pytest.raises(ValueError, match=r"triangles do not stand in FLAME's order.*export the head as \.ply"):
            load_shape_with(stl(faces))
    with pytest.raises(ValueError, match=f"head.stl: expected FLAME's {len(FACES)} triangles, got {len(FACES) - 1}"):
        load_shape_with(stl(FACES[1:]))
    with pytest.raises(ValueError, match="STL file repeats every vertex .* or get the mesh topology"):
        load_shape(stl(FACES), V)


def load_shape_with(path):
    return read_shape(path, V, faces=FACES)


@pytest.mark.parametrize("content", [b"", b"solid head\nendsolid head\n", b"hello\n" * 100, b"\xff\x00\x80" * 500])
def test_damaged_stl_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match="head.stl(:| cannot be read as .stl)"):
        load_shape_with(written(tmp_path, content, "head.stl"))
    whole = trimesh.Trimesh(VERTICES, FACES, process=False).export(file_type="stl")
    with pytest.raises(ValueError, match="head.stl(:| cannot be read as .stl)"):
        load_shape_with(written(tmp_path, whole[: len(whole) // 2], "head.stl"))


def test_several_solids_in_one_stl_are_refused(tmp_path):
    one = trimesh.Trimesh(VERTICES, FACES, process=False).export(file_type="stl_ascii").splitlines()[1:-1]
    text = "\n".join(["solid a", *one, "endsolid a", "solid b", *one, "endsolid b", ""])
    with pytest.raises(ValueError, match="it holds 2 objects"):
        load_shape_with(written(tmp_path, text, "head.stl"))


def test_glb_with_several_meshes_is_refused(tmp_path):
    scene = trimesh.Scene([trimesh.Trimesh(VERTICES, FACES, process=False), trimesh.creation.box()])
    with pytest.raises(ValueError, match=r"it holds 2 objects with .*162 .*vertices; expected one"):
        load_shape(written(tmp_path, scene.export(file_type="glb"), "head.glb"), V)
