"""Heads as NumPy's files, and clouds of points in .ply files that have room for faces and hold none."""

from __future__ import annotations

import io

import numpy as np
import pytest

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.files.pointcloud import read_shape

VERTICES, FACES = (tensor.numpy() for tensor in synthetic_head(1))
HEADER = """ply
format {form} 1.0
element vertex {count}
property float x
property float y
property float z
element face 0
property list uchar int vertex_indices
end_header
"""


def arrays(**named) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **named)
    return buffer.getvalue()


def array(values) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return buffer.getvalue()


def read(tmp_path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    return read_shape(tmp_path / name, len(VERTICES), faces=FACES)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_an_empty_list_of_faces_is_a_cloud(tmp_path, form):
    order = ">f4" if "big" in form else "<f4"
    text = "\n".join(" ".join(f"{x:.9g}" for x in row) for row in VERTICES).encode()
    body = text if form == "ascii" else VERTICES.astype(order).tobytes()
    shape = read(tmp_path, "cloud.ply", HEADER.format(form=form, count=len(VERTICES)).encode() + body)
    assert np.array_equal(shape.vertices.numpy(), VERTICES)


@pytest.mark.parametrize("name, content, sentence", [
    ("a.npy", array(np.array({"vertices": VERTICES}, object)), "it holds Python objects. Save the vertices as an arr"),
    ("a.npy", array(np.array([VERTICES, None], object)), "it holds Python objects. Save the vertices as an array"),
    ("a.npz", arrays(vertices=np.array([VERTICES, None], object)), "it holds Python objects. Save the vertices as"),
    ("a.npy", array(np.zeros(5, [("x", "f4"), ("y", "f4")])), "its array has named columns. Save the vertices"),
    ("a.npz", arrays(verts=VERTICES, f=FACES), "it holds verts, f; expected 'vertices'. Save the vertices"),
    ("a.npy", b"1 2 3\n", "it does not begin as NumPy's files do"),
    ("a.npz", b"1 2 3\n", "it does not begin as NumPy's files do"),
])  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused_without_numpys_advice(tmp_path, name, content, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        read(tmp_path, name, content)
    assert "pickle" not in str(caught.value)
