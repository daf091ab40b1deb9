"""Pickles made to do harm. None of them may run anything, fill the memory, or come back as data."""

import io
import os
import pickle
import pickletools
import random
import struct
import sys

import numpy as np
import pytest

from fantasyid_core.files.pickle_scan import pickle_end
from fantasyid_core.files.unpickle import ALLOWED, restricted_load
from fantasyid_core.files.unpickle_torch import ALLOWED_WITH_TENSORS
from fantasyid_core.shape.reconstruct.flame import _ALLOWED as FLAME

LISTS = {"topology": ALLOWED, "FLAME": FLAME, "landmarks": ALLOWED_WITH_TENSORS}


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class _State:
    """Python code as a text, whose "state" is set by a function of the pickle's choice: exec."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return str, (self.code,), {}, None, None, exec


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def called(module: str, name: str, argument: bytes) -> bytes:
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + argument + b"\x85R."


def hostile(witness) -> dict[str, bytes]:
    """Each would create the file `witness` if it ran; name -> pickle."""
    touch, python = f"touch {witness}", f"open({str(witness)!r}, 'w').close()"
    system, path = text(touch), text(str(witness))
    import builtins
    import functools
    import runpy
    import shutil
    import subprocess
    import webbrowser

    return {
        "os.system": pickle.dumps(_Call(os.system, touch)),
        "os.system in protocol 0": pickle.dumps(_Call(os.system, touch), 0),
        "eval": pickle.dumps(_Call(eval, python)),
        "exec": pickle.dumps(_Call(exec, python)),
        "open": pickle.dumps(_Call(builtins.open, str(witness), "w")),
        "subprocess": pickle.dumps(_Call(subprocess.call, ["touch", str(witness)])),
        "a module that runs": pickle.dumps(_Call(runpy._run_code, python, {})),
        "import": pickle.dumps(_Call(__import__, "os")),
        "getattr of a module": pickle.dumps(_Call(getattr, _Call(__import__, "os"), "system")),
        "partial": pickle.dumps(_Call(functools.partial, os.system, touch)),
        "nested reduce": pickle.dumps(_Call(map, _Call(getattr, _Call(__import__, "os"), "system"), [touch])),
        "deep inside sound data": pickle.dumps({"vertices": [np.zeros(3), (1, {"a": _Call(os.system, touch)})]}),
        "state setter": pickle.dumps(_State(python)),
        "copy a file": pickle.dumps(_Call(shutil.copy, __file__, str(witness))),
        "browser": pickle.dumps(_Call(webbrowser.open, f"file://{witness}")),
        "code of a pickle in a pickle": pickle.dumps(_Call(pickle.loads, pickle.dumps(_Call(os.system, touch)))),
        "INST": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + system + b"o.",
        "NEWOBJ": b"\x80\x02cos\nsystem\n" + system + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04cos\nsystem\n" + system + b"\x85}\x92.",
        "STACK_GLOBAL": called("os", "system", system),
        "BUILD on what was imported": b"\x80\x02cnumpy\ndtype\n}("
        + text("__call__")
        + b"cos\nsystem\nub"
        + system
        + b"\x85R.",
        "dotted name": called("collections", "OrderedDict.__init__.__globals__", path),
        "numpy's own file writer": called("numpy", "ndarray.tofile", path),
        "numpy.load": called("numpy", "load", path),
        "torch.load": called("torch", "load", path),
        "persistent id": b"\x80\x02" + system + b"Q.",
        "extension code": b"\x80\x02\x82\x01.",
        "a name of the tests": b"\x80\x02ctest_unpickle_hostile\nhostile\n" + path + b"\x85R.",
    }


@pytest.mark.parametrize("allowed", LISTS)
def test_nothing_is_run(allowed, tmp_path):
    witness = tmp_path / "witness"
    pickles = hostile(witness)
    assert len(pickles) >= 10
    for name, content in pickles.items():
        with pytest.raises(ValueError, match="refused: it tries to import|cannot be read as a pickle"):
            found = restricted_load(io.BytesIO(content), LISTS[allowed])
            pytest.fail(f"{name}: came back as {found!r}")
        assert not witness.exists(), name


@pytest.mark.skipif(os.name == "nt", reason="the pickles call touch")
def test_the_pickles_are_really_hostile(tmp_path):
    """Python's own unpickler runs them: otherwise the test above would prove nothing."""
    for name in ("os.system", "eval", "INST", "OBJ", "deep inside sound data", "STACK_GLOBAL", "state setter"):
        witness = tmp_path / name.replace(" ", "_")
        content = hostile(witness)[name]
        try:
            pickle.loads(content)
        except Exception:  # noqa: BLE001, S110 - what comes after the harm does not matter
            pass
        assert witness.exists(), name


# Memory


BOMBS = {
    "a remembered object far away": b"\x80\x02Nr" + struct.pack("<I", 2**31) + b".",
    "one further than there are": b"\x80\x02Nr" + struct.pack("<I", 5000) + b".",
    "the same in text": b"Np2147483648\n.",
    "a long text in it": b"Np" + b"9" * 200 + b"\n.",
    "negative": b"Np-5\n.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
    "bytes that can be changed": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "negative length": b"T" + struct.pack("<i", -5) + b".",
    "array": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(L4611686018427387904L\nt"
    b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'AAAAAAAA'\ntb.",
    "repeated bytes": b"c__builtin__\nbytes\n(L4611686018427387904L\ntR.",
}


def most_memory() -> float:
    resource = pytest.importorskip("resource")
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@pytest.mark.parametrize("name", BOMBS)
def test_a_few_bytes_do_not_fill_the_memory(name):
    before = most_memory()
    with pytest.raises(ValueError, match="cannot be read as a pickle"):
        restricted_load(io.BytesIO(BOMBS[name]))
    assert most_memory() - before < 64


def test_a_sparse_matrix_of_absurd_size_is_refused_before_it_is_unfolded():
    matrix = ALLOWED["scipy.sparse.csc", "csc_matrix"]()
    matrix.__setstate__(
        {"data": np.ones(1), "indices": np.zeros(1, int), "indptr": np.array([0, 1]), "_shape": (3, 2**60)}
    )
    with pytest.raises(ValueError, match="do not fit each other"):
        matrix.coordinates()


# Where a pickle ends


@pytest.mark.parametrize("protocol", range(6))
def test_the_end_is_where_pythons_unpickler_stops(protocol):
    content = {"a": [1, 2**70, -3, 1.5, "é\n", b"\x00\xff\n", None, True], "b": (np.arange(300.0), {1: {2}})}
    content["c"] = "x" * 70000
    whole = pickle.dumps(content, protocol)
    behind = whole + b"something else"
    stream = io.BytesIO(behind)
    pickle.load(stream)
    assert pickle_end(behind) == stream.tell() == len(whole)
    assert pickle_end(b"abc" + behind, 3) == len(whole) + 3
    for length in range(0, len(whole), max(1, len(whole) // 300)):
        with pytest.raises(ValueError, match="cut off|no instruction"):
            pickle_end(whole[:length])


def test_it_reads_instructions_as_the_standard_library_describes_them():
    """Random bytes: whatever pickletools goes through to the end ends at the same place."""
    draw, agreed = random.Random(0), 0
    codes = [ord(code) for code in pickletools.code2op]
    for _ in range(20000):
        content = bytes(draw.choice([*codes, 0, 1, 2, 10]) for _ in range(draw.randint(1, 12))) + b"."
        try:
            *_, (_, _, position) = pickletools.genops(content)
        except (ValueError, UnicodeDecodeError):
            continue
        try:
            assert pickle_end(content) == position + 1
            agreed += 1
        except ValueError as error:
            assert "room for" in str(error)  # pickletools does not look at that
    assert agreed > 500
