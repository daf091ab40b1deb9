"""The restricted unpickler: reads what numpy and SciPy write, runs nothing, and says why."""

import collections
import io
import os
import pickle
import random
import struct

import numpy as np
import pytest

from fantasyid_core.files.unpickle import ALLOWED, SparseMatrix, restricted_load

ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.uint32).reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array([True, False]),
    np.array(["a", "bc"]),
    np.array([1, "x", None], dtype=object),
    np.array(5.0),
    np.zeros((0, 3), np.float32),
]


def load(content: bytes):
    return restricted_load(io.BytesIO(content))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{list(array.shape)}")
def test_arrays_come_back_whole(array, protocol):
    read = np.asarray(load(pickle.dumps(array, protocol=protocol)))
    assert read.shape == array.shape and read.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("protocol", range(6))
def test_scalars_and_containers_come_back_whole(protocol):
    names = collections.OrderedDict(a=[1, (2, "é")])
    content = {"scale": np.float32(1.5), "names": names, "raw": b"\xff\x00"}
    read = load(pickle.dumps(content, protocol=protocol))
    assert read == content and read["scale"].dtype == np.float32


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("layout", ["csc", "csr", "coo"])
@pytest.mark.parametrize("private", ["", "_"])
def test_sparse_matrices_of_old_and_new_versions_are_read_as_stand_ins(core, layout, private):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(7, 5, 0.4, format=layout, random_state=0)
    written = pickle.dumps(matrix, protocol=2)  # names stand there as text lines
    for name in (b"cnumpy._core.", b"cnumpy.core."):
        written = written.replace(name, f"c{core}.".encode())
    written = written.replace(f"_{layout}\n".encode(), f"{private}{layout}\n".encode())
    assert f"cscipy.sparse.{private}{layout}\n".encode() in written and f"c{core}.".encode() in written
    read = load(written)
    assert type(read).__module__ == "fantasyid_core.files.unpickle" and isinstance(read, SparseMatrix)
    np.testing.assert_array_equal(read.coordinates().toarray(), matrix.toarray())


def test_topology_file_is_read_as_the_real_unpickler_reads_it(licensed):
    pytest.importorskip("scipy.sparse")
    path = licensed("transform.pkl")
    read = restricted_load(path)
    with open(path, "rb") as stream:
        real = pickle.load(stream, encoding="latin1")
    assert read.keys() == real.keys()
    for key in real:
        for mine, theirs in zip(read[key], real[key], strict=True):
            if isinstance(mine, SparseMatrix):
                mine, theirs = mine.coordinates(), theirs.tocoo()
                assert all(
                    np.array_equal(getattr(mine, part), getattr(theirs, part)) for part in ("row", "col", "data")
                )
                assert mine.shape == theirs.shape
            else:
                assert mine.dtype == theirs.dtype
                np.testing.assert_array_equal(mine, theirs)


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_pickle_that_runs_a_command_is_refused(tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"vertices": _Call(os.system, f"touch {witness}")}))
    with pytest.raises(ValueError, match=rf"{path.name} was refused: .* (posix|nt)\.system.*official source"):
        restricted_load(path)
    assert not witness.exists()


def stack_global(module: str, name: str) -> bytes:
    """A protocol 4 pickle that calls module.name with the text "1"."""

    def text(value):
        return b"\x8c" + struct.pack("B", len(value)) + value.encode()

    return b"\x80\x04" + text(module) + text(name) + b"\x93" + text("1") + b"\x85R."


@pytest.mark.parametrize(
    "module, name",
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "load"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "OrderedDict.__init__.__globals__"),
        ("fantasyid_core.files.unpickle", "os.system"),
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 4])
def test_names_beyond_the_list_are_refused(module, name, protocol):
    content = stack_global(module, name) if protocol else f"c{module}\n{name}\n(S'1'\ntR.".encode()
    with pytest.raises(ValueError) as caught:
        load(content)
    assert f"tries to import {module}.{name}," in str(caught.value)
    assert "Nothing of it was run" in str(caught.value)


def test_numpy_stand_ins_cannot_be_called_as_the_real_classes():
    with pytest.raises(ValueError, match="damaged"):
        load(stack_global("numpy", "ndarray"))


def test_a_dtype_with_forged_flags_cannot_make_pointers_of_bytes():
    forged = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nt"
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'AAAAAAAA'\ntb."
    )
    with pytest.raises(ValueError, match="damaged"):
        load(forged)


def test_structured_types_are_refused():
    with pytest.raises(ValueError, match="only plain numbers"):
        load(pickle.dumps(np.zeros(2, dtype=[("a", "f4")])))


def test_a_pickle_cannot_change_the_stand_ins():
    for module, name in (("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")):
        # BUILD with the state (None, {"__defaults__": ("1",)}) sets attributes on what was imported.
        load(f"c{module}\n{name}\n(N(dS'__defaults__'\n(S'1'\ntstb.".encode())
        assert ALLOWED[module, name].__defaults__ in (None, (False, False))


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"ply\nformat ascii 1.0\n", bytes(64), b"\xc3\xbc"])
def test_what_is_no_pickle_is_refused(content, tmp_path):
    path = tmp_path / "transform.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"transform\.pkl cannot be read as a pickle.*again"):
        restricted_load(path)


def test_truncation_is_noticed_wherever_it_happens():
    whole = pickle.dumps({"vertices": [np.arange(12.0)], "face": [np.arange(6)]}, protocol=4)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="cannot be read"):
            load(whole[:length])


def test_random_damage_ends_in_an_error_or_in_data():
    draw = random.Random(0)
    content = {"a": np.arange(12.0), "b": np.array(["x"]), "c": np.float32(1)}
    whole = bytearray(pickle.dumps(content, protocol=2))
    refused = 0
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            load(bytes(damaged))
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "state",
    [
        {"indices": np.array([0, 9])},
        {"indptr": np.array([0, 1])},
        {"indptr": np.array([0, 2, 1, 2])},
        {"indptr": np.array([], dtype=int)},
        {"data": np.array([1.0])},
        {"data": None},
        {"indices": np.array([0.0, 1.0])},
        {"_shape": (2,)},
        {"_shape": (2, "3")},
    ],
)
def test_inconsistent_sparse_matrices_are_refused(state):
    sound = {
        "data": np.ones(2), "indices": np.array([0, 1]), "indptr": np.array([0, 1, 2, 2]), "_shape": (2, 3)
    }  # fmt: skip
    matrix = ALLOWED["scipy.sparse.csc", "csc_matrix"]()
    matrix.__setstate__(sound)
    assert matrix.coordinates().col.tolist() == [0, 1]
    matrix.__setstate__({**sound, **state})
    with pytest.raises(ValueError, match="matrix|row of numbers"):
        matrix.coordinates()


class _StandIn:
    def __setstate__(self, state):
        self.values = state["x"]


def test_the_list_can_be_extended():
    written = b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR(dS'x'\nI7\nsb."
    with pytest.raises(ValueError, match=r"import chumpy\.ch\.Ch"):
        load(written)
    read = restricted_load(io.BytesIO(written), {**ALLOWED, ("chumpy.ch", "Ch"): _StandIn})
    assert isinstance(read, _StandIn) and read.values == 7
    with pytest.raises(TypeError):
        ALLOWED["os", "system"] = os.system


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pkl"):
        restricted_load(tmp_path / "absent.pkl")
