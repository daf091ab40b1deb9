"""Reading checkpoints: layouts, laziness, and files that are broken or hostile."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from fantasyid_core.files.checkpoint import open_checkpoint

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4, dtype=torch.bfloat16)}


def read_all(checkpoint):
    return {key: checkpoint.read(key) for key in checkpoint}


def assert_same(got, expected=TENSORS):
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[key], expected[key]) and got[key].dtype == expected[key].dtype for key in expected)


def write_folder(folder, name="diffusion_pytorch_model.safetensors", config=None):
    folder.mkdir(parents=True)
    (save_file if name.endswith("safetensors") else torch.save)(TENSORS, folder / name)
    (folder / "config.json").write_text(json.dumps(config or {"num_layers": 2}))


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "x.pt"])
def test_single_files_are_read(tmp_path, name):
    (save_file if name.endswith("safetensors") else torch.save)(TENSORS, tmp_path / name)
    checkpoint = open_checkpoint(tmp_path / name)
    assert checkpoint.tensors["a.weight"].shape == (2, 3)
    assert checkpoint.tensors["b.bias"].dtype == torch.bfloat16
    assert_same(read_all(checkpoint))


def test_pickles_from_before_torch_1_6_are_read(tmp_path):
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_same(read_all(open_checkpoint(tmp_path / "old.pt")))


def test_wrapped_state_dicts_are_unwrapped(tmp_path):
    torch.save({"module": TENSORS, "step": 3}, tmp_path / "x.pt")
    assert_same(read_all(open_checkpoint(tmp_path / "x.pt")))


def test_the_averaged_transformer_comes_first(tmp_path):
    write_folder(tmp_path / "transformer", config={"num_layers": 1})
    assert open_checkpoint(tmp_path).config == {"num_layers": 1}
    write_folder(tmp_path / "transformer_ema", config={"num_layers": 2})
    assert open_checkpoint(tmp_path).config == {"num_layers": 2}
    assert_same(read_all(open_checkpoint(tmp_path)))


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_read_together_and_missing_ones_are_named(tmp_path, suffix):
    save = save_file if suffix == "safetensors" else torch.save
    names = [f"model-0000{i}-of-00002.{suffix}" for i in (1, 2)]
    for name, key in zip(names, TENSORS, strict=True):
        save({key: TENSORS[key]}, tmp_path / name)
    index = tmp_path / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip(TENSORS, names, strict=True))}))
    assert_same(read_all(open_checkpoint(tmp_path)))
    os.remove(tmp_path / names[1])
    with pytest.raises(FileNotFoundError, match=f"1 of 2 weight files are missing: {names[1]}"):
        open_checkpoint(tmp_path)
    index.write_text("{")
    with pytest.raises(ValueError, match="not a readable shard index"):
        open_checkpoint(tmp_path)


def test_state_dicts_are_read_and_other_values_are_refused():
    assert_same(read_all(open_checkpoint(TENSORS)))
    for wrong in ({}, {"a": 1}, {3: torch.ones(1)}):
        with pytest.raises(ValueError, match="Expected a state dict of tensors"):
            open_checkpoint(wrong)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt"])
@pytest.mark.parametrize("keep", [0, 7, 60, -5])
def test_truncated_files_are_refused(tmp_path, name, keep):
    (save_file if name.endswith("safetensors") else torch.save)(TENSORS, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:keep])
    with pytest.raises(ValueError, match=f"{name}.*(truncated or corrupt|could not be read)"):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt"])
def test_text_in_place_of_weights_is_refused(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\n" * 9)
    with pytest.raises(ValueError, match=f"{name}.*ownload it again"):
        open_checkpoint(tmp_path / name)


def test_pickled_code_is_never_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    torch.save({"a": Hostile()}, tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Hostile()))
    for name in ("x.pt", "y.pt"):
        with pytest.raises(ValueError, match="could not be read as plain weights") as error:
            open_checkpoint(tmp_path / name)
        assert "weights_only" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_something_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "x.pt")
    with pytest.raises(ValueError, match="expected a state dict of tensors, got list"):
        open_checkpoint(tmp_path / "x.pt")


def test_missing_files_and_empty_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing does not exist. Expected a model folder or"):
        open_checkpoint(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="No weights in .*Choose the folder that holds transformer/"):
        open_checkpoint(tmp_path)


def test_two_versions_of_the_weights_in_one_folder_are_refused(tmp_path):
    write_folder(tmp_path / "m")
    save_file(TENSORS, tmp_path / "m" / "diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(ValueError, match="repeats tensors of another file"):
        open_checkpoint(tmp_path / "m")


@pytest.mark.parametrize("text", ["{", "[1]", "\xff\xfe"])
def test_a_broken_config_is_named(tmp_path, text):
    write_folder(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="config.json"):
        open_checkpoint(tmp_path / "m")


@pytest.mark.parametrize(("key", "value"), [("num_layers", "two"), ("cross_attn_interval", 0), ("sample_height", 1.5)])
def test_impossible_sizes_in_the_config_are_named(tmp_path, key, value):
    write_folder(tmp_path / "m", config={key: value})
    with pytest.raises(ValueError, match=f"config.json: expected whole numbers above zero, got .*{key}"):
        open_checkpoint(tmp_path / "m")


def lie_in_one_map(tensors, path) -> bool:
    """Whether the tensors lie as far apart in memory as in the file; tensors of their own would lie anywhere."""
    tensors = sorted(tensors, key=lambda tensor: tensor.data_ptr())
    apart = all(a.data_ptr() + a.nbytes <= b.data_ptr() for a, b in zip(tensors, tensors[1:], strict=False))
    return apart and tensors[-1].data_ptr() + tensors[-1].nbytes - tensors[0].data_ptr() <= path.stat().st_size


def test_mapped_tensors_lie_in_the_file_and_outlive_it(tmp_path):
    from safetensors.torch import save_file

    stored = {f"t{number}": torch.randn(64, 32).bfloat16() for number in range(3)}
    save_file(stored, tmp_path / "weights.safetensors")
    checkpoint = open_checkpoint(tmp_path / "weights.safetensors")
    mapped = {key: checkpoint.map(key, torch.bfloat16) for key in checkpoint}
    assert lie_in_one_map(mapped.values(), tmp_path / "weights.safetensors")
    assert checkpoint.map("t0").data_ptr() == mapped["t0"].data_ptr()
    cast = checkpoint.map("t0", torch.float32)
    assert cast.dtype == torch.float32 and cast.untyped_storage().nbytes() == cast.nbytes
    mapped["t1"].add_(1)  # its own page from here on: the file stays as it is
    assert torch.equal(open_checkpoint(tmp_path / "weights.safetensors").read("t1"), stored["t1"])
    del checkpoint
    (tmp_path / "weights.safetensors").unlink()
    assert torch.equal(mapped["t2"], stored["t2"]) and torch.equal(cast, stored["t0"].float())


@pytest.mark.parametrize("kind", ["adapter", "transformer"])
def test_loaders_map_what_keeps_its_dtype(tmp_path, kind):
    from fantasyid_core import load_adapter
    from fantasyid_core.host.diffusers import load_transformer
    from fantasyid_core.tools.random_model import write_random_model

    folder = write_random_model(tmp_path / "model")
    load = {"adapter": load_adapter, "transformer": load_transformer}[kind]
    (path,) = (folder / "transformer").glob("*.safetensors")
    assert lie_in_one_map(load(folder, dtype=torch.float32).parameters(), path)
    assert not lie_in_one_map(load(folder, dtype=torch.bfloat16).parameters(), path)
