"""Files of FLAME: what the official ones hold is read, anything else is refused."""

import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from flamefile import (
    COUNT,
    ORIGIN,
    _Call,
    assert_same,
    change,
    make_content,
    official,
    stored,
    write_npz,
    write_python2,
)

from fantasyid_core.shape import load_flame


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("flame") / "flame.npz", make_content())


@pytest.fixture(scope="module")
def flame(path):
    return load_flame(path, COUNT, torch.float64)


# The official file: Python 2, chumpy, SciPy


@pytest.fixture
def chumpy(monkeypatch):
    """The classes of chumpy, pickled under its names; while reading they cannot be imported."""
    assert "chumpy" not in sys.modules
    made = {}
    for module, names in {
        "chumpy.ch": ["Ch", "MatVecMult"],
        "chumpy.reordering": ["Select", "Reshape", "transpose"],
        "chumpy.ch_ops": ["add"],
    }.items():
        made[module] = types.ModuleType(module)
        for name in names:
            setattr(made[module], name, type(name, (), {"__module__": module}))

    def node(module, name, **state):
        value = getattr(made[module], name)()
        extra = {"_dirty_vars": {"x"}, "_itr": None, "_make_dense": False, "_depends_on_deps": {}}
        value.__dict__.update(extra, **state)
        return value

    def write(path, content):
        with monkeypatch.context() as context:
            for module, body in {"chumpy": types.ModuleType("chumpy"), **made}.items():
                context.setitem(sys.modules, module, body)
            return write_python2(path, content)

    return types.SimpleNamespace(node=node, write=write)


def test_flame_2020_is_read_without_chumpy(tmp_path, chumpy, flame):
    path = chumpy.write(tmp_path / "generic_model.pkl", official(chumpy))
    raw = path.read_bytes()
    assert b"cchumpy.ch\nCh\n" in raw and b"c__builtin__\nset\n" in raw and b"cnumpy.core.multiarray\n" in raw
    assert b"cscipy.sparse.csc\ncsc_matrix\n" in raw and b"_codecs" not in raw
    assert_same(load_flame(path, COUNT, torch.float64), flame)
    assert "chumpy" not in sys.modules


def test_flame_2023_with_plain_arrays_is_read(tmp_path, flame):
    sparse = pytest.importorskip("scipy.sparse")
    content = make_content()
    for key in ("J_regressor", "f"):
        path = tmp_path / f"{key}.pkl"
        path.write_bytes(pickle.dumps(content, protocol=4))
        assert_same(load_flame(str(path), COUNT, torch.float64), flame)
        content["J_regressor"] = sparse.csc_matrix(content["J_regressor"])


def test_reordered_chumpy_arrays_are_read(tmp_path, chumpy, flame):
    content = make_content()
    wide = np.concatenate([content["shapedirs"], np.full((COUNT, 3, 7), 9.0)], axis=2)
    places = np.arange(wide.size).reshape(wide.shape)[..., :400]
    content["shapedirs"] = chumpy.node(
        "chumpy.reordering",
        "Select",
        a=stored(chumpy, wide),
        idxs=places.ravel(),
        preferred_shape=places.shape,
    )
    content["weights"] = chumpy.node(
        "chumpy.reordering",
        "transpose",
        a=stored(chumpy, np.ascontiguousarray(content["weights"].T)),
        axes=None,
    )
    content["v_template"] = chumpy.node(
        "chumpy.reordering", "Reshape", a=stored(chumpy, content["v_template"].ravel()), newshape=(COUNT, 3)
    )
    assert_same(load_flame(chumpy.write(tmp_path / "flame.pkl", content), COUNT, torch.float64), flame)


# Bad files


def test_a_missing_file_says_where_to_register(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*absent\.pkl\. .*FLAME.*registration"):
        load_flame(tmp_path / "absent.pkl")
    with pytest.raises(ValueError, match=rf"one file of about 50 MB, got a folder.*{ORIGIN}"):
        load_flame(tmp_path)


def test_another_topology_is_named(path, tmp_path):
    with pytest.raises(ValueError, match=rf"expected 5023 vertices, got 162: it is another topology.*{ORIGIN}"):
        load_flame(path)
    content = make_content()
    content["v_template"] = np.float64(1)
    with pytest.raises(ValueError, match="expected 162 vertices, got 0"):
        load_flame(write_npz(tmp_path / "flame.npz", content), COUNT)


@pytest.mark.parametrize("key", ["v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f"])
def test_a_missing_entry_is_named(key, tmp_path):
    content = make_content()
    del content[key]
    with pytest.raises(ValueError, match=rf"not a usable FLAME model: expected the entries {key}, got .*{ORIGIN}"):
        load_flame(write_npz(tmp_path / "flame.npz", content), COUNT)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            change("shapedirs", lambda a: a[..., :150]),
            r"real numbers \[162, 3, 400\] in 'shapedirs', got .*3, 150",
        ),
        (
            change("posedirs", lambda a: a.reshape(-1, 36)),
            r"\[162, 3, 36\] in 'posedirs', got float64 \[486, 36\]",
        ),
        (change("J_regressor", lambda a: a[:, :-1]), r"\[5, 162\] in 'J_regressor', got float64 \[5, 161\]"),
        (change("weights", lambda a: a.T), r"\[162, 5\] in 'weights', got float64 \[5, 162\]"),
        (change("weights", lambda a: a * 2), "add up to 1 at every vertex"),
        (change("weights", lambda a: a.astype(complex)), "real numbers .* in 'weights', got complex128"),
        (change("v_template", lambda a: a * np.nan), "finite numbers in 'v_template'"),
        (change("shapedirs", lambda a: a / 0.0), "finite numbers in 'shapedirs'"),
        (change("f", lambda a: a + 1), r"faces of the vertices 0\.\.161, got 1\.\.162"),
        (change("f", lambda a: a.astype(float)), "whole numbers .* in 'f', got float64"),
        (change("kintree_table", lambda a: a[:, :4]), r"\[2, 5\] in 'kintree_table', got uint32 \[2, 4\]"),
        (
            change("kintree_table", lambda a: np.stack([a[1], a[1]])),
            "global, neck, jaw, left eye, right eye with",
        ),
        (change("kintree_table", lambda a: np.array([[-1, 0, 1, 2, 3], a[1]])), "with the parents"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_wrong_entry_is_named(spoil, message, tmp_path):
    content = make_content()
    spoil(content)
    with pytest.raises(ValueError, match=rf"not a usable FLAME model: .*{message}.*{ORIGIN}"):
        load_flame(write_npz(tmp_path / "flame.npz", content), COUNT)


def test_a_pickle_of_something_else_is_named(tmp_path):
    for content, held in (([1, 2], "list"), ({"eye_region": np.arange(3)}, "eye_region")):
        path = tmp_path / "FLAME_masks.pkl"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=rf"expected the entries v_template, .*got {held}.*{ORIGIN}"):
            load_flame(path)


def test_entries_that_are_no_arrays_are_named(tmp_path, chumpy):
    itself = stored(chumpy, None)
    itself.x = itself
    computed = chumpy.node("chumpy.ch_ops", "add", a=stored(chumpy, np.zeros(3)), b=1)
    empty = chumpy.node("chumpy.ch", "Ch")
    far = chumpy.node("chumpy.reordering", "Select", a=stored(chumpy, np.zeros(3)), idxs=np.array([10**9]))
    for value in (itself, computed, empty, far, "text", None):
        content = {**make_content(), "weights": value}
        path = chumpy.write(tmp_path / "flame.pkl", content)
        with pytest.raises(ValueError, match=rf"expected numbers in 'weights', but .*{ORIGIN}"):
            load_flame(path, COUNT)


def test_a_sparse_matrix_of_absurd_size_is_refused(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    content = {**make_content(), "J_regressor": sparse.coo_matrix((5, 10**12))}
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"'J_regressor', but it holds a sparse matrix \(5, 1000000000000\)"):
        load_flame(path, COUNT)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_imports_anything_else_is_refused(protocol, tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps({**make_content(), "J": _Call(os.system, f"touch {witness}")}, protocol=protocol))
    with pytest.raises(ValueError, match=rf"refused: it tries to import (posix|nt)\.system.*{ORIGIN}"):
        load_flame(path, COUNT)
    assert not witness.exists()
    for name in (b"chumpy.ch\nch_lambda", b"chumpy.ch\nos.system", b"chumpy\nnp", b"__builtin__\neval"):
        path.write_bytes(b"c" + name + b"\n(S'1'\ntR.")
        with pytest.raises(ValueError, match="refused: it tries to import"):
            load_flame(path, COUNT)


@pytest.mark.parametrize("name", ["flame.pkl", "flame.npz"])
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04rubbish", b"ply\nformat ascii 1.0\n", None])
def test_a_damaged_file_is_refused(name, damage, tmp_path):
    path = tmp_path / name
    if damage is None:
        path.write_bytes(pickle.dumps(make_content())) if name.endswith("pkl") else write_npz(path, make_content())
        damage = path.read_bytes()[:-5000]
    path.write_bytes(damage)
    kinds = "cannot be read|it is (an empty file|a real zip archive: unpack it)"
    with pytest.raises(ValueError, match=rf"(?s){name} .*({kinds}).*{ORIGIN}"):
        load_flame(path, COUNT)


def test_random_damage_ends_in_an_error_or_in_a_model(tmp_path):
    draw = np.random.default_rng(0)
    content, refused = make_content(), 0
    for name in ("flame.pkl", "flame.npz"):
        path = tmp_path / name
        whole = pickle.dumps(content, 2) if name == "flame.pkl" else write_npz(path, content).read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            # Most of the file is numbers: the structure stands at its ends.
            for place in draw.integers(0, 400, size=3) * draw.choice([1, -1], size=3):
                damaged[place] = draw.integers(256)
            path.write_bytes(bytes(damaged))
            try:
                load_flame(path, COUNT)
            except ValueError:
                refused += 1
    assert refused > 20


def test_a_damaged_header_of_an_array_is_refused(tmp_path):
    path = write_npz(tmp_path / "flame.npz", make_content())
    path.write_bytes(path.read_bytes().replace(b"(162, 3)", b"((162, 3"))  # numpy raises no ValueError here
    with pytest.raises(ValueError, match=rf"flame\.npz is not a usable FLAME model: it cannot be read .*{ORIGIN}"):
        load_flame(path, COUNT)


def test_an_npz_cannot_bring_a_pickle(tmp_path):
    witness = tmp_path / "witness"
    evil = np.array([_Call(os.system, f"touch {witness}")], dtype=object)
    with pytest.raises(ValueError, match=rf"not a usable FLAME model: it cannot be read .*{ORIGIN}"):
        load_flame(write_npz(tmp_path / "flame.npz", {**make_content(), "weights": evil}), COUNT)
    assert not witness.exists()


def test_half_precision_is_refused(path):
    with pytest.raises(ValueError, match=r"float32 or torch\.float64 for FLAME, got torch\.float16"):
        load_flame(path, COUNT, torch.float16)


def test_each_wrong_file_has_its_own_message(tmp_path):
    path = tmp_path / "generic_model.pkl"

    def reason():
        with pytest.raises(ValueError, match=rf"generic_model\.pkl is not a usable FLAME model: .*{ORIGIN}") as caught:
            load_flame(path)
        return str(caught.value)

    for zipped in (True, False):
        torch.save({"E_flame": {"layers.0.bias": torch.zeros(2)}}, path, _use_new_zipfile_serialization=zipped)
        assert "it is the encoder of DECA" in reason()
    path.write_bytes(pickle.dumps({"vertices": [np.zeros((2, 3))], "down_transform": []}))
    assert "it is the mesh topology of FantasyID" in reason()
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "it is a Git LFS pointer" in reason()
    path.write_text("<html>Sign in to FLAME</html>")
    assert "it is a web page" in reason()
