"""Clips of people with references and prompts, rendered in parallel: the data that FantasyID-Tiny learns from.

A clip depends on the seed of its person and its own number alone, not on the other clips that are rendered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .backdrop import sample_backdrop, sample_plain_backdrop
from .motion import Motion, sample_motion, sample_portrait
from .person import Draw, Person, sample_person
from .prompts import prompt_of
from .render import render_frames


class Clip(NamedTuple):
    pictures: np.ndarray  # [T,S,S,3] uint8
    references: np.ndarray  # [R,S,S,3] uint8: the same person, otherwise unlike the clip
    prompt: str
    vertices: np.ndarray  # [V,3] float32, metres: the neutral face
    shape: np.ndarray  # [K] float32
    frames: np.ndarray  # [T,15] float32, see `columns.FRAME`
    reference_frames: np.ndarray  # [R,15] float32
    background: str
    seed: int
    number: int


class Clips(NamedTuple):
    """Many clips, each array with one more dimension in front."""

    pictures: np.ndarray  # [N,T,S,S,3]
    references: np.ndarray  # [N,R,S,S,3]
    prompts: list[str]
    vertices: np.ndarray  # [N,V,3]
    shapes: np.ndarray  # [N,K]
    frames: np.ndarray  # [N,T,15]
    reference_frames: np.ndarray  # [N,R,15]
    backgrounds: list[str]
    seeds: np.ndarray  # [N]
    numbers: np.ndarray  # [N]


def make_clip(
    seed: int,
    number: int = 0,
    frames: int = 9,
    size: int = 64,
    references: int = 3,
    person: Person | None = None,
    motion: Motion | None = None,
    samples: int = 2,
    bend: np.ndarray | None = None,
) -> Clip:
    """The clip `number` of the person `seed`.

    person, motion: instead of the drawn ones (an edited face, another motion); all else stays as it is. bend: [V,3]
    metres, added to the head in the clip, not in the references.
    Raises ValueError for seeds, counts and sizes out of range.
    """
    if number < 0 or references < 0:
        raise ValueError(f"Expected a number and a count of references from 0 on, got {number} and {references}.")
    person = person or sample_person(seed)
    draw = Draw(seed, "clip", number)
    drawn, backdrop = sample_motion(draw), sample_plain_backdrop(draw)
    motion = motion or drawn
    rows = motion.frames(frames)
    pictures = render_frames(person, rows, backdrop, size, samples, bend)
    draws = [Draw(seed, "reference", number * 1000 + i) for i in range(references)]
    portraits = [_portrait(person, draw, size, samples) for draw in draws]
    return Clip(
        pictures,
        np.array([picture for picture, _ in portraits], np.uint8).reshape(-1, size, size, 3),
        prompt_of(motion, backdrop),
        person.vertices() if bend is None else (person.vertices() + bend).astype(np.float32),
        np.array(person.shape, np.float32),
        rows.astype(np.float32),
        np.array([row for _, row in portraits], np.float32).reshape(-1, rows.shape[1]),
        backdrop.colour,
        seed,
        number,
    )


def make_clips(
    seeds: Sequence[int],
    numbers: Sequence[int] | None = None,
    frames: int = 9,
    size: int = 64,
    references: int = 3,
    workers: int | None = None,
    people: Sequence[Person] | None = None,
) -> Clips:
    """Clips of these people, in this order; `numbers` one for each (without: all 0). workers: threads (all cores).

    people: instead of those of the seeds, as `make_clip`'s `person`.

    Raises ValueError as `make_clip` does, and for no seeds.
    """
    numbers = [0] * len(seeds) if numbers is None else list(numbers)
    if not len(seeds) or len(numbers) != len(seeds):
        raise ValueError(f"Expected seeds and as many numbers of clips, got {len(seeds)} and {len(numbers)}.")
    people = [None] * len(seeds) if people is None else people
    make = lambda seed, number, person: make_clip(int(seed), int(number), frames, size, references, person)  # noqa: E731
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        clips = list(pool.map(make, seeds, numbers, people))
    columns = list(zip(*clips, strict=True))
    return Clips(*(list(part) if isinstance(part[0], str) else np.stack(part) for part in columns))


def _portrait(person: Person, draw: Draw, size: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    row = sample_portrait(draw)
    return render_frames(person, row[None], sample_backdrop(draw), size, samples)[0], row
