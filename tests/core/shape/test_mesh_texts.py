"""Text and header variants of 3D files: read with the right vertices, or refused for the true reason."""

import numpy as np
import pytest

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.files.pointcloud import read_shape

VERTICES, FACES = (tensor.numpy() for tensor in synthetic_head(2))
V, F = len(VERTICES), len(FACES)


def read(folder, content, name="head.ply", **known):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_shape(path, V, **known)


def obj(newline="\n", comma=False):
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in VERTICES.tolist()]
    lines = [line.replace(".", ",") for line in lines] if comma else lines
    return newline.join([*lines, *(f"f {a} {b} {c}" for a, b, c in (FACES + 1).tolist()), ""])


def stl(newline="\n"):
    lines = ["solid head"]
    for face in FACES:
        corners = [f"vertex {x:.9g} {y:.9g} {z:.9g}" for x, y, z in VERTICES[face].tolist()]
        lines += ["facet normal 0 0 0", "outer loop", *corners, "endloop", "endfacet"]
    return newline.join([*lines, "endsolid head", ""])


def text_ply(newline="\n", tab=" "):
    head = ["ply", "format ascii 1.0", f"element vertex {V}", *(f"property float {axis}" for axis in "xyz")]
    head += [f"element face {F}", "property list uchar int vertex_index", "end_header"]
    rows = [tab.join(f"{x:.9g}" for x in row) for row in VERTICES.tolist()]
    return newline.join([*head, *rows, *(tab.join(map(str, (3, *face))) for face in FACES.tolist()), ""])


def same(found):
    np.testing.assert_array_equal(found.vertices.numpy(), VERTICES)
    np.testing.assert_array_equal(found.faces, FACES)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name, make", [("head.obj", obj), ("head.ply", text_ply), ("head.stl", stl)])
def test_every_line_end_and_encoding_is_read(tmp_path, newline, encoding, name, make):
    content = make(newline).encode(encoding)
    content = b"\xfe\xff" + content if encoding == "utf-16-be" else content
    same(read(tmp_path, content, name, **({"faces": FACES} if name == "head.stl" else {})))


@pytest.mark.parametrize("text", [obj(comma=True), obj(comma=True).replace("e-0", "E-0"), obj().replace(" ", "\t")])
def test_decimal_commas_exponents_and_tabs_in_obj(tmp_path, text):
    same(read(tmp_path, text, "head.obj"))


def test_decimal_commas_and_tabs_in_text_ply_and_stl(tmp_path):
    body = text_ply(tab="\t").split("end_header\n")
    same(read(tmp_path, "end_header\n".join([body[0], body[1].replace(".", ",")])))
    same(read(tmp_path, stl().replace(".", ","), "head.stl", faces=FACES))


def test_a_word_among_the_numbers_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"it has '0,1,2' where a number belongs"):
        read(tmp_path, obj().replace("v ", "v 0,1,2 ", 1), "head.obj")


def test_obj_of_several_objects_is_refused_with_their_names(tmp_path):
    eye = f"o Eye\nv 0 0 0\nv 0 0 1\nv 0 1 0\nf {V + 1} {V + 2} {V + 3}\n"
    sentence = rf"it holds 2 objects with {V} \(Head\), 3 \(Eye\) vertices; expected one"
    for first in ("o Head\n", "g Head\n", "# by hand\no Head\n"):
        with pytest.raises(ValueError, match=sentence):
            read(tmp_path, first + obj() + eye, "head.obj")


def test_obj_with_groups_smoothing_and_materials_is_one_head(tmp_path):
    lines = obj().splitlines()
    lines[V + 10 : V + 10] = ["g lips", "usemtl skin", "s off", "vt 0 0", "vn 0 0 1", "l 1 2", "p 1"]
    lines = ["mtllib head.mtl", "o Head", "g all", *lines, "g empty", "o nothing"]
    same(read(tmp_path, "\n".join(lines), "head.obj"))


ORDERS = {"<": "binary_little_endian", ">": "binary_big_endian"}


def binary_ply(order="<", count="u1", corner="i4", before=b"", between="", newline="\n", lists=(), behind=b""):
    """before: an element in front of the vertices; between: one in front of the faces, without data; lists: other
    lists, each in front of the corners; behind: bytes after the last face."""
    names = {"u1": "uchar", "u2": "ushort", "u4": "uint32", "i4": "int", "i2": "short"}
    head = ["ply", f"format {ORDERS[order]} 1.0", "comment TextureFile skin.png", "obj_info by hand"]
    if before:
        head += ["element camera 1", "property uchar n", "property list uchar uchar values"]
    head += [f"element vertex {V}", "property uchar quality", *(f"property float {axis}" for axis in "xyz")]
    head += [between] if between else []
    head += [f"element face {F}"]
    head += ["property list uchar float " + name for name in lists]
    head += [f"property list {names[count]} {names[corner]} vertex_indices", "element edge 3", "end_header", ""]
    rows = np.zeros(V, [("q", "u1"), ("p", order + "f4", 3)])
    rows["p"] = VERTICES
    record = [field for name in lists for field in ((f"n{name}", "u1"), (name, order + "f4", 6))]
    packed = np.zeros(F, [*record, ("n", order + count), ("corners", order + corner, 3)])
    packed["n"], packed["corners"] = 3, FACES
    for name in lists:
        packed[f"n{name}"], packed[name] = 6, 0.5
    return newline.join(head).encode() + before + rows.tobytes() + packed.tobytes() + behind


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count, corner", [("u1", "i4"), ("u2", "u4"), ("i4", "u2"), ("u4", "i2")])
def test_binary_ply_with_every_kind_of_list(tmp_path, order, count, corner):
    same(read(tmp_path, binary_ply(order, count, corner)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_binary_ply_whose_header_has_other_line_ends(tmp_path, order, newline):
    same(read(tmp_path, binary_ply(order, newline=newline)))
    # The first byte behind the header is a line feed as often as any other.
    first = b"\n" + bytes(11)
    content = binary_ply(order, newline=newline).replace(b"element vertex %d" % V, b"element vertex %d" % (V + 1))
    end = content.index(b"end_header") + len("end_header" + newline)
    path = tmp_path / "more.ply"
    path.write_bytes(content[:end] + first[:1] + bytes(12) + content[end:])
    assert np.array_equal(read_shape(path, V + 1).vertices[1:], VERTICES)


@pytest.mark.parametrize("lists", [("texcoord",), ("texcoord", "weights")])
def test_lists_before_the_corners_are_no_triangles(tmp_path, lists):
    same(read(tmp_path, binary_ply(lists=lists)))


def test_elements_before_and_between_and_bytes_behind(tmp_path):
    same(read(tmp_path, binary_ply(before=b"\7\3abc", between="element material 5", behind=b"\n")))
    same(read(tmp_path, text_ply() + "\nend of file\n"))


@pytest.mark.parametrize("change, reason", [
    (("element vertex", "element vertices"), r"holds no vertices"),
    (("property float z", "property float w"), r"its vertices have no z"),
    (("property float z", "property list uchar float z"), r"the file ends within|no z"),
    (("property float z", "property real z"), r"'property real z', which names no type"),
    ((f"element face {F}", "element face many"), r"'element face many', without a name and a number"),
    ((f"element face {F}", f"element face {F + 1}"), r"the file ends within its element 'face'"),
    (("format ascii", "format morse"), r"names none of the formats"),
    (("end_header", "end_head"), r"its header is not that of a .ply file"),
])  # fmt: skip
def test_a_header_that_is_wrong_is_named(tmp_path, change, reason):
    with pytest.raises(ValueError, match=f"head.ply.*{reason}"):
        read(tmp_path, text_ply().replace(*change))


@pytest.mark.parametrize("name", ["head.ply", "head.obj", "head.glb", "head.npy", "head.npz"])
@pytest.mark.parametrize("content, what", [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer.*`git lfs pull`"),
    (b"\xef\xbb\xbf<!DOCTYPE html><html>", "web page"),
    (b"\x1f\x8b\x08" + bytes(20), "gzip archive. Unpack it"),
    (b"\x89PNG\r\n\x1a\n", "PNG picture"),
])  # fmt: skip
def test_other_files_under_the_name_of_a_head_are_named(tmp_path, name, content, what):
    with pytest.raises(ValueError, match=rf"{name}: expected a 3D file .*, got a {what}"):
        read(tmp_path, content, name)


@pytest.mark.parametrize("end", [b"", b"\n", bytes(100)])
def test_bytes_behind_a_binary_stl_mean_nothing(tmp_path, end):
    record = np.zeros(F, [("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")])
    record["c"] = VERTICES[FACES]
    content = b"solid by a program that writes binary".ljust(80) + F.to_bytes(4, "little") + record.tobytes() + end
    same(read(tmp_path, content, "head.stl", faces=FACES))
    with pytest.raises(ValueError, match="ends within its 320 triangles"):
        read(tmp_path, content[:1000], "head.stl", faces=FACES)
