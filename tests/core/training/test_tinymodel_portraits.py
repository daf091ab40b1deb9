"""What transformer and adapter learn before videos: portraits from identity alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fantasyid_core.experiments import train_portraits as module
from fantasyid_core.experiments.train_portraits import PortraitPainter, PortraitTraining, main, train_portraits
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.topology.meshtopology import build_topology
from fantasyid_core.shape.topology.topology import save_topology
from fantasyid_core.tinymodel.face import TinyFaceEncoder
from fantasyid_core.tinymodel.models import TinyModels, save_tiny_models
from fantasyid_core.tinymodel.text import TextEncoder
from fantasyid_core.tinymodel.vae import TinyVae, VaeConfig
from fantasyid_core.training import preset
from fantasyid_core.training.build import build_models
from fantasyid_core.training.config import load_config
from fantasyid_core.training.denoiser import Denoiser, Seen
from fantasyid_core.training.preset import VERTEX_COUNTS

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
FEW = ["data.clips=4", "data.people=2", "data.held_out=2", "data.references=1", "model.preset.num_layers=2"]


@pytest.fixture(scope="module")
def changes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_tiny_models(TinyModels(TinyVae(VaeConfig.tiny()), TextEncoder(), TinyFaceEncoder()), folder, torch.float32)
    return [*FEW, f"model.folder={folder}", f"data.cache={folder / 'cache'}", "device=cpu", "model.portraits=null"]


@pytest.fixture(scope="module")
def trained(changes, tmp_path_factory):
    lines = []
    settings = PortraitTraining(steps=40, batch=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_REPORT_EVERY", 10)
        config, path = load_config("tiny", changes), tmp_path_factory.mktemp("out") / "p.safetensors"
        train_portraits(config, settings, path, lines.append)
    return path, lines


def test_the_painter_is_the_transformer_that_sees_neither_noise_nor_prompt(changes):
    """To the last bits: so all that the painter learns is there when videos follow."""
    models = build_models(load_config("tiny", changes))
    painter = PortraitPainter(models).eval()
    channels, _, height, width = models.sizes.latent_shape
    yes, no = torch.ones(2, dtype=torch.bool), torch.tensor([True, False])
    faces = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    vertices = models.adapter.topology.template.float().repeat(2, 1, 1)
    vertices[1] *= 1.1
    nothing = torch.zeros(2, 1, channels, height, width)
    denoiser = Denoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder).eval()
    with torch.no_grad():
        painted = painter(faces, vertices, no, yes).unflatten(1, (height // 2, width // 2))
        as_latent = painted.unflatten(3, (channels, 2, 2)).permute(0, 3, 1, 4, 2, 5).reshape(2, channels, height, width)
        seen = Seen(nothing, nothing, torch.tensor([999, 400]), ["nods", ""], faces, vertices, yes, no, yes)
        predicted = denoiser(seen)[:, 0]
    assert as_latent.std() > 0.01
    torch.testing.assert_close(predicted, as_latent, rtol=1e-4, atol=1e-5)


def test_portraits_are_learned(trained):
    _, lines = trained
    assert lines[0] == "4 portraits, 40 steps of 4"
    first, *_, last = (float(line.split(": ")[1].split()[0]) for line in lines[1:])
    assert last < 0.5 * first


def test_training_begins_with_what_was_learned(changes, trained, tmp_path):
    path, _ = trained
    fresh = build_models(load_config("tiny", changes))
    begun = build_models(load_config("tiny", [*changes, f"model.portraits={path}"]))
    block = "transformer_blocks.1.ff.net.2.weight"
    assert not torch.equal(begun.transformer.get_parameter(block), fresh.transformer.get_parameter(block))
    gates = torch.tensor([0.0, 0.0, 1.0] * 2).repeat_interleave(192)
    assert torch.equal(begun.transformer.transformer_blocks[0].norm1.linear.bias, gates)
    assert begun.adapter.layers[0].to_out.weight.abs().max() > 0
    with pytest.raises(ValueError, match="does not fit the network.*Make it with .*train_portraits"):
        build_models(load_config("tiny", [*changes, f"model.portraits={path}", "model.preset.num_layers=3"]))
    with pytest.raises(FileNotFoundError, match="model.portraits.*Make it with .*train_portraits"):
        build_models(load_config("tiny", [*changes, f"model.portraits={tmp_path / 'nowhere.safetensors'}"]))


def test_the_adapter_keeps_the_topology_that_it_was_taught_with(changes, trained, tmp_path, monkeypatch):
    """The file of another machine, whose coarse levels are others: its adapter goes on with them."""
    path, _ = trained
    mesh, other = head_mesh(), tmp_path / "other.safetensors"
    theirs = build_models(load_config("tiny", [*changes, f"model.portraits={path}"])).adapter.topology
    topology = build_topology(mesh.template + 0.002 * np.sin(200 * mesh.template), mesh.faces, VERTEX_COUNTS)
    save_topology(topology, other)
    monkeypatch.setattr(preset, "heads_topology", lambda settings: topology)
    begun = build_models(load_config("tiny", [*changes, f"model.portraits={path}"])).adapter
    assert begun.topology.fingerprint == theirs.fingerprint != topology.fingerprint
    assert torch.equal(begun.encoder.vertex_encoder.convolutions[1].spirals, theirs.spirals[1])
    with pytest.raises(ValueError, match="was taught on another mesh topology"):
        build_models(load_config("tiny", [*changes, f"model.portraits={path}", f"model.topology={other}"]))
    old = {key: value for key, value in load_file(path).items() if not key.startswith("topology.")}
    save_file(old, tmp_path / "old.safetensors")
    with pytest.raises(ValueError, match="of a version that did not keep the mesh topology"):
        build_models(load_config("tiny", [*changes, f"model.portraits={tmp_path / 'old.safetensors'}"]))


def test_twins_teach_what_little_of_the_picture_shows(changes, tmp_path):
    """With half of the portraits of twins, their difference is learned; a batch has to hold whole pairs."""
    changes, lines = [*changes, "optimizer.batch=2"], []
    config = load_config("tiny", changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_REPORT_EVERY", 20)
        train_portraits(config, PortraitTraining(steps=60, batch=2, null=0.01), tmp_path / "p", lines.append)
    assert lines[0] == "4 portraits, 60 steps of 2"
    first, *_, last = (float(line.split("painted, ")[1].split()[0]) for line in lines[1:])
    assert lines[1].endswith("of the difference of twins") and last < 0.8 * first
    with pytest.raises(ValueError, match="batch: expected an even number with data.twins, got 1"):
        train_portraits(config, PortraitTraining(steps=1, batch=1), tmp_path / "q")


def test_equal_settings_give_equal_files(changes, tmp_path):
    config, settings = load_config("tiny", changes), PortraitTraining(steps=2, batch=4)
    first, second = (
        train_portraits(config, settings, tmp_path / name, lambda line: None).read_bytes() for name in "ab"
    )
    assert first == second


def test_impossible_settings_are_refused(changes, tmp_path, capsys):
    out = tmp_path / "p.safetensors"
    assert main(["tiny", *changes, "--out", str(out), "--steps", "0"]) == 2
    assert "steps: expected more than 0" in capsys.readouterr().err
    assert main(["tiny", *changes, "--out", str(out)]) == 2
    assert "for a batch of 32, got 4" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(ValueError, match="null: expected a share"):
        PortraitTraining(null=1.0)
