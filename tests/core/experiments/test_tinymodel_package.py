"""From training to the folder that ships: encoders that learn first, packaging, sampling, scores and ablations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from fantasyid_core.experiments import ablations, package, train_encoders
from fantasyid_core.experiments import score_model as score
from fantasyid_core.experiments.ablations import ABLATIONS, run_ablations
from fantasyid_core.experiments.train_portraits import PortraitTraining
from fantasyid_core.people.instruments import held_out_people
from fantasyid_core.tinymodel.models import tiny_models
from fantasyid_core.tinymodel.sampler import TinySampler, load_networks
from fantasyid_core.training.build import build_models
from fantasyid_core.training.config import load_config
from fantasyid_core.training.loop import train
from fantasyid_core.weights.adapter import load_adapter

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
PROMPT = "turns the head to the left and smiles, blue background, light from the front"
FAST = ["steps=1", "precision=fp32", "device=cpu", "optimizer.batch=2", "data.clips=2", "data.people=1",
        "data.held_out=2", "data.references=1", "validation.every=0", "model.preset.num_layers=2",
        "model.portraits=null", "stills=0"]  # fmt: skip


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    sizes = {"prompts": 600, "people": 6, "text_steps": 60, "face_steps": 3, "batch": 16}
    train_encoders.train_encoders(train_encoders.EncoderTraining(output=str(folder), **sizes), lambda line: None)
    return folder


@pytest.fixture(scope="module")
def run(encoders, tmp_path_factory):
    """The output folder of a training of one step."""
    folder = tmp_path_factory.mktemp("run")
    changes = [*FAST, f"model.folder={encoders}", f"data.cache={folder / 'cache'}", f"output={folder / 'out'}"]
    train(load_config("tiny", changes))
    return folder / "out"


@pytest.fixture(scope="module")
def packaged(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    assert package.package(run, folder) < package.LARGEST
    return folder


def test_the_text_encoder_learns_what_happens(encoders):
    scores = json.loads((encoders / "scores.json").read_text())
    assert scores["text"] > 0.05  # of the variance, of people it has not seen, after a second
    trained, new = tiny_models(encoders).text_encoder, train_encoders.TextEncoder(seed=0)
    assert not torch.equal(trained.encode([PROMPT]), new.encode([PROMPT]))


def test_equal_settings_train_equal_encoders(tmp_path):
    sizes = {"prompts": 40, "people": 2, "text_steps": 2, "face_steps": 1, "batch": 4}
    for folder in ("one", "two"):
        settings = train_encoders.EncoderTraining(output=str(tmp_path / folder), **sizes)
        train_encoders.train_encoders(settings, lambda line: None)
    for name in ("text_encoder.safetensors", "face_encoder.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_settings_below_one_are_refused(capsys):
    assert train_encoders.main(["--people", "0"]) == 2
    assert "people: expected at least 1" in capsys.readouterr().err


def test_the_package_is_in_bfloat16_and_complete(packaged):
    files = {path.relative_to(packaged).as_posix() for path in packaged.rglob("*") if path.is_file()}
    assert files == {
        "vae.safetensors", "text_encoder.safetensors", "face_encoder.safetensors", "adapter.safetensors",
        "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors",
    }  # fmt: skip
    with safe_open(packaged / "transformer" / "diffusion_pytorch_model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118


def test_training_has_fitted_the_vertices(packaged):
    fitted = load_networks(packaged).adapter.encoder.vertex_encoder.standardisation
    assert fitted.offset.abs().max() > 0.01 and (fitted.spread - 1).abs().max() > 0.01


def test_a_run_that_is_not_finished_is_not_packaged(tmp_path, capsys):
    assert package.main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "a finished training" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def networks(packaged):
    networks = load_networks(packaged)
    for layer in networks.adapter.layers:  # a training of one step leaves them nearly without effect
        torch.nn.init.normal_(layer.to_out.weight, std=0.2, generator=torch.Generator().manual_seed(0))
    return networks


def test_a_clip_depends_on_all_that_is_given_and_not_on_its_company(networks):
    sampler = TinySampler(networks, steps=2)
    one, other = held_out_people(2)
    ask = (one.vertices, one.references, PROMPT, 1)
    clip = sampler(*ask)
    assert clip.shape == (9, 64, 64, 3) and clip.dtype == np.uint8
    changed = [
        (other.vertices, *ask[1:]), (ask[0], other.references, *ask[2:]), (*ask[:2], "nods", 1), (*ask[:3], 2),
    ]  # fmt: skip
    together = sampler.many([ask, *changed])
    assert np.abs(together[0].astype(int) - clip).max() <= 1
    assert all(not np.array_equal(clip, each) for each in together[1:])
    assert np.array_equal(sampler(*ask), clip)


def test_a_team_makes_what_one_makes(networks, packaged):
    people = held_out_people(3)
    requests = [(each.vertices, each.references, PROMPT, 1) for each in people]
    alone = TinySampler(load_networks(packaged), steps=2).many(requests)
    team = score.samplers_of({"a": packaged}, steps=2, workers=2)["a"]
    assert np.abs(team.many(requests).astype(int) - alone).max() <= 1
    assert np.abs(team(*requests[0]).astype(int) - alone[0]).max() <= 1


def test_guidance_and_strength_change_the_clip(networks):
    (one, _) = held_out_people(2)
    ask = (one.vertices, one.references, PROMPT, 1)
    plain, guided, without = (
        TinySampler(networks, steps=2, **settings)(*ask) for settings in ({}, {"cfg": 3.0}, {"strength": 0.0})
    )
    assert not np.array_equal(plain, guided) and not np.array_equal(plain, without)


def test_training_goes_on_with_a_packaged_model(packaged, tmp_path):
    """With all four networks; what learned before is not learned again from nothing."""
    own = [*FAST, f"model.folder={packaged}", "model.adapter=folder", f"data.cache={tmp_path / 'cache'}"]
    models, theirs = build_models(load_config("tiny", own)), load_networks(packaged)
    small = theirs.small
    for part, other in (
        (models.transformer, theirs.transformer), (models.adapter, theirs.adapter),
        (models.text_encoder, small.text_encoder), (models.face_encoder, small.face_encoder),
    ):  # fmt: skip
        mine, others = part.state_dict(), other.state_dict()
        assert mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)
    rates = [f"optimizer.{name}=1e-12" for name in ("lr", "muon_lr", "encoder_lr")]
    path = train(load_config("tiny", [*own, *rates, f"output={tmp_path / 'out'}"]))
    after = load_adapter(path).state_dict()
    assert all(torch.allclose(after[name], value, atol=1e-6) for name, value in theirs.adapter.state_dict().items())
    with pytest.raises(ValueError, match="transformer.*does not fit the network"):
        build_models(load_config("tiny", [*own, "model.preset.num_layers=3"]))
    with pytest.raises(ValueError, match="model.folder is missing: expected a packaged folder"):
        load_config("tiny", ["model.adapter=folder", "model.folder=null"])


def test_the_ablations_are_trained_packaged_and_compared(encoders, tmp_path, monkeypatch):
    monkeypatch.setattr(ablations, "COARSE", ablations.COARSE[:1])  # one slider is enough to compare by
    lines = []
    changes = [*FAST, f"model.folder={encoders}", f"data.cache={tmp_path / 'cache'}"]
    out = tmp_path / "out"
    portraits = PortraitTraining(steps=1, batch=2)
    report = run_ablations(
        "tiny", out, changes, people=2, seeds=1, report=lines.append, steps=1, workers=2, portraits=portraits
    )
    assert report["columns"] == [*ABLATIONS, "codec", "true"] and report["people"] == 2
    assert [line for line in lines if line.endswith("1 steps")] == [f"{name}: 1 steps" for name in ABLATIONS]
    assert [line for line in lines if line.endswith("of portraits")] == [
        f"{name}: 1 steps of portraits" for name in ABLATIONS
    ]
    tokens = {name: load_networks(folder_of(tmp_path, name)).adapter.config.id_tokens for name in ABLATIONS}
    assert tokens["without vertices"] < tokens["whole"] > tokens["without face abstractor"]
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "scores.json", "scores.md", "scores.png",
    }  # fmt: skip
    weights = out / "whole" / "checkpoints" / "step-00000001" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    monkeypatch.setattr(ablations, "score", lambda *_, **__: {})
    run_ablations("tiny", out, changes, people=2, seeds=1, report=lines.append, portraits=portraits)
    assert weights.stat().st_mtime_ns == before  # what is finished is not trained again
    with pytest.raises(ValueError, match="steps: 2 instead of 1"):
        run_ablations("tiny", out, [*changes, "steps=2"], people=2, seeds=1, report=lines.append, portraits=portraits)


def folder_of(folder, name):
    return folder / "out" / name.replace(" ", "_") / "networks"


def test_scores_need_names_for_folders(tmp_path, capsys):
    assert score.main(["somewhere", "--out", str(tmp_path)]) == 2
    assert "Expected NAME=FOLDER" in capsys.readouterr().err
