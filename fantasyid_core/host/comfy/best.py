"""The best of several seeds: each is sampled for a part of the steps and scored; only the best are finished."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from ...evaluation.score import VideoScore, best_of, combined_score
from .corrections import native_sizes
from .vae import check_vae, decode_video
from .video import sample_latent

Score = Callable[[Tensor], VideoScore]
"""Frames float [T,H,W,3] in 0..1 -> their scores."""


SEEDS = 2**64
"""How many seeds there are; after the last one comes 0."""


class Candidate(NamedTuple):
    """One seed: the score of its preview, and of its video if it was finished."""

    seed: int
    preview: VideoScore | None
    final: VideoScore | None

    def describe(self) -> str:
        """The seed's numbers on one line."""
        score, what = (self.final, "video") if self.final else (self.preview, "preview")
        numbers = score.reference_similarity, score.face_motion
        if math.isnan(numbers[0]):
            return f"seed {self.seed}: no face in the {what}"
        together = combined_score(*numbers)
        return f"seed {self.seed}: likeness {numbers[0]:.2f}, motion {numbers[1]:.2f}, together {together:.2f} ({what})"


class BestVideo(NamedTuple):
    """latent: the best video as the host's LATENT. candidates: every seed, the best first."""

    latent: dict
    candidates: list[Candidate]


class _Enough(Exception):
    def __init__(self, clean: Tensor):
        self.clean = clean


def best_video(
    model,
    positive,
    negative,
    latent: dict,
    vae,
    score: Score,
    seeds: Sequence[int],
    keep: int = 1,
    preview: float = 0.4,
    weights: tuple[float, float] = (1.0, 0.25),
    **settings,
) -> BestVideo:
    """The video of several seeds with the best score of likeness and motion.

    preview: part of the steps, 0..1, after which a seed is scored by the model's prediction of the clean video. The
    `keep` best are then sampled from their beginning to the end. So n seeds cost n * preview + keep sampling runs and n
    + keep decodes. With 0, or with no more seeds than are kept, all are finished. weights: of likeness and motion, see
    `combined_score`. settings: steps, cfg, solver of `sample_latent`.

    The same seed gives the same video as `sample_latent` alone. Raises ValueError for no seeds, equal ones, other
    numbers, and when no video shows a face.
    """
    seeds = _checked(seeds, keep, preview)
    check_vae(vae, native_sizes(model))
    steps = min(settings["steps"], math.ceil(settings["steps"] * preview))
    previews = {}
    if steps and keep < len(seeds):
        inputs = model, positive, negative, latent
        for seed in seeds:
            clean = _clean_after(steps, *inputs, seed=seed, **settings)
            previews[seed] = score(decode_video(vae, model.model.process_latent_out(clean)))
        ranking = best_of(list(previews.values()), *weights)
        finished = [seeds[index] for index in ranking[:keep]]
    else:
        finished = list(seeds)
    videos = {seed: sample_latent(model, positive, negative, latent, seed=seed, **settings) for seed in finished}
    finals = {seed: score(decode_video(vae, video["samples"])) for seed, video in videos.items()}
    order = [finished[index] for index in best_of(list(finals.values()), *weights)]
    if previews:
        order += [seeds[index] for index in ranking[keep:]]
    candidates = [Candidate(seed, previews.get(seed), finals.get(seed)) for seed in order]
    return BestVideo(videos[order[0]], candidates)


def consecutive_seeds(first: int, count: int) -> list[int]:
    """`count` seeds from `first` on; after 2^64 - 1, the last one that a generator takes, comes 0."""
    return [(first + number) % SEEDS for number in range(count)]


def _clean_after(count: int, *inputs, **settings) -> Tensor:
    def stop(step: int, clean: Tensor) -> None:
        if step + 1 == count:
            raise _Enough(clean)

    try:
        sample_latent(*inputs, watch=stop, **settings)
    except _Enough as enough:
        return enough.clean
    raise RuntimeError(f"Expected at least {count} sampling steps, got fewer.")


def _checked(seeds: Sequence[int], keep: int, preview: float) -> list[int]:
    seeds = list(seeds)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"Expected different seeds, at least one, got {seeds}.")
    if not 1 <= keep <= len(seeds):
        raise ValueError(f"Expected to keep 1 to {len(seeds)} of {len(seeds)} seeds, got {keep}.")
    if not 0 <= preview <= 1:
        raise ValueError(f"Expected a preview after 0 to 1 of the steps, got {preview:g}. 0.4 is usual.")
    return seeds
