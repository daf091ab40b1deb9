"""Training the VAE of FantasyID-Tiny: exact resume, files, settings, and the gate of what ships."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fantasyid_core.experiments import train_vae as trainer
from fantasyid_core.experiments.train_vae import VaeRun, evaluate_vae, main, pixels_of, rate, train_vae
from fantasyid_core.experiments.vae_settings import VaeTraining, load_settings
from fantasyid_core.people.clips import make_clips
from fantasyid_core.people.person import held_out_seeds
from fantasyid_core.tinymodel.loading import SHIPPED_VAE, load_vae, save_vae
from fantasyid_core.tinymodel.models import TinyCodec, load_text, save_tiny_models, tiny_models
from fantasyid_core.tinymodel.vae import TinyVae, VaeConfig

SMALL = {"people": 6, "steps": 4, "crops": 2, "warmup": 1, "whole": 0.25}
SIZES = {"encoder_width": 8, "encoder_blocks": 1, "decoder_width": 8, "decoder_blocks": 1}


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return make_clips(range(6), references=0).pictures


def settings(**changes) -> VaeTraining:
    return load_settings({**SMALL, "vae": SIZES, **changes})


def weights_of(run: VaeRun) -> torch.Tensor:
    return torch.cat([value.flatten() for value in [*run.vae.parameters(), *run.average.values()]])


def test_a_resumed_run_equals_an_uninterrupted_one(clips):
    whole, first, second = (VaeRun(settings(), clips) for _ in range(3))
    for _ in range(4):
        whole.advance()
    for _ in range(2):
        first.advance()
    second.restore(first.state())
    for _ in range(2):
        second.advance()
    assert second.step == 4
    assert torch.equal(weights_of(second), weights_of(whole))


def test_training_lowers_the_error(clips):
    wide = SIZES | {"encoder_width": 16, "decoder_width": 16}
    run, pixels = VaeRun(settings(steps=40, crops=4, muon_lr=0.05, vae=wide), clips), pixels_of(clips)
    error = lambda: (run.vae.raw_pictures(run.vae.raw_latents(pixels)) - pixels).square().mean().item()  # noqa: E731
    before = error()
    for _ in range(40):
        run.advance()
    assert error() < 0.96 * before


def test_every_part_learns(clips):
    run = VaeRun(settings(), clips)
    before = {name: value.detach().clone() for name, value in run.vae.named_parameters()}
    run.advance(), run.advance(), run.advance()
    still = [name for name, value in run.vae.named_parameters() if torch.equal(value, before[name])]
    assert not still


def test_the_last_steps_see_whole_pictures(clips):
    run = VaeRun(settings(crops=8), clips)
    assert run._draw()[0].shape == (8, 3, 9, 32, 32)
    run.step = 3
    pixels, noise = run._draw()
    assert pixels.shape == (2, 3, 9, 64, 64) and noise.shape == (2, 16, 3, 16, 16)


def test_rates_rise_and_fall_to_nothing():
    plan = settings(steps=100, warmup=10)
    assert rate(0, plan) == pytest.approx(0.1) and rate(9, plan) > 0.97
    assert rate(50, plan) == pytest.approx(0.5) and rate(99, plan) < 0.001


def test_a_loss_that_is_not_finite_stops_and_changes_nothing(clips, monkeypatch):
    run = VaeRun(settings(), clips)
    before = weights_of(run)
    monkeypatch.setattr(trainer, "reconstruction_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(RuntimeError, match="loss of step 0 is nan.*Lower"):
        run.advance()
    assert torch.equal(weights_of(run), before) and run.step == 0


@pytest.fixture
def few_held_out(monkeypatch):
    monkeypatch.setattr(trainer, "evaluate_vae", lambda *a, **kw: evaluate_vae(*a, clips=2, **kw))


def test_training_writes_weights_and_scores_and_goes_on_after_a_kill(tmp_path, monkeypatch, few_held_out):
    told: list[str] = []
    plan = settings(output=str(tmp_path / "whole"))
    whole = train_vae(plan, told.append)
    assert json.loads((tmp_path / "whole" / "scores.json").read_text())["clips"] == 2
    assert any("gate of 30 dB" in line for line in told)

    plan = settings(output=str(tmp_path / "killed"), checkpoint_minutes=1e-9)
    advance, calls = VaeRun.advance, []

    def killed(run):
        calls.append(run.step)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return advance(run)

    monkeypatch.setattr(VaeRun, "advance", killed)
    with pytest.raises(KeyboardInterrupt):
        train_vae(plan, told.append)
    resumed = train_vae(plan, told.append)
    assert any("going on from step 2" in line for line in told)
    assert resumed.read_bytes() == whole.read_bytes()


def test_checkpoints_of_other_settings_and_damaged_ones_are_refused(tmp_path, clips):
    run = VaeRun(settings(), clips)
    with pytest.raises(ValueError, match=r"other settings \(steps, crops\).*another output"):
        run.restore(VaeRun(settings(steps=5, crops=3), clips).state())
    run.restore(VaeRun(settings(output="elsewhere"), clips).state())
    file = tmp_path / "checkpoint.pt"
    for damage in (lambda: file.write_bytes(b"PK\x03\x04 cut off"), lambda: torch.save({"other": 1}, file)):
        damage()
        with pytest.raises(ValueError, match="checkpoint.pt .*[Dd]elete it"):
            train_vae(settings(output=str(tmp_path)), lambda line: None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepps": 3}, "stepps is no setting; did you mean steps"),
        ({"vae": {"patchs": 3}}, "vae.patchs is no setting; did you mean vae.patch"),
        ({"vae": 3}, "vae: expected keys and values, got 3"),
        ({"steps": "many"}, "steps: expected a whole number, got 'many'"),
        ({"steps": 2.5}, "steps: expected a whole number, got 2.5"),
        ({"steps": 0}, "steps: expected a number above 0, got 0"),
        ({"crop": 30}, "crop: expected 8 to 64 pixels"),
        ({"whole": 2}, "whole: expected a number from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        load_settings(changes)


def test_the_config_that_comes_along_is_read_and_others_are_explained(tmp_path):
    plan = load_settings("tiny_vae")
    assert plan.adam_lr == 3e-4 and plan.vae.latent_channels == 32
    with pytest.raises(FileNotFoundError, match="no config .*nothing.yaml"):
        load_settings(tmp_path / "nothing.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="not a YAML file"):
        load_settings(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ValueError, match="expected keys and values, got list"):
        load_settings(tmp_path / "list.yaml")


def test_files_keep_sizes_and_values(tmp_path):
    vae = TinyVae(VaeConfig.tiny(decoder_width=12))
    vae.latents_mean.normal_()
    save_vae(vae, tmp_path / "v.safetensors", torch.float32)
    again = load_vae(tmp_path / "v.safetensors")
    assert again.config == vae.config and not any(value.requires_grad for value in again.parameters())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in vae.state_dict().items())
    save_vae(vae, tmp_path / "v.safetensors")
    assert torch.equal(load_vae(tmp_path / "v.safetensors").latents_mean, vae.latents_mean)  # float32 all the same


def test_files_of_other_networks_and_damaged_ones_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "v.safetensors"
    vae = TinyVae(VaeConfig.tiny())
    save_vae(vae, path)
    with pytest.raises(ValueError, match="to be a tiny_text file of this project, got tiny_vae"):
        load_text(path)
    metadata = {"fantasyid": json.dumps({"kind": "tiny_vae", **SIZES})}
    tensors = {name: value.clone() for name, value in vae.state_dict().items()}
    save_file({**tensors, "extra": torch.zeros(1)}, path, metadata)
    with pytest.raises(ValueError, match="1 tensors are unexpected: extra"):
        load_vae(path)
    tensors["latents_std"][3] = float("nan")
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match="1 tensors hold NaN or infinite values: latents_std"):
        load_vae(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="a file that does not say what it is"):
        load_vae(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match="truncated or corrupt"):
        load_vae(path)
    with pytest.raises(FileNotFoundError):
        load_vae(tmp_path / "none.safetensors")


def test_the_three_networks_round_trip(tmp_path):
    save_vae(TinyVae(VaeConfig.tiny()), tmp_path / "vae.safetensors")
    models = tiny_models(tmp_path, seed=5, text_embed=96)
    assert models.text_encoder.config.embed == 96
    paths = save_tiny_models(models, tmp_path, torch.float32)
    again = tiny_models(tmp_path)
    texts = ["nods and smiles"]
    assert torch.equal(again.text_encoder.encode(texts), models.text_encoder.encode(texts))
    pixels = torch.rand(1, 3, 64, 64)
    assert torch.equal(again.face_encoder.encode(pixels), models.face_encoder.encode(pixels))
    assert [path.name for path in paths] == ["vae.safetensors", "text_encoder.safetensors", "face_encoder.safetensors"]
    with pytest.raises(ValueError, match="Expected a text encoder of 64 channels.*has 96"):
        tiny_models(tmp_path, text_embed=64)
    with pytest.raises(FileNotFoundError, match="Expected a folder with vae.safetensors"):
        tiny_models(tmp_path / "nowhere")


def test_the_codec_speaks_as_the_trainer_does():
    codec = TinyCodec(TinyVae(VaeConfig.tiny()))
    pixels = torch.rand(1, 3, 5, 16, 16)
    latents = codec.encode(2 * pixels - 1, torch.Generator())
    torch.testing.assert_close(latents, codec.vae.encode(pixels).transpose(1, 2))
    assert latents.shape == (1, 2, 16, 4, 4) and codec.decode(latents).shape == (1, 5, 16, 16, 3)
    other = TinyCodec(TinyVae(VaeConfig.tiny()))
    assert codec.fingerprint != other.fingerprint


def test_the_shipped_vae_passes_the_gate(tmp_path):
    """On fewer held-out people than the command takes, to stay within seconds."""
    told: list[str] = []
    assert evaluate_vae(clips=12, report=told.append, sheet=tmp_path / "sheet.png"), told
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    vae = load_vae()
    assert sum(value.numel() for value in vae.parameters()) <= 3_000_000
    assert SHIPPED_VAE.stat().st_size <= 6.1e6
    pixels = pixels_of(make_clips(held_out_seeds(12), references=0).pictures)
    latents = vae.encode(pixels)
    assert latents.std((0, 2, 3, 4)).sub(1).abs().max() < 0.35 and latents.mean((0, 2, 3, 4)).abs().max() < 0.5


def test_the_command_explains_errors(capsys, tmp_path):
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert main(["--evaluate", "--weights", str(tmp_path / "none.safetensors")]) == 2
    assert "does not exist" in capsys.readouterr().err
