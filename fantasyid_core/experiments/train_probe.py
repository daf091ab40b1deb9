"""Trains and scores the probe: `python -m fantasyid_core.experiments.train_probe [--evaluate]`.

Everything follows from the config and its seed. All pictures are true renders of training people: of each, two
portraits as references show them and two frames of a clip, with other poses, expressions, light and backgrounds.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..files.settings import above, at_least, read_settings
from ..people.backdrop import sample_backdrop
from ..people.instruments.probe import (
    COLOUR_NAMES,
    NAMES,
    SHIPPED,
    SIDE,
    Probe,
    as_pixels,
    index_of,
    load_probe,
    save_probe,
    truth,
)
from ..people.motion import sample_motion, sample_portrait
from ..people.person import Draw, sample_person, training_seeds
from ..people.render import render_frames
from ..training.muon import Muon

CONFIG = Path(__file__).parent / "configs" / "probe.yaml"
VIEWS = 4  # of every person: two portraits, two frames of a clip
_CLIP = 9


@dataclass(frozen=True)
class ProbeTraining:
    """people: with `VIEWS` pictures each. A step learns from one portrait and one frame of a clip of each of
    `batch_people`.

    muon_lr: of the kernels and the large matrix; adam_lr: of all else; both fall along a cosine to 0. noise: pictures
    get noise of a deviation drawn from 0..noise. likeness: weight of the loss that brings the vectors of one person
    together and those of others apart, beside the squared errors of the standardised readings; temperature: its.
    """

    seed: int = 0
    people: int = 12000
    steps: int = 1800
    batch_people: int = 48
    muon_lr: float = 0.02
    adam_lr: float = 2e-3
    warmup: int = 30
    noise: float = 0.03
    likeness: float = 0.15
    temperature: float = 0.1

    def __post_init__(self):
        for field in fields(self):
            check = at_least if field.name in ("seed", "noise", "likeness", "warmup") else above
            check(field.name, getattr(self, field.name), 0)
        if not 2 <= self.batch_people <= self.people:
            raise ValueError(f"batch_people: expected 2 to {self.people} (people), got {self.batch_people}.")


def load_settings(path: str | os.PathLike = CONFIG) -> ProbeTraining:
    """From a YAML file; errors as `read_settings`."""
    return read_settings(ProbeTraining, path, CONFIG.parent)


def views_of(seed: int, size: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [VIEWS,size,size,3] of a person, and what is true of them [VIEWS,K]."""
    person, draw = sample_person(seed), Draw(seed, "probe")
    portraits = np.stack([sample_portrait(draw), sample_portrait(draw)])
    rows = sample_motion(draw).frames(_CLIP)[[int(draw(0, _CLIP / 2)), int(draw(_CLIP / 2, _CLIP))]]
    pictures = [render_frames(person, part, sample_backdrop(draw), size) for part in (portraits, rows)]
    return np.concatenate(pictures), truth(person, np.concatenate([portraits, rows]))


def render_views(seeds: Sequence[int], workers: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`views_of` many people [P,VIEWS,...], and how much each reading counts [P,K]: the hair of the bald does not."""
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        pictures, truths = zip(*pool.map(views_of, seeds), strict=True)
    counts = np.ones((len(seeds), len(NAMES)), np.float32)
    bald = [sample_person(seed).appearance.hair_style == "bald" for seed in seeds]
    counts[np.ix_(bald, [index_of(name) for name in COLOUR_NAMES if name.startswith("hair")])] = 0
    return np.stack(pictures), np.stack(truths).astype(np.float32), counts


def train_probe(
    settings: ProbeTraining,
    report: Callable[[str], None] = lambda line: None,
    views: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    probe: Probe | None = None,
) -> Probe:
    """The trained probe. views: of `render_views`, instead of rendering them. Raises RuntimeError for a loss of NaN."""
    torch.manual_seed(settings.seed)
    probe = probe or Probe()
    pictures, truths, counts = views or render_views(training_seeds(settings.people))
    report(f"{len(pictures)} people rendered")
    flat = torch.from_numpy(truths).flatten(0, 1)
    probe.mean.copy_(flat.mean(0))
    probe.deviation.copy_(flat.std(0, correction=0).clamp_min(1e-6))
    probe.to(memory_format=torch.channels_last).train()
    optimizers = _optimizers(probe, settings)
    rng, losses = np.random.default_rng(settings.seed), []
    for step in range(settings.steps):
        rows = rng.choice(len(pictures), settings.batch_people, replace=False)
        picks = np.stack([rng.integers(0, 2, len(rows)), rng.integers(2, VIEWS, len(rows))])  # [2,B]
        pixels = _noisy(as_pixels(pictures[rows, picks].reshape(-1, *pictures.shape[2:])), settings.noise)
        wanted = torch.from_numpy(truths[rows, picks]).flatten(0, 1)
        loss = probe_loss(probe, pixels, wanted, torch.from_numpy(counts[rows]).repeat(2, 1), settings)
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"The loss of step {step} is {loss.item()}. Lower muon_lr or adam_lr, start anew.")
        loss.backward()
        _advance(optimizers, settings, step)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            report(f"step {step + 1} of {settings.steps}: loss {np.mean(losses[-50:]):.4f}")
    return probe.eval().requires_grad_(False)


def probe_loss(probe: Probe, pixels: Tensor, wanted: Tensor, counts: Tensor, settings: ProbeTraining) -> Tensor:
    """pixels [2B,3,S,S]: first one picture of B people, then another of the same; wanted, counts [2B,K]."""
    found, vectors = probe(pixels)
    errors = (found - (wanted - probe.mean) / probe.deviation).square()
    squared = (errors * counts).sum() / counts.sum()
    one, other = vectors.chunk(2)
    alike = one @ other.T / settings.temperature
    same = torch.arange(len(one))
    likeness = (F.cross_entropy(alike, same) + F.cross_entropy(alike.T, same)) / 2
    return squared + settings.likeness * likeness


def _optimizers(probe: Probe, settings: ProbeTraining) -> list[tuple[torch.optim.Optimizer, float]]:
    matrices = [module.weight for module in probe.modules() if isinstance(module, nn.Conv2d)] + [probe.hidden.weight]
    inside = {id(value) for value in matrices}
    others = [value for value in probe.parameters() if id(value) not in inside]
    adam = torch.optim.AdamW(others, settings.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
    return [(Muon(matrices, settings.muon_lr), settings.muon_lr), (adam, settings.adam_lr)]


def _advance(optimizers, settings: ProbeTraining, step: int) -> None:
    rising = min(1.0, (step + 1) / max(1, settings.warmup))
    share = rising * (1 + math.cos(math.pi * step / settings.steps)) / 2
    for optimizer, full in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = full * share
        optimizer.step()
        optimizer.zero_grad()


def _noisy(pixels: Tensor, most: float) -> Tensor:
    amount = torch.rand(len(pixels), 1, 1, 1) * most
    return (pixels + amount * torch.randn(pixels.shape)).to(memory_format=torch.channels_last)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: done; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.train_probe")
    parser.add_argument("config", nargs="?", default=CONFIG, help="YAML file (default: the one that comes along)")
    parser.add_argument("--output", type=Path, default=SHIPPED, help="where to write the weights")
    parser.add_argument("--evaluate", action="store_true", help="score on held-out people instead of training")
    parser.add_argument("--people", type=int, default=200, help="how many held-out people")
    arguments = parser.parse_args(argv)
    start = time.monotonic()
    try:
        if not arguments.evaluate:
            probe = train_probe(load_settings(arguments.config), lambda line: print(line, flush=True))
            save_probe(probe, arguments.output)
            print(f"trained in {time.monotonic() - start:.0f} s: {arguments.output}")
        from ..people.instruments.readability import readable

        print(readable(load_probe(arguments.output), arguments.people).describe())
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
