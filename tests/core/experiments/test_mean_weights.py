"""The mean of two model folders: exact, loadable, and refused where the networks differ."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from fantasyid_core.experiments.mean_weights import main, mean_weights
from fantasyid_core.tinymodel.loading import SHIPPED
from fantasyid_core.tinymodel.sampler import load_networks

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The shipped weights, and all of the transformer's doubled."""
    folder = tmp_path_factory.mktemp("other") / "weights"
    for path in (*SHIPPED.rglob("*.safetensors"), *SHIPPED.rglob("*.json")):
        (folder / path.relative_to(SHIPPED)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.relative_to(SHIPPED))
    save_file({name: 2 * value for name, value in load_file(SHIPPED / TRANSFORMER).items()}, folder / TRANSFORMER)
    return folder


def test_the_mean_lies_where_the_share_says_and_loads(other, tmp_path):
    kept = load_file(SHIPPED / TRANSFORMER)
    assert mean_weights(other, other, tmp_path / "same", 0.3) == sum(
        path.stat().st_size for path in (tmp_path / "same").rglob("*.safetensors")
    )
    assert all(torch.equal(value, 2 * kept[name]) for name, value in load_file(tmp_path / "same" / TRANSFORMER).items())
    shutil.copytree(other, tmp_path / "plain")
    save_file(kept, tmp_path / "plain" / TRANSFORMER)
    mean_weights(tmp_path / "plain", other, tmp_path / "mean", 0.5)
    found = load_file(tmp_path / "mean" / TRANSFORMER)
    assert all(torch.equal(found[name], (1.5 * value.double()).to(value.dtype)) for name, value in kept.items())
    adapter = load_file(tmp_path / "mean" / "adapter.safetensors")
    assert all(torch.equal(adapter[name], value) for name, value in load_file(SHIPPED / "adapter.safetensors").items())
    load_networks(tmp_path / "mean")


@pytest.mark.parametrize("change", ["a file less", "a tensor less", "another shape", "another description"])
def test_other_networks_are_refused_and_nothing_is_written(other, tmp_path, change, capsys):
    folder = tmp_path / "first"
    shutil.copytree(other, folder)
    path = folder / "text_encoder.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    if change == "a file less":
        path.unlink()
    elif change == "a tensor less":
        save_file({key: value for key, value in tensors.items() if key != name}, path)
    elif change == "another shape":
        save_file({**tensors, name: torch.cat([tensors[name]] * 2)}, path)
    else:
        save_file(tensors, path, {"kind": "something else"})
    assert main([str(folder), str(other), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "text_encoder.safetensors" in error and "Give two snapshots" in error and not (tmp_path / "out").exists()


def test_a_share_is_a_share_and_an_empty_folder_is_told(other, tmp_path):
    with pytest.raises(ValueError, match="from 0 to 1, got 1.5"):
        mean_weights(other, other, tmp_path / "out", 1.5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        mean_weights(other, tmp_path / "empty", tmp_path / "out", 0.5)
