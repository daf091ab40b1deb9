"""Measures what the probe can read from true renders of held-out people; its other readings prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .comparing import correlation, nearest
from .probe import MOVING_NAMES, NAMES, READABLE, Probe, index_of, read, truth
from .subjects import FRAMES, SIDE, held_out_people


class Readability(NamedTuple):
    """Correlations with the truth by name: of the mean over a clip (pose and mouth: of every frame), and of single
    portraits. retrieval: share of portraits nearest to other portraits of the same one of `people` people."""

    clips: dict[str, float]
    portraits: dict[str, float]
    retrieval: float
    people: int

    @property
    def good(self) -> tuple[str, ...]:
        """The names of the readings that are reliable enough to support a claim."""
        return tuple(name for name in NAMES if self.clips[name] >= READABLE)

    def describe(self) -> str:
        lines = [f"{self.people} held-out people, true renders: correlation of reading and truth", ""]
        lines += ["| reading | mean of a clip | one portrait | |", "| --- | ---: | ---: | --- |"]
        for name in NAMES:
            mark = "" if name in self.good else "not used for claims"
            lines.append(f"| {name} | {self.clips[name]:.3f} | {self.portraits[name]:.3f} | {mark} |")
        return "\n".join([*lines, "", f"retrieval of a portrait among {self.people} people: {self.retrieval:.2f}"])


def readable(probe: Probe, people: int = 200, make: Callable = held_out_people, start: int = 10_000) -> Readability:
    """`people` from number `start` on: not those of the other measures."""
    from ..render import render_frames

    subjects = make(people, start)
    hair = np.array([subject.person.appearance.hair_style != "bald" for subject in subjects])
    values, facts, shown, seen, vectors = [], [], [], [], []
    for subject in subjects:
        rows = subject.motion.frames(FRAMES)
        values.append(read(probe, render_frames(subject.person, rows, subject.backdrop, SIDE)).values)
        facts.append(truth(subject.person, rows))
        pictures, rows = subject.portraits(5)
        found = read(probe, pictures)
        shown.append(found.values[0])
        seen.append(truth(subject.person, rows[:1])[0])
        vectors.append(found.vectors)
    values, facts, shown, seen, vectors = map(np.stack, (values, facts, shown, seen, vectors))
    clips, portraits = {}, {}
    for name in NAMES:
        place, counts = index_of(name), hair if name.startswith("hair") else np.ones(people, bool)
        ours, true = values[counts, :, place], facts[counts, :, place]
        if name not in MOVING_NAMES:
            ours, true = ours.mean(axis=1), true.mean(axis=1)
        clips[name] = correlation(ours, true)
        portraits[name] = correlation(shown[counts, place], seen[counts, place])
    right = nearest(vectors[:, 0], vectors[:, 1:].mean(axis=1)) == np.arange(people)
    return Readability(clips, portraits, float(right.mean()), people)
