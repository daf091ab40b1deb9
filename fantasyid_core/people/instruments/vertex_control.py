"""Measures whether the vertices, and only they, steer the face: sliders against measures in the frames.

One parameter of every person takes all `values`, and everything else stays as it is; the frames look at the camera. The
noise is the same for all values of one person. Correlations are within persons (`comparing.WithinPerson`), because over
different people the other parameters would limit them even on true renders. Slopes are compared with those of the true
renders, which show what the probe can read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..headshape import SHAPE_NAMES
from .comparing import WithinPerson, within_person
from .probe import Probe, index_of, load_probe, read
from .silhouette import MEASURED, outline, shows
from .subjects import Sampler, SceneRequest, Subject, ask

COARSE = ("face_width", "jaw_width", "jaw_sharpness", "chin_length", "forehead_height")
FINE = ("nose_length", "eye_spacing", "brow_height", "mouth_width")
VALUES = (-0.8, -0.4, 0.0, 0.4, 0.8)
SEEDS = (0, 1, 2)
Progress = Callable[[int, int], None]


def measure_control(
    sample: Sampler,
    people: Sequence[Subject],
    parameters: Sequence[str] = COARSE + FINE,
    values: Sequence[float] = VALUES,
    seeds: Sequence[int] = SEEDS,
    probe: Probe | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, list[float]]]:
    """For every parameter, one number per seed: `correlation`, `pooled` and `slope` of reading on slider; `skin_shift`,
    how far the sRGB of the skin moves from the middle value's, as a mean over people, values and channels.

    Where the outline tells a parameter without the probe (`silhouette`), of the people who show it, there is
    "face_width outline" etc. too: pixels for +1. Raises ValueError for unknown parameters and values outside -1..1.
    """
    probe = probe or load_probe()
    _check(parameters, values, seeds)
    found = {}
    for name in parameters:
        rows = {key: [] for key in (*WithinPerson._fields, "skin_shift")}
        beside = {key: [] for key in WithinPerson._fields}
        for seed in seeds:
            requests = [
                SceneRequest(_moved(subject, name, value), subject.references, subject.plain_prompt, seed)
                for subject in people
                for value in values
            ]
            frames = ask(sample, requests, progress)
            frames = frames.reshape(len(people), len(values), *frames.shape[1:])
            readings = read(probe, frames)
            for key, value in zip(rows, _answers(readings, name, values), strict=True):
                rows[key].append(value)
            if name in MEASURED:
                for key, value in zip(beside, _outline(frames, people, name, values), strict=True):
                    beside[key].append(value)
        found[name] = rows
        if name in MEASURED:
            found[f"{name} outline"] = beside
    return found


def measure_leak(
    sample: Sampler,
    people: Sequence[Subject],
    parameters: Sequence[str] = ("face_width", "jaw_width", "chin_length"),
    values: Sequence[float] = VALUES,
    seeds: Sequence[int] = SEEDS,
    probe: Probe | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, list[float]]]:
    """The slope of reading on slider when only the reference picture follows the slider and the vertices stay.

    To be compared with the slope of `measure_control`. Errors as there.
    """
    probe = probe or load_probe()
    _check(parameters, values, seeds)
    found = {}
    for name in parameters:
        pictures = [
            [subject.references_of(subject.person.edited(**{name: value})) for value in values] for subject in people
        ]
        slopes = []
        for seed in seeds:
            requests = [
                SceneRequest(subject.vertices, references, subject.plain_prompt, seed)
                for subject, row in zip(people, pictures, strict=True)
                for references in row
            ]
            frames = ask(sample, requests, progress)
            measured = read(probe, frames).of(name).mean(axis=1).reshape(len(people), len(values))
            slopes.append(within_person(values, measured).slope)
        found[name] = {"slope": slopes}
    return found


def _answers(readings, name: str, values: Sequence[float]) -> tuple[float, ...]:
    measured = readings.of(name).mean(axis=-1)  # [N,K], over the frames
    skin = readings.colour("skin").mean(axis=-2)  # [N,K,3]
    middle = int(np.argmin(np.abs(values)))
    others = [place for place in range(len(values)) if place != middle]
    return *within_person(values, measured), float(np.abs(skin[:, others] - skin[:, [middle]]).mean())


def _outline(frames: np.ndarray, people: Sequence[Subject], name: str, values) -> WithinPerson:
    shown = [place for place, subject in enumerate(people) if shows(subject.person, name)]
    if not shown:
        return WithinPerson(math.nan, math.nan, math.nan)
    return within_person(values, np.array([[outline(clip)[name].mean() for clip in frames[place]] for place in shown]))


def _moved(subject: Subject, name: str, value: float) -> np.ndarray:
    return subject.person.edited(**{name: value}).vertices()


def _check(parameters, values, seeds) -> None:
    unknown = [name for name in parameters if name not in SHAPE_NAMES]
    if unknown:
        raise ValueError(f"Unknown shape parameters: {', '.join(unknown)}. There are: {', '.join(SHAPE_NAMES)}.")
    for name in parameters:
        index_of(name)
    if len(values) < 2 or not len(seeds) or not all(-1 <= value <= 1 for value in values):
        raise ValueError(f"Expected at least 2 values in -1..1 and a seed, got {list(values)} and {list(seeds)}.")
