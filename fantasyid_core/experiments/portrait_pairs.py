"""Portraits of people and of their twins in looks, with the true looks for a readout, drawn once into a folder.

There are two portraits of every person, and one of the twin in the pose and in front of the background of the first.
Both people also have a portrait at rest, from the front and in front of grey.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..people.backdrop import Backdrop, sample_backdrop
from ..people.compiling import sources_digest
from ..people.headshape import shape_vertices
from ..people.looks import look_kinds, look_numbers, sample_looks_twin, shown_numbers
from ..people.motion import Motion, sample_portrait
from ..people.person import Draw, Person, held_out_seeds, sample_person, training_seeds
from ..people.render import render_frames, render_maps
from ..training.clipcache import ClipCache, Progress
from .readout import REST, Looks

SIDE = 64
_AT_REST = Motion(zoom=1.01)
_FORMAT = "portrait pairs 1"


class PortraitPairs:
    """`people` people of training, or held-out ones from number 5000 on: what is scored in the end stays unseen.

    Raises RuntimeError without numba, OSError when the folder cannot be written.
    """

    def __init__(self, people: int, folder: str | Path, held_out: bool = False, workers: int = 1):
        self._seeds = held_out_seeds(people, 5000) if held_out else training_seeds(people)
        self._workers = workers
        name = f"{_FORMAT} {sources_digest()} {'held out' if held_out else 'training'} {people}"
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        self._cache = ClipCache(Path(folder) / f"portraits-{digest}", people)

    def build(self, progress: Progress | None = None) -> None:
        """Draws what is missing."""
        self._cache.build(self._draw, progress)

    def __len__(self) -> int:
        return len(self._seeds)

    def pairs(self, people: Sequence[int], rng: np.random.Generator) -> tuple[Looks, Tensor]:
        """Of each person one of both portraits, then the twin's; and the vertices [2B,V,3] of all."""
        rows = [(index, place, who) for index in people for place, who in ((int(rng.integers(2)), 0), (2, 1))]
        return self._looks(rows)

    def firsts(self, people: Sequence[int]) -> tuple[Looks, Tensor]:
        """The first portrait of each."""
        return self._looks([(index, 0, 0) for index in people])

    def numbers(self, count: int = 4000) -> Tensor:
        """The numbers of the first people, [n,N]."""
        rows = range(min(count, len(self)))
        return torch.from_numpy(np.stack([self._cache.row("numbers", row)[0] for row in rows]))

    def _looks(self, rows: Sequence[tuple[int, int, int]]) -> tuple[Looks, Tensor]:
        take = lambda name, at: torch.from_numpy(  # noqa: E731
            np.stack([self._cache.row(name, row[0])[row[at]] for row in rows])
        )
        vertices = np.stack([shape_vertices(self._cache.row("shape", row[0])) for row in rows])
        looks = Looks(
            kinds=take("kinds", 2).long(),
            numbers=take("numbers", 2),
            shown=take("shown", 2),
            rest=as_rest(take("rest", 2)),
            rest_layers=take("rest_layers", 2)[:, :: SIDE // REST, :: SIDE // REST].long(),
            pixels=as_pixels(take("pictures", 1)),
            layers=take("layers", 1).long(),
        )
        return looks, torch.from_numpy(vertices).float()

    def _draw(self, part: range) -> dict[str, np.ndarray]:
        with ThreadPoolExecutor(self._workers) as pool:
            rows = list(pool.map(_drawn, [self._seeds[index] for index in part]))
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def as_pixels(pictures: Tensor) -> Tensor:  # uint8 [B,S,S,3] -> [B,3,S,S] in 0..1
    return pictures.permute(0, 3, 1, 2).float() / 255


def as_rest(pictures: Tensor) -> Tensor:  # uint8 [B,S,S,3] -> [B,3,REST,REST] in 0..1
    return F.avg_pool2d(as_pixels(pictures), SIDE // REST)


def at_rest(person: Person, bend: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The portrait at rest uint8 [S,S,3] and what is seen in every pixel, uint8 [S,S]."""
    row = _AT_REST.frames(1)
    picture = render_frames(person, row, Backdrop("grey"), SIDE, bend=bend)[0]
    return picture, render_maps(person, row, SIDE, bend).layers[0]


def truth_of(people: Sequence[Person]) -> dict[str, np.ndarray]:
    """Kinds, numbers and which of them are shown: a row each."""
    looks = [person.appearance for person in people]
    return {
        "kinds": np.stack([look_kinds(look) for look in looks]).astype(np.uint8),
        "numbers": np.stack([look_numbers(look) for look in looks]),
        "shown": np.stack([shown_numbers(look) for look in looks]),
    }


def _drawn(seed: int) -> dict[str, np.ndarray]:
    person = sample_person(seed)
    twin, _ = sample_looks_twin(person)
    shots = [_portrait(each, Draw(seed, "reference", number)) for each, number in ((person, 0), (person, 1), (twin, 0))]
    resting = [at_rest(each) for each in (person, twin)]
    names = (("pictures", "layers"), shots), (("rest", "rest_layers"), resting)
    arrays = {
        name: np.stack(column)
        for pair, rows in names
        for name, column in zip(pair, zip(*rows, strict=True), strict=True)
    }
    return {**arrays, **truth_of((person, twin)), "shape": np.array(person.shape, np.float32)}


def _portrait(person: Person, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    row = sample_portrait(draw)[None]
    return render_frames(person, row, sample_backdrop(draw), SIDE)[0], render_maps(person, row, SIDE).layers[0]
