"""Measures whether videos in windows show where a window begins or ends.

    python -m fantasyid_core.experiments.seams
    python -m fantasyid_core.experiments.seams --people 8 --frames 97 145 --json

Two measurements of the change from one frame to the next, at the edges of windows and elsewhere:

`ideal`  A model whose prediction is exactly known: latent frames that follow one another as an autoregressive Gaussian
         process from a given first picture, in the release's 13 latent frames and 50 steps. Everything is linear, so
         the changes are computed without chance. They are given as shares of the change in the process itself.
`tiny`   FantasyID-Tiny. Its windows have three latent frames, so that every step from one latent frame to the next is
         an edge. Its own videos of 9 frames change more there, too, because the VAE codes four frames at once: the
         comparison is with the same places in those.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..people.instruments.subjects import held_out_people
from ..sampling import Step, make_steps, sample
from ..sampling.windows import latent_frames_for, window_starts, windowed
from ..tinymodel.sampler import TinySampler, load_networks

LENGTH, STEPS, CORRELATION = 13, 50, 0.95
GROUP = 4  # frames that one latent frame stands for
Blend = Callable[[Callable, int, int], Callable]


def ideal_changes(total: int, length: int = LENGTH, blend: Blend = windowed, steps: int = STEPS) -> np.ndarray:
    """[total - 1]: the standard deviation of the change between latent frames over that of the process.

    The basis of all random numbers is sampled at once: a row for the picture, one for every latent frame's first
    noise, and one for every noise of a step.
    """
    basis = torch.eye(1 + total + steps * total, dtype=torch.float64)
    noises = basis[:, 1:].unflatten(1, (steps + 1, total))
    denoise = blend(_process(length, basis[:, 0]), total, length)
    latents = sample(denoise, noises[:, 0], make_steps(steps), "dpm", lambda index: noises[:, 1 + index])
    changes = latents.diff(dim=1).square().sum(0).sqrt()
    return (changes / math.sqrt(2 - 2 * CORRELATION)).numpy()


def _process(length: int, picture: Tensor) -> Callable[[Tensor, Step], Tensor]:
    """The exact prediction of a window that begins with `picture` [B]: a Gaussian of known mean and covariance."""
    place = torch.arange(length, dtype=torch.float64)
    mean = picture[:, None] * CORRELATION**place
    covariance = CORRELATION ** (place[:, None] - place).abs() - CORRELATION ** (place[:, None] + place)

    def denoise(x: Tensor, step: Step) -> Tensor:  # [B, length]
        if step.alpha == 0:
            return mean
        seen = step.alpha * covariance + (1 - step.alpha) * torch.eye(length, dtype=torch.float64)
        gain = math.sqrt(step.alpha) * torch.linalg.solve(seen, covariance)
        return mean + (x - math.sqrt(step.alpha) * mean) @ gain

    return denoise


def equal_weights(denoise: Callable, total: int, length: int) -> Callable:
    """Windows that count alike in all their frames, for comparison."""
    starts = window_starts(total, length)
    count = torch.zeros(total, dtype=torch.float64)
    for start in starts:
        count[start : start + length] += 1

    def denoise_all(x: Tensor, step: Step) -> Tensor:
        clean = torch.zeros_like(x)
        for start in starts:
            clean[:, start : start + length] += denoise(x[:, start : start + length], step)
        return clean / count

    return denoise_all


def edges_of(total: int, length: int) -> list[int]:
    """The changes (0 is the first) at which a window begins or ends."""
    starts = window_starts(total, length)
    return sorted({start - 1 for start in starts[1:]} | {start + length - 1 for start in starts[:-1]})


def compare_edges(changes: np.ndarray, edges: Sequence[int]) -> dict[str, float]:
    """Mean and largest change at the edges and elsewhere."""
    at = np.isin(np.arange(len(changes)), edges)
    named = {"edges": changes[at], "elsewhere": changes[~at]}
    return {
        f"{what} {name}": float(f(part))
        for name, part in named.items()
        for what, f in (("mean", np.mean), ("max", np.max))
    }


def ideal(frames: Sequence[int]) -> list[dict]:
    """A row for every length and way of blending."""
    ways = {"smooth": windowed, "equal weights": equal_weights}
    rows = []
    for count in frames:
        total = latent_frames_for(count, LENGTH)
        for name, blend in ways.items():
            figures = compare_edges(ideal_changes(total, blend=blend), edges_of(total, LENGTH))
            rows.append({"frames": count, "weights": name, **figures})
    return rows


def tiny(frames: Sequence[int], people: int, report: Callable[[str], None] = lambda text: None) -> list[dict]:
    """A row for videos of FantasyID-Tiny's own length, and one for every longer one."""
    networks, subjects, rows = load_networks(), held_out_people(people), []
    for count in (None, *frames):
        report(f"{count or 'own'} frames")
        sampler = TinySampler(networks, frames=count)
        parts = []
        for subject in subjects:  # one at a time, because long videos are large
            clip = sampler(subject.vertices, subject.references, subject.prompt, 0).astype(np.float32)
            changes = np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3))
            parts.append(compare_edges(changes, range(0, len(changes), GROUP)))
        figures = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
        rows.append({"frames": len(clip), **figures})
    return rows


def as_table(rows: Sequence[dict]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    for row in rows:
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.seams")
    parser.add_argument("--frames", type=int, nargs="+", default=[97, 145])
    parser.add_argument("--people", type=int, default=4, help="of FantasyID-Tiny's videos; 0 measures the ideal alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    try:
        report = {"ideal": ideal(arguments.frames)}
        if arguments.people:
            say = lambda text: print(text, file=sys.stderr)  # noqa: E731
            report["tiny"] = tiny(arguments.frames, arguments.people, say)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        print("\n\n".join(f"{name}\n\n{as_table(rows)}" for name, rows in report.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
