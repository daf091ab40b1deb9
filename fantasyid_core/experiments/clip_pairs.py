"""Clips in pairs: a person and a twin who differs in looks, in shape, or as a slider of the editor bends the head.

Twins in shape share their references, for whose shape it is the vertices tell; twins in looks have references of their
own in the same poses, for looks are the picture's to tell. Sliders bend the mesh as no drawn person is bent, so that
what the editor does to a face is learned too and not led back to the nearest drawn person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..people.clips import Clip, make_clip
from ..people.compiling import sources_digest
from ..people.looks import sample_looks_twin
from ..people.person import Draw, Person, sample_person, sample_twin, training_seeds
from ..shape.edit.controls import shape_controls
from ..training.batches import Batch
from ..training.clipcache import ClipCache, Progress
from ..training.latents import LatentRows
from .portrait_pairs import SIDE, as_rest, at_rest, truth_of
from .readout import REST, Looks

SLIDERS = (
    "face_width", "jaw_width", "jaw_sharpness", "chin_height", "chin_width", "forehead_height", "cheekbone_width",
    "eye_size", "eye_spacing", "nose_length", "nose_width", "mouth_width",
)  # fmt: skip
"""The twelve that are used most."""
LOOKS, SHAPE, SLIDER = range(3)
_SHARES = (0.45, 0.30, 0.25)
_SLIDER_RANGE = 0.4, 1.0  # how far a slider is moved, to either side
_FORMAT = "clip pairs 1"
_PROMPT_BYTES = 256


class Pair(NamedTuple):
    """Two people and how each head is bent, [V,3] in metres or not at all; kind: LOOKS, SHAPE or SLIDER."""

    kind: int
    people: tuple[Person, Person]
    bends: tuple[np.ndarray | None, np.ndarray | None]


def sample_pair(seed: int, number: int = 0) -> Pair:
    """The pair `number` of the person `seed`: the same on every machine."""
    person, draw = sample_person(seed), Draw(seed, "pair", number)
    kind = int(draw.weighted(list(enumerate(_SHARES))))
    if kind == LOOKS:
        return Pair(kind, (person, sample_looks_twin(person, number)[0]), (None, None))
    if kind == SHAPE:
        return Pair(kind, (person, sample_twin(person, number)), (None, None))
    name, value = draw.choice(SLIDERS), draw(*_SLIDER_RANGE) * (1 if draw.chance(0.5) else -1)
    bend = value * np.asarray(shape_controls(person.vertices())[name], np.float64)
    return Pair(kind, (person, person), (None, bend.astype(np.float32)))


class ClipPairs:
    """A source of clips (`training.batches.ClipSource`), two for every pair; row 2 i + 1 is the twin of row 2 i.

    Raises RuntimeError without numba, OSError when the folder cannot be written.
    """

    together = 2

    def __init__(self, pairs: int, folder: str | Path, frames: int = 9, references: int = 3, workers: int = 1):
        self._pairs, self._frames, self._references, self._workers = pairs, frames, references, workers
        content = f"{_FORMAT} {sources_digest()} {pairs} {frames} {references} {SLIDERS} {_SHARES}"
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
        self._cache = ClipCache(Path(folder) / f"pairs-{self.fingerprint}", pairs, chunk=128)
        self._latents: LatentRows | None = None

    def build(self, progress: Progress | None = None) -> None:
        """Draws what is missing."""
        self._cache.build(self._draw, progress)

    def use_latents(self, latents: LatentRows) -> None:
        self._latents = latents

    def __len__(self) -> int:
        return 2 * self._pairs

    def pictures(self, index: int) -> np.ndarray:
        return self._row("pictures", index)

    def vertices(self, indices: Sequence[int]) -> np.ndarray:
        return self._rows("vertices", indices)

    def batch(self, indices: Sequence[int], rng: np.random.Generator) -> Batch:
        """Twins that stand beside each other see references of one number."""
        views = {index // 2: int(rng.random() * self._references) for index in dict.fromkeys(indices)}
        references = [self._row("references", index)[views[index // 2]] for index in indices]
        return Batch(
            names=[f"pair {index // 2}" + " (twin)" * (index % 2) for index in indices],
            texts=[bytes(self._cache.row("prompts", index // 2)).rstrip(b"\0").decode() for index in indices],
            vertices=self.vertices(indices),
            references=np.stack(references),
            first=np.stack([self.pictures(index)[0] for index in indices]),
            pictures=self._rows("pictures", indices),
            latents=None if self._latents is None else self._latents.rows(indices),
        )

    def looks(self, names: Sequence[str]) -> Looks:
        """The truth of the clips of a batch, by their names."""
        indices = [2 * int(name.split()[1]) + name.endswith("(twin)") for name in names]
        take = lambda name: torch.from_numpy(self._rows(name, indices))  # noqa: E731
        layers = take("rest_layers")[:, :: SIDE // REST, :: SIDE // REST].long()
        return Looks(take("kinds").long(), take("numbers"), take("shown"), as_rest(take("rest")), layers)

    def numbers(self, count: int = 4000) -> torch.Tensor:
        """The numbers of the looks of the first people, [n,N]."""
        return torch.from_numpy(self._rows("numbers", range(0, min(2 * count, len(self)), 2)))

    def _row(self, name: str, index: int) -> np.ndarray:
        return self._cache.row(name, index // 2)[index % 2]

    def _rows(self, name: str, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._row(name, index) for index in indices])

    def _draw(self, part: range) -> dict[str, np.ndarray]:
        seeds = training_seeds(self._pairs)
        with ThreadPoolExecutor(self._workers) as pool:
            rows = list(pool.map(lambda index: _drawn(seeds[index], self._frames, self._references), part))
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _drawn(seed: int, frames: int, references: int) -> dict[str, np.ndarray]:
    pair = sample_pair(seed)
    clips = [
        make_clip(seed, 0, frames, SIDE, references, person, bend=bend)
        for person, bend in zip(pair.people, pair.bends, strict=True)
    ]
    if pair.kind != LOOKS:  # the first person's, whose shape they show
        clips[1] = clips[1]._replace(references=clips[0].references)
    resting = [at_rest(person, bend) for person, bend in zip(pair.people, pair.bends, strict=True)]
    both = lambda name: np.stack([getattr(clip, name) for clip in clips])  # noqa: E731
    return {
        **{name: both(name) for name in ("pictures", "references", "vertices")},
        "prompts": _as_bytes(clips[0]),
        "rest": np.stack([picture for picture, _ in resting]),
        "rest_layers": np.stack([layers for _, layers in resting]),
        "kind": np.array(pair.kind, np.uint8),
        **truth_of(pair.people),
    }


def _as_bytes(clip: Clip) -> np.ndarray:  # -> uint8 [256], padded with zeros
    text = clip.prompt.encode()
    if len(text) > _PROMPT_BYTES:
        raise ValueError(f"Expected prompts of at most {_PROMPT_BYTES} bytes, got {len(text)}: {clip.prompt}")
    return np.frombuffer(text.ljust(_PROMPT_BYTES, b"\0"), np.uint8)
