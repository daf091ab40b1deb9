"""A synthetic model of FLAME's structure, and files of it as FLAME 2020 and 2023 write them."""

import io
import pickle
import struct

import numpy as np
import pytest
import torch

from fantasyid_core.shape import synthetic_head

ORIGIN = r"https://flame\.is\.tue\.mpg\.de and put it into models/fantasyid/generic_model\.pkl .*registration"
COUNT = 162  # vertices of the synthetic head
TREE = np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32)
GLOBAL, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)


def make_content(seed=0, vertices=None, faces=None):
    """What a FLAME file holds, in plain arrays, for a head that is nobody: 162 vertices unless they are given."""
    draw = np.random.default_rng(seed)
    if vertices is None:
        vertices, faces = (each.numpy() for each in synthetic_head(2))
    count = len(vertices)
    weights = draw.random((count, 5)) * (draw.random((count, 5)) < 0.5)
    weights[:, GLOBAL] += 0.1
    weights[:8] = np.eye(5)[JAW]  # these follow the jaw alone
    regressor = draw.random((5, count)) * (draw.random((5, count)) < 0.1) + 1e-3
    return {
        "v_template": np.asarray(vertices, np.float64),
        "shapedirs": draw.normal(size=(count, 3, 400)) * 0.001,
        "posedirs": draw.normal(size=(count, 3, 36)) * 0.001,
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "kintree_table": TREE.copy(),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "f": faces.astype(np.uint32),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }


def write_npz(path, content):
    np.savez(path, **content)
    return path


class _Python2(pickle._Pickler):
    """Writes text and bytes as Python 2 did: both are byte strings."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def write_python2(path, content):
    stream = io.BytesIO()
    _Python2(stream, 2, fix_imports=True).dump(content)
    written = stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.").replace(b"sparse._csc\n", b"sparse.csc\n")
    path.write_bytes(written)
    return path


def stored(chumpy, array):
    return chumpy.node("chumpy.ch", "Ch", x=array)


def official(chumpy):
    """The entries as FLAME 2020 keeps them."""
    sparse = pytest.importorskip("scipy.sparse")
    content = make_content()
    for key in ("v_template", "shapedirs", "posedirs", "weights"):
        content[key] = stored(chumpy, content[key])
    content["J_regressor"] = sparse.csc_matrix(content["J_regressor"])
    computed = chumpy.node("chumpy.ch", "MatVecMult", mtx=content["J_regressor"], v=content["v_template"])
    content["J"] = chumpy.node("chumpy.reordering", "transpose", a=computed, axes=None)
    return content


def assert_same(one, other):
    for (name, tensor), (_, expected) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        assert torch.equal(tensor, expected), name
    np.testing.assert_array_equal(one.faces, other.faces)


def change(key, function):
    return lambda content: content.update({key: function(content[key])})


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call
