"""The decoder that learns from predicted latents: what stays as it was, what is learned, and runs that are stopped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from fantasyid_core.experiments import clip_pairs, train_decoder
from fantasyid_core.experiments.clip_pairs import ClipPairs, Growth
from fantasyid_core.experiments.sharper_loss import SharperLoss, decoded_pixels, pixel_errors
from fantasyid_core.experiments.train_decoder import DecoderSettings, Predictions, Told, deeper, teach_decoder
from fantasyid_core.files.pixels import to_video
from fantasyid_core.tinymodel.loading import SHIPPED, load_vae
from fantasyid_core.tinymodel.models import VAE_FILE, TinyCodec
from fantasyid_core.tinymodel.sampler import ADAPTER_FILE, load_networks
from fantasyid_core.tinymodel.vae import DECODER_PARTS

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
QUIET = {"report": lambda line: None}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def few_clips(monkeypatch):
    make = Growth.__new__
    monkeypatch.setattr(clip_pairs, "_CHUNK", 4)
    monkeypatch.setattr(clip_pairs.Growth, "__new__", lambda cls, *values: make(cls, *(values or (4, 4, 100))))


def test_a_deeper_decoder_begins_as_the_one_it_was():
    old = load_vae()
    new = deeper(old, old.config.decoder_blocks + 2)
    latents = torch.randn(1, 32, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(new.decode(latents), old.decode(latents))
    assert len(new.decoder.blocks) == len(old.decoder.blocks) + 2
    assert len(deeper(old, 1).decoder.blocks) == len(old.decoder.blocks)


def _faded(step: int) -> Told:
    """Clouds whose latents have lost a third of their contrast, as predictions do."""
    coarse = torch.rand(4, 3, 2, 4, 4, generator=torch.Generator().manual_seed(step))
    pixels = interpolate(coarse, (5, 16, 16), mode="trilinear")
    latents = load_vae().encode(pixels).transpose(1, 2)
    return Told(latents * 0.66, latents, pixels)


def test_the_decoder_learns_what_predictions_have_lost(tmp_path):
    settings = DecoderSettings(steps=40, batch=4, warmup=5, average=0.5, save_every=40)
    old, told, loss = load_vae(), _faded(1000), SharperLoss()
    new = teach_decoder(load_vae(), _faded, tmp_path / "state.pt", settings, **QUIET)

    def wrong(vae, latents) -> float:
        with torch.no_grad():
            return pixel_errors(decoded_pixels(vae, latents), told.pixels, loss).mean().item()

    assert wrong(new, told.predicted) < 0.9 * wrong(old, told.predicted)
    before, after = old.state_dict(), new.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith(DECODER_PARTS) for name in changed)


def test_true_latents_hold_the_decoder_back(tmp_path):
    """Without them it forgets how to decode what the encoder makes."""
    told, wrong = _faded(1000), []
    for own in (0.0, 4.0):
        settings = DecoderSettings(steps=40, batch=4, warmup=5, average=0.5, save_every=40, own=own)
        vae = teach_decoder(load_vae(), _faded, tmp_path / f"{own}.pt", settings, **QUIET)
        with torch.no_grad():
            wrong.append(pixel_errors(decoded_pixels(vae, told.clean), told.pixels, SharperLoss()).mean().item())
    assert wrong[1] < 0.9 * wrong[0]


def test_a_run_that_was_stopped_equals_one_that_was_not(tmp_path):
    settings = DecoderSettings(steps=4, batch=4, save_every=1)

    def stopped(step: int) -> Told:
        if step == 2:
            raise InterruptedError
        return _faded(step)

    whole = teach_decoder(load_vae(), _faded, tmp_path / "a", settings, **QUIET).state_dict()
    with suppress(InterruptedError):
        teach_decoder(load_vae(), stopped, tmp_path / "b", settings, **QUIET)
    parts = teach_decoder(load_vae(), _faded, tmp_path / "b", settings, **QUIET).state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_predictions_are_those_of_the_model_and_follow_from_their_number(cache, few_clips):
    networks, settings = load_networks(), DecoderSettings(batch=4)
    source = ClipPairs(8, cache, TinyCodec(networks.small.vae), references=1)
    first = Predictions(networks, source, settings)
    one, two = first(0), first(1)
    again = Predictions(load_networks(), source, settings)(1)  # one network serves one thread
    assert all(torch.equal(*each) for each in zip(two, again, strict=True))
    assert one.predicted.shape == one.clean.shape == (4, 3, 32, 16, 16) and not torch.equal(
        one.predicted, two.predicted
    )
    batch = source.batch(source.chosen(0, 4, 0), np.random.default_rng(0))
    torch.testing.assert_close(one.pixels, to_video(batch.pictures).add(1).div(2))
    with torch.no_grad():
        decoded = networks.small.vae.decode(one.predicted.transpose(1, 2))
    assert (decoded - one.pixels).square().mean() < 0.02  # they show the people of the clips


def test_the_command_writes_a_model_with_another_decoder(cache, tmp_path, few_clips, capsys):
    flags = ["--cache", str(cache), "--clips", "16", "--steps", "2", "--batch", "2", "--save-every", "1"]
    assert train_decoder.main([str(SHIPPED), str(tmp_path), *flags]) == 0
    made, old = load_networks(tmp_path), load_networks()
    assert made.small.vae.config == replace(old.small.vae.config, decoder_blocks=made.small.vae.config.decoder_blocks)
    assert not torch.equal(made.small.vae.decoder.stem.weight, old.small.vae.decoder.stem.weight)
    assert (tmp_path / ADAPTER_FILE).read_bytes() == (SHIPPED / ADAPTER_FILE).read_bytes()
    assert (tmp_path / VAE_FILE).read_bytes() != (SHIPPED / VAE_FILE).read_bytes()
    assert train_decoder.main([str(tmp_path / "nowhere"), str(tmp_path), *flags]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert train_decoder.main([str(SHIPPED), str(tmp_path / "odd"), *flags, "--batch", "3"]) == 2
    assert "even batch" in capsys.readouterr().err
