"""Clips of the project's own people (`people`), rendered once into a cache folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .batches import Batch
from .clipcache import ClipCache, Progress
from .config import DataSettings, IdentitySettings
from .latents import LatentRows


class PeopleSource:
    """The first `clips` clips of the training people, or with held_out those of people that never train.

    Clip i shows person i % people; its references show the same person, otherwise unlike the clip. With `data.twins`
    every clip is followed by one that differs in a shape parameter of the person alone (`people.sample_twin`), whose
    references are the same. So the references tell the looks, and the vertices alone tell the shape. Raises
    RuntimeError without numba, OSError when the cache cannot be written.
    """

    def __init__(self, data: DataSettings, identity: IdentitySettings, held_out: bool = False):
        from ..people.compiling import sources_digest
        from ..people.person import held_out_seeds, training_seeds

        self._data, self._own_frame = data, identity.reference == "own frame"
        self._count = data.held_out if held_out else data.clips
        people = data.held_out if held_out else data.people
        self.together = 2 if data.twins and not held_out else 1
        seeds = held_out_seeds(people) if held_out else training_seeds(people)
        self._clips = [(seeds[i % people], i // people) for i in range(self._count // self.together)]
        sizes = (data.frames, data.size, data.references, people, "held out" if held_out else "training")
        sizes += ("twins",) * (self.together - 1)
        self.fingerprint = hashlib.sha256(f"{sources_digest()} {sizes}".encode()).hexdigest()[:16]
        self._cache = ClipCache(Path(data.cache) / f"heads-{self.fingerprint}", self._count)
        self._latents: LatentRows | None = None

    def build(self, progress: Progress | None = None) -> None:
        """Renders what the cache lacks, on all cores."""
        self._cache.build(self._render, progress)

    def use_latents(self, latents: LatentRows) -> None:
        """From now on batches have these latents instead of pictures."""
        self._latents = latents

    def __len__(self) -> int:
        return self._count

    def pictures(self, index: int) -> np.ndarray:
        return self._cache.row("pictures", index)

    def batch(self, indices: Sequence[int], rng: np.random.Generator) -> Batch:
        views = self._views(indices, rng)
        latents = None if self._latents is None else self._latents.rows(indices)
        return Batch(
            names=[self._name(i) for i in indices],
            texts=[bytes(self._cache.row("prompts", i)).rstrip(b"\0").decode() for i in indices],
            vertices=self.vertices(indices),
            references=np.stack([self._view(i, place) for i, place in zip(indices, views, strict=True)]),
            first=np.stack([self.pictures(i)[0] for i in indices]),
            pictures=self._cache.rows("pictures", indices) if latents is None else None,
            latents=latents,
        )

    def vertices(self, indices: Sequence[int]) -> np.ndarray:
        return self._cache.rows("vertices", indices)

    def _name(self, index: int) -> str:
        (seed, number), twin = self._clips[index // self.together], index % self.together
        return f"person {seed} clip {number}" + " (twin)" * twin

    def _views(self, indices: Sequence[int], rng: np.random.Generator) -> list[float]:
        """Positions in 0..1, one for each clip; clips that stand together share one."""
        places = rng.random(len(indices))
        own = {i // self.together: place for i, place in zip(indices, places, strict=True)}
        return [own[i // self.together] for i in indices]

    def _view(self, index: int, place: float) -> np.ndarray:
        """The view at `place` (0..1) of the views of a clip."""
        views = self._cache.row("pictures" if self._own_frame else "references", index)
        return views[int(place * len(views))]

    def _render(self, part: range) -> dict[str, np.ndarray]:
        from ..people.clips import make_clips
        from ..people.person import sample_person, sample_twin

        data = self._data
        rows = self._clips[part.start // self.together : -(-part.stop // self.together)]
        seeds, numbers = zip(*rows, strict=True)
        clips = make_clips(seeds, numbers, data.frames, data.size, data.references, data.workers)
        arrays = {
            "pictures": clips.pictures,
            "references": clips.references,
            "vertices": clips.vertices,
            "prompts": _as_bytes(clips.prompts),
        }
        if self.together == 1:
            return arrays
        people = [sample_twin(sample_person(seed), number) for seed, number in rows]
        twins = make_clips(seeds, numbers, data.frames, data.size, 0, data.workers, people)
        arrays = {name: array.repeat(2, axis=0) for name, array in arrays.items()}
        arrays["pictures"][1::2], arrays["vertices"][1::2] = twins.pictures, twins.vertices
        return arrays


_PROMPT_BYTES = 256


def _as_bytes(prompts: Sequence[str]) -> np.ndarray:  # -> uint8 [N,256], padded with zeros
    rows = np.zeros((len(prompts), _PROMPT_BYTES), np.uint8)
    for row, prompt in zip(rows, prompts, strict=True):
        text = prompt.encode()
        if len(text) > _PROMPT_BYTES:
            raise ValueError(f"Expected prompts of at most {_PROMPT_BYTES} bytes, got {len(text)}: {prompt}")
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return rows
