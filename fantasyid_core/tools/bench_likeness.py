"""Measures how much likeness each mechanism costs, on FantasyID-Tiny: a trained model whose pictures a probe can read.

Likeness is the cosine between what the probe reads in a video and in other true pictures of the person: 1 is alike,
0 is anybody. The people are drawn, and none was seen in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from ..host.diffusers.mechanisms import calibrated
from ..people.instruments.probe import load_probe, read
from ..people.instruments.resemblance import GALLERY
from ..people.instruments.subjects import Subject, held_out_people
from ..running.packages import MissingPackage
from ..tinymodel.sampler import TinyNetworks, TinySampler, load_networks

PEOPLE, STEPS, GUIDANCE = 4, 10, 2.0
Report = dict[str, object]
Mechanisms = Mapping[str, Mapping[str, object]]
"""Name -> options of `mechanisms.attached`; "strength": 0.0 leaves the identity out."""


def measure_likeness(
    mechanisms: Callable[[tuple[float, ...]], Mechanisms],
    exact: str,
    people: int = PEOPLE,
    steps: int = STEPS,
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """Likeness under every mechanism, its share of the likeness of `exact`, and the difference of the latents to it.

    mechanisms: makes them from the model's own ratios (for the cache "mag"). Says why instead when people cannot be
    drawn here.
    """
    try:
        subjects = held_out_people(people)
        bench = _Bench(load_networks(), subjects, steps)
    except MissingPackage as error:
        return {"skipped": str(error)}
    made = {}
    for name, options in mechanisms(bench.ratios()).items():
        progress(f"likeness: {name}")
        made[name] = bench.measure(options)
    likeness, latents = made[exact]
    rows = {
        name: {
            "likeness": found,
            "share of exact": found / likeness,
            "difference": float((each - latents).norm() / latents.norm()),
        }
        for name, (found, each) in made.items()
    }
    return {"model": "FantasyID-Tiny", "people": people, "steps": steps, "guidance": GUIDANCE, "rows": rows}


class _Bench:
    """The same videos under every mechanism, and true pictures of their people."""

    def __init__(self, networks: TinyNetworks, people: list[Subject], steps: int):
        self.networks, self.steps, self.probe = networks, steps, load_probe()
        first = [subject.references[0] for subject in people]
        self.tokens = TinySampler(networks).identity(np.stack([each.vertices for each in people]), np.stack(first))
        self.prompts, self.seeds = [subject.prompt for subject in people], [0] * len(people)
        true = [read(self.probe, subject.portraits(GALLERY)[0]).vectors.mean(axis=0) for subject in people]
        self.true = _unit(np.stack(true))

    def ratios(self) -> tuple[float, ...]:
        """The model's own, for the cache "mag"."""
        with torch.inference_mode(), calibrated(self.networks.transformer, self.steps) as measured:
            self._latents({})
        return tuple(measured)

    def measure(self, options: Mapping[str, object]) -> tuple[float, Tensor]:
        """The mean likeness, and the latents."""
        sampler, latents = self._latents(options)
        seen = read(self.probe, sampler.decode(latents)).vectors.mean(axis=1)  # [N,T,C] -> [N,C]
        return float((_unit(seen) * self.true).sum(axis=1).mean()), latents

    def _latents(self, options: Mapping[str, object]) -> tuple[TinySampler, Tensor]:
        options = dict(options)
        strength = float(options.pop("strength", 1.0))  # type: ignore[arg-type]
        sampler = TinySampler(self.networks, self.steps, GUIDANCE, strength, mechanism=options)
        return sampler, sampler.latents(self.tokens, self.prompts, self.seeds)


def _unit(vectors: np.ndarray) -> np.ndarray:  # [N,C] -> the same of length 1
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
