"""The mesh topology: conversion, cache, search, pooling, and what is refused."""

import hashlib
import os
import pickle

import numpy as np
import pytest
import torch
from meshcheck import dense

from fantasyid_core.shape import Topology, load_topology, pool, save_topology, synthetic_topology
from fantasyid_core.shape.topology import topology

ORIGIN = r"assets/transform\.pkl of the official repository.*Fantasy-AMAP/fantasy-id.*Apache-2\.0"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder, away from the user's own."""
    monkeypatch.setenv("FANTASYID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FANTASYID_TOPOLOGY", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def small():
    return synthetic_topology(levels=3, subdivisions=2)


@pytest.fixture
def content(small):
    """What a transform.pkl of the synthetic head would hold."""
    sparse = pytest.importorskip("scipy.sparse")

    def matrix(transform):
        return sparse.csc_matrix((transform.values.numpy(), transform.indices.numpy()), shape=transform.shape)

    coarse = synthetic_topology(levels=2, subdivisions=1)
    return {
        "vertices": [part.template.double().numpy() for part in (small, coarse)],
        "face": [part.faces.numpy().astype(np.uint32) for part in (small, coarse)],
        "down_transform": [matrix(transform) for transform in small.down],
        "up_transform": [matrix(transform) for transform in small.up],
    }


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def assert_equal(one, other):
    one, other = one.tensors(), other.tensors()
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=0, atol=0, msg=key)


# The release


# SHA-256 of what the official code computes on FLAME's mesh (OpenMesh), as little-endian int64.
SPIRALS_OF_FLAME = (
    "3fbf4e840a88b66c367046b1f1f0a59af075ac7b33bd2e0fcda156b2c851671c",
    "ffc7d3d67a394f52d0370ef9e168779ab7c33bcdae33d00be66ffaa66fa1339b",
)


def test_the_topology_of_the_release_is_the_official_one(licensed):
    release = load_topology(licensed("transform.pkl"))
    assert release.vertex_counts == (5023, 1256, 314)
    for spirals, expected in zip(release.spirals, SPIRALS_OF_FLAME, strict=True):
        assert hashlib.sha256(spirals.numpy().astype("<i8").tobytes()).hexdigest() == expected
    pytest.importorskip("scipy.sparse")
    with open(licensed("transform.pkl"), "rb") as stream:
        official = pickle.load(stream, encoding="latin1")
    for level in range(2):
        np.testing.assert_array_equal(dense(release.down[level]), official["down_transform"][level].toarray())
        np.testing.assert_array_equal(dense(release.up[level]), official["up_transform"][level].toarray())
    np.testing.assert_array_equal(release.template, official["vertices"][0].astype(np.float32))
    np.testing.assert_array_equal(release.faces, official["face"][0])
    # Each coarse vertex is one of the fine ones.
    kept = release.template[release.down[0].indices[1]]
    assert torch.equal(pool(release.template[None], release.down[0])[0], kept)


# Files


def test_pool_can_train_after_a_first_use_in_inference_mode(content, tmp_path):
    path = write(tmp_path / "transform.pkl", content)
    with torch.inference_mode():
        loaded = load_topology(path)
        pool(loaded.template[None], loaded.down[0])
        pool(loaded.template[None, :42], loaded.up[0])
    features = torch.randn(1, 42, 3, requires_grad=True)
    (pool(features, loaded.up[0])[:, loaded.spirals[0].flatten()] ** 2).sum().backward()
    assert features.grad.abs().sum() > 0


def test_a_pickle_is_converted_with_all_its_parts(small, content, tmp_path):
    loaded = load_topology(write(tmp_path / "transform.pkl", content))
    assert loaded.vertex_counts == (162, 42, 12)
    for level in range(2):
        assert torch.equal(dense(loaded.up[level]), dense(small.up[level]))
        assert torch.equal(dense(loaded.down[level]), dense(small.down[level]))
        assert torch.equal(loaded.spirals[level], small.spirals[level])
    assert torch.equal(loaded.faces, small.faces) and torch.equal(loaded.template, small.template)


def test_a_topology_that_is_loaded_already_is_returned(small):
    assert load_topology(small) is small


def test_a_saved_topology_loads_unchanged(small, tmp_path):
    save_topology(small, tmp_path / "new" / "any.safetensors")
    assert_equal(load_topology(tmp_path / "new" / "any.safetensors"), small)


def test_a_topology_is_read_from_an_adapter_file(small, tmp_path):
    from safetensors.torch import save_file

    tensors = small.tensors()
    assert {"topology.spirals.0", "topology.down.1.indices", "topology.up.0.values"} <= tensors.keys()
    save_file({**tensors, "face_abstractor.proj_out": torch.zeros(2)}, tmp_path / "adapter.safetensors")
    assert_equal(load_topology(tmp_path / "adapter.safetensors"), small)
    assert_equal(Topology.from_tensors({**tensors, "other": torch.zeros(1)}), small)


def test_saving_to_an_impossible_place_says_so(small, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="Cannot write"):
        save_topology(small, tmp_path / "file" / "topology.safetensors")
    assert (tmp_path / "file").read_text() == "mine"


# Cache


def test_the_cache_is_used(content, tmp_path, cache, monkeypatch):
    path = write(tmp_path / "transform.pkl", content)
    first = load_topology(path)
    assert [file.name.startswith("topology-") for file in cache.iterdir()] == [True]
    monkeypatch.setattr(topology, "restricted_load", lambda path: pytest.fail("converted again"))
    assert_equal(load_topology(path), first)


def test_an_edited_pickle_is_converted_anew(content, tmp_path, cache):
    path = write(tmp_path / "transform.pkl", content)
    load_topology(path)
    content["vertices"][0] = content["vertices"][0] * 2
    write(path, content)
    np.testing.assert_array_equal(load_topology(path).template, content["vertices"][0].astype(np.float32))
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"\xff" * 8, None])
def test_a_corrupt_cache_is_rebuilt(damage, content, tmp_path, cache):
    path = write(tmp_path / "transform.pkl", content)
    first = load_topology(path)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert_equal(load_topology(path), first)
    assert file.read_bytes() == whole


def test_without_a_usable_cache_folder_the_topology_is_still_loaded(content, small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("FANTASYID_CACHE", str(tmp_path / "file"))
    assert load_topology(write(tmp_path / "transform.pkl", content)).vertex_counts == small.vertex_counts
    assert (tmp_path / "file").read_text() == "mine"


def test_without_a_home_folder_the_topology_is_still_loaded(content, small, tmp_path, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FANTASYID_CACHE")
    monkeypatch.setattr(topology.Path, "home", homeless)
    assert load_topology(write(tmp_path / "transform.pkl", content)).vertex_counts == small.vertex_counts


# Search


@pytest.mark.parametrize("name", ["transform.pkl", "assets/transform.pkl"])
def test_a_folder_with_the_pickle_is_enough(name, content, tmp_path):
    write(tmp_path / "model" / name, content)
    assert load_topology(tmp_path / "model").vertex_counts == (162, 42, 12)
    folders = [tmp_path / "empty", tmp_path / "model"]
    assert load_topology(search_folders=folders).vertex_counts == (162, 42, 12)


@pytest.mark.parametrize("name", ["topology.safetensors", "topology-0123456789abcdef.safetensors"])
def test_a_folder_with_a_converted_file_is_enough(name, small, tmp_path):
    save_topology(small, tmp_path / "model" / name)
    assert_equal(load_topology(str(tmp_path / "model")), small)


def test_two_converted_files_are_not_guessed_between(small, tmp_path):
    for name in "ab":
        save_topology(small, tmp_path / f"topology-{name}.safetensors")
    with pytest.raises(ValueError, match=r"one mesh topology.*got 2: topology-a\.safetensors, topology-b"):
        load_topology(tmp_path)


def test_the_environment_variable_comes_first(small, content, tmp_path, monkeypatch):
    other = synthetic_topology(levels=2, subdivisions=2)
    save_topology(other, tmp_path / "other.safetensors")
    write(tmp_path / "model" / "transform.pkl", content)
    monkeypatch.setenv("FANTASYID_TOPOLOGY", str(tmp_path / "other.safetensors"))
    assert load_topology(search_folders=[tmp_path / "model"]).vertex_counts == (162, 42)
    assert load_topology(tmp_path / "model").vertex_counts == (162, 42, 12)  # unless a source is given


def test_a_topology_that_is_not_found_is_explained(tmp_path, monkeypatch):
    message = rf"transform\.pkl is missing.*absent.*{ORIGIN}.*FANTASYID_TOPOLOGY"
    with pytest.raises(FileNotFoundError, match=message):
        load_topology(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no folder was given"):
        load_topology()
    with pytest.raises(FileNotFoundError) as caught:
        load_topology(search_folders=[tmp_path / "one", tmp_path / "two"])
    assert str(tmp_path / "one") in str(caught.value) and str(tmp_path / "two") in str(caught.value)
    monkeypatch.setenv("FANTASYID_TOPOLOGY", str(tmp_path / "gone.pkl"))
    with pytest.raises(FileNotFoundError, match=r"gone\.pkl \(the value of FANTASYID_TOPOLOGY\)"):
        load_topology(search_folders=[tmp_path])


# Bad files


@pytest.mark.parametrize("key", ["vertices", "face", "down_transform", "up_transform"])
def test_a_pickle_with_a_missing_entry_is_refused(key, content, tmp_path):
    del content[key]
    message = rf"transform\.pkl is not a usable mesh topology: expected an entry '{key}'.*{ORIGIN}"
    with pytest.raises(ValueError, match=message):
        load_topology(write(tmp_path / "transform.pkl", content))


def swap(key, level, change):
    def apply(content):
        content[key][level] = change(content[key][level])

    return apply


@pytest.mark.parametrize(
    "spoil, message",
    [
        (swap("down_transform", 0, lambda matrix: matrix[:-1]), r"\(41, 162\) down and \(162, 41\) up"),
        (swap("up_transform", 1, lambda matrix: matrix[:-1]), r"\(42, 12\) up at level 1, got .*\(41, 12\)"),
        (swap("up_transform", 0, lambda matrix: matrix.toarray()), "SciPy sparse matrices.*got PickledArray"),
        (swap("down_transform", 0, lambda matrix: matrix.T.tocsc()), "an entry in every row"),
        (swap("vertices", 0, lambda array: array[:-1]), r"vertices 0\.\.161, but the mesh has 161"),
        (swap("vertices", 0, lambda array: array * np.nan), "finite vertices"),
        (swap("vertices", 1, lambda array: array[:, :2]), r"vertices \[V, 3\], got \[42, 2\]"),
        (swap("vertices", 1, lambda array: "text"), "could not convert"),
        (swap("face", 0, lambda array: array.astype(float)), "triangles as integers"),
        (swap("face", 1, lambda array: array[:, [0, 1, 1]]), "three different"),
        (lambda content: content["vertices"].pop(), "at least 2 levels in 'vertices', got 1"),
        (lambda content: content.update(face=7), "levels in 'face', got int"),
    ],
)
def test_a_pickle_with_parts_that_do_not_fit_is_refused(spoil, message, content, tmp_path, cache):
    spoil(content)
    with pytest.raises(ValueError, match=rf"transform\.pkl is not a usable .*{message}.*{ORIGIN}"):
        load_topology(write(tmp_path / "transform.pkl", content))
    assert not cache.exists()


def test_a_pickle_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected an entry 'vertices', got list"):
        load_topology(write(tmp_path / "transform.pkl", [1, 2]))


class _Evil:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


def test_a_pickle_that_imports_something_else_is_refused(content, tmp_path):
    content["adj"] = _Evil(tmp_path / "witness")
    with pytest.raises(ValueError, match=r"transform\.pkl was refused: it tries to import (posix|nt)\.system"):
        load_topology(write(tmp_path / "transform.pkl", content))
    assert not (tmp_path / "witness").exists()


def test_a_truncated_pickle_and_a_text_file_are_refused(content, tmp_path):
    path = write(tmp_path / "transform.pkl", content)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"transform\.pkl cannot be read as a pickle"):
        load_topology(path)
    path.write_text("just a text\n")
    with pytest.raises(ValueError, match=r"transform\.pkl cannot be read as a pickle"):
        load_topology(path)


def test_a_damaged_safetensors_file_is_refused(small, tmp_path):
    path = tmp_path / "topology.safetensors"
    path.write_text("just a text")
    with pytest.raises(ValueError, match=rf"topology\.safetensors is not a readable safetensors.*{ORIGIN}"):
        load_topology(path)
    save_topology(small, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"topology\.safetensors is not a readable safetensors"):
        load_topology(path)


def test_a_safetensors_file_without_a_topology_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "lora.safetensors")
    with pytest.raises(
        ValueError, match=rf"lora\.safetensors is not a usable mesh topology.*topology\.faces.*{ORIGIN}"
    ):
        load_topology(tmp_path / "lora.safetensors")


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("faces", None, r"missing or unknown are: topology\.faces"),
        ("spirals.0", None, r"topology\.down\.1.*topology\.spirals\.0"),
        ("extra", torch.zeros(1), r"topology\.extra"),
        (
            "up.0.values",
            lambda tensor: tensor.bfloat16(),
            r"values of a pooling matrix as torch\.float32.*bf",
        ),
        ("up.0.values", lambda tensor: tensor * torch.inf, "finite numbers in the values"),
        ("up.0.values", lambda tensor: tensor[:-1], "indices of a pooling matrix"),
        ("up.0.indices", lambda tensor: tensor + 1, r"indices of a pooling matrix in 0\.\.161"),
        ("up.0.shape", lambda tensor: tensor * 10**9, "an entry in every row"),
        ("up.0.shape", lambda tensor: tensor[:1], "two sizes"),
        ("faces", lambda tensor: tensor + 1, r"the faces in 0\.\.161, got 1\.\.162"),
        ("faces", lambda tensor: tensor.flatten(), r"the faces as torch\.int64 \[any, 3\], got .*\[960\]"),
        ("spirals.1", lambda tensor: tensor + 40, r"the spirals of level 1 in 0\.\.41"),
        ("spirals.1", lambda tensor: tensor[1:], r"the spirals of level 1 as torch\.int64 \[42, any\]"),
        ("template", lambda tensor: tensor[0], r"the template vertices as torch\.float32 \[any, 3\]"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(key, value, message, small):
    tensors = small.tensors()
    key = "topology." + key
    if value is None:
        del tensors[key]
    else:
        tensors[key] = value(tensors[key]) if callable(value) else value
    with pytest.raises(ValueError, match=message):
        Topology.from_tensors(tensors)
