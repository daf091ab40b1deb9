"""Teaches the VAE's decoder the latents that the transformer predicts, beside the true ones.

    python -m fantasyid_core.experiments.train_decoder START OUT [--cache CACHE]

START is a packaged folder, and OUT receives the same networks with another decoder. Predicted latents are softer than
true ones, in ways that a decoder can learn: it knows what belongs to a thin line of which a trace is left. Encoder,
latents and transformer stay as they are. A share of the loss is of true latents, so that the decoder stays the
encoder's inverse. An interrupted run continues with the same command."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..files.pixels import to_video
from ..tinymodel.loading import save_vae
from ..tinymodel.models import VAE_FILE, TinyCodec
from ..tinymodel.sampler import TinyNetworks, TinySampler, load_networks
from ..tinymodel.vae import LINEAR_MAPS, TinyVae
from ..training.batches import generator
from .clip_pairs import ClipPairs
from .sharper_loss import SharperLoss, decoded_pixels, free_decoder, pixel_errors, pixel_weights
from .teaching import Teaching, TeachingSettings

STATE_FILE = "decoder.pt"


@dataclass(frozen=True)
class DecoderSettings(TeachingSettings):
    """own: weight of the loss of true latents, with noise of a deviation up to `noise`. blocks: of the decoder; those
    that START lacks begin without effect."""

    steps: int = 4000
    batch: int = 16
    lr: float = 5e-4
    muon_lr: float = 0.01
    fall: float = 0.8
    own: float = 0.5
    noise: float = 0.1
    blocks: int = 7


class Told(NamedTuple):
    """predicted, clean: latents [B,L,C,h,w] of one batch of twins; pixels [B,3,T,H,W] in 0..1."""

    predicted: Tensor
    clean: Tensor
    pixels: Tensor


def deeper(vae: TinyVae, blocks: int) -> TinyVae:
    """The same VAE with at least `blocks` blocks in its decoder; new ones change nothing yet."""
    config = replace(vae.config, decoder_blocks=max(blocks, vae.config.decoder_blocks))
    wider = TinyVae(config)
    wider.load_state_dict(wider.state_dict() | vae.state_dict())
    return wider


class Predictions:
    """What the networks predict in one step from noise, of the pairs of `source`; batch n follows from n alone."""

    def __init__(self, networks: TinyNetworks, source: ClipPairs, settings: TeachingSettings):
        self._sampler, self._source, self._settings = TinySampler(networks), source, settings
        self._reader, self._ahead = ThreadPoolExecutor(1), {}

    def __call__(self, step: int) -> Told:
        ahead = self._ahead.pop(step, None) or self._ask(step)
        if step + 1 < self._settings.steps:
            self._ahead[step + 1] = self._ask(step + 1)
        return ahead.result()

    def _ask(self, step: int) -> Future:
        return self._reader.submit(self._predict, step)

    @torch.no_grad()
    def _predict(self, step: int) -> Told:
        settings, source = self._settings, self._source
        rng = generator(settings.seed, "decoder", step)
        batch = source.batch(source.chosen(step, settings.batch, settings.seed), rng)
        seeds = rng.integers(2**31, size=settings.batch // 2).repeat(2).tolist()
        tokens = self._sampler.identity(batch.vertices, batch.references)
        predicted = self._sampler.latents(tokens, batch.texts, seeds)
        clean = torch.from_numpy(batch.latents).float()
        pixels = to_video(batch.pictures).add(1).div(2)
        return Told(predicted.clone(), clean, pixels)


def teach_decoder(vae: TinyVae, told, state: Path, settings: DecoderSettings, report=print) -> TinyVae:
    """The VAE with the averaged weights of a decoder that has learned from `told(step)`."""
    costs = SharperLoss()
    free_decoder(vae)
    teaching = Teaching(vae.train(), settings, state, dict.fromkeys(LINEAR_MAPS, 1.0))

    def loss(step: int) -> dict[str, Tensor]:
        batch = told(step)
        noisy = with_noise(batch.clean[0::2], settings.noise, settings.seed, step)
        pixels, own = batch.pixels, batch.pixels[0::2]
        shown = pixel_errors(decoded_pixels(vae, batch.predicted), pixels, costs, pixel_weights(pixels, costs))
        return {"predicted": shown.mean(), "own": pixel_errors(decoded_pixels(vae, noisy), own, costs).mean()}

    total = lambda losses: losses["predicted"] + settings.own * losses["own"]  # noqa: E731
    teaching.learn(loss, total, lambda step: None, report)
    return teaching.average


def with_noise(latents: Tensor, most: float, seed: int, step: int) -> Tensor:
    """Latents with noise of a deviation from 0..most, another for every clip."""
    draws = torch.Generator().manual_seed(int(generator(seed, "noisy latents", step).integers(2**62)))
    deviations = torch.rand(len(latents), 1, 1, 1, 1, generator=draws) * most
    return latents + deviations * torch.randn(latents.shape, generator=draws)


def train_decoder(start: Path, out: Path, cache: Path, settings: DecoderSettings, clips: int, report=print) -> Path:
    """Writes the networks of `start` with another decoder to `out` and returns it. Errors as the loaders'."""
    networks = load_networks(start)
    told = Predictions(networks, ClipPairs(clips // 2, cache, TinyCodec(networks.small.vae)), settings)
    torch.manual_seed(settings.seed)
    vae = teach_decoder(deeper(networks.small.vae, settings.blocks), told, out / STATE_FILE, settings, report)
    for path in sorted(start.rglob("*")):
        if path.suffix in (".safetensors", ".json") and path.name != VAE_FILE:
            target = out / path.relative_to(start)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    save_vae(vae, out / VAE_FILE)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: trained; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.train_decoder")
    parser.add_argument("start", type=Path, help="packaged folder that it begins with")
    parser.add_argument("out", type=Path, help="folder for the state and the result")
    parser.add_argument("--cache", type=Path, default=Path("training/cache"), help="folder for drawn clips")
    parser.add_argument("--clips", type=int, default=40000, help="as data.clips of `train_sharper`")
    for field in fields(DecoderSettings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    chosen = vars(parser.parse_args(argv))
    start, out, cache, clips = (chosen.pop(name) for name in ("start", "out", "cache", "clips"))
    say = lambda line: print(line, flush=True)  # noqa: E731
    try:
        say(str(train_decoder(start, out, cache, DecoderSettings(**chosen), clips, say)))
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
