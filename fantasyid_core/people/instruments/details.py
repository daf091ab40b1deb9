"""Measures of what a viewer sees first: glasses, beards, sharpness, hair, and the effect of the editor's sliders.

All measures compare pictures with true renders; no network reads them. Glasses and beards are measured by the position
of the clip between the render without them and the render with them:

    share = <clip - without, with - without> / |with - without|^2

1 is right for people who wear them, and 0 for the others. A trace that all people have gives both groups the same
share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .. import columns as col
from ..appearance import Appearance
from ..render import render_frames, render_maps
from .comparing import correlation, psnr, softened
from .subjects import SIDE, BentRenderer, Sampler, SceneRequest, Subject, ask

SOFT = 1 / 32  # of the picture's side: how far pictures are softened to see how far their edges move
WORN = {"glasses": "square", "beard": "full"}
"""What those are given who wear none, to see how much of it a clip shows."""


def measure_details(sample: Sampler, people: Sequence[Subject], seed: int = 0) -> dict[str, float]:
    """glasses_on, glasses_off, beard_on, beard_off: shares as above. sharpness: variance of the Laplacian within the
    person, in the mean over people, as a share of the true renders'. hair_error: mean difference of sRGB where the true
    render shows hair. psnr: dB of all pixels against the true render."""
    requests = [SceneRequest(subject.vertices, subject.references, subject.prompt, seed) for subject in people]
    clips = ask(sample, requests)
    rows: dict[str, list[float]] = {}
    for clip, subject in zip(clips, people, strict=True):
        look, draw = subject.person.appearance, _drawn(subject, len(clip))
        true, layers = draw(look), _layers(subject, len(clip))
        for part, kind in WORN.items():
            worn = getattr(look, part) != "none"
            with_it = true if worn else draw(replace(look, **{part: kind}))
            without = draw(replace(look, **{part: "none"}))
            rows.setdefault(f"{part}_{'on' if worn else 'off'}", []).append(share_of(clip, without, with_it))
        covered, hair = layers != col.L_BACKGROUND, layers == col.L_HAIR
        for name, frames in (("sharpness", clip), ("true_sharpness", true)):
            rows.setdefault(name, []).append(sharpness(frames, covered))
        if hair.any():
            rows.setdefault("hair_error", []).append(float(np.abs(clip[hair] / 255.0 - true[hair] / 255.0).mean()))
        rows.setdefault("psnr", []).append(psnr(clip, true))
    found = {name: float(np.nanmean(values)) for name, values in rows.items()}
    found["sharpness"] /= found.pop("true_sharpness")
    return found


class SliderEffect(NamedTuple):
    """What a slider does to videos, as a share of what it does to the true renders; slopes are medians over people.

    slope: of softened pictures, so that it tells how far edges move, and not how sharp they are. sharp_slope: of the
    pictures as they are, which falls with their sharpness, also where a video moves as it should.
    correlation: how straight the softened pictures follow the slider, within a person.
    """

    slope: float
    sharp_slope: float
    correlation: float


def measure_sliders(
    sample: Sampler,
    people: Sequence[Subject],
    sliders: Sequence[str],
    edit: Callable[[np.ndarray, dict[str, float]], np.ndarray],
    values: Sequence[float] = (-1.0, 0.0, 1.0),
    seed: int = 0,
) -> dict[str, SliderEffect]:
    """The effect of every slider: how far the video moves along the way that the true render of the bent head goes.

    edit(vertices, {slider: value}) -> vertices, metres. The middle value has to be 0.
    """
    found = {}
    for name in sliders:
        requests = [
            SceneRequest(edit(each.vertices, {name: value}), each.references, each.plain_prompt, seed)
            for each in people
            for value in values
        ]
        clips = ask(sample, requests)
        renders = ask(BentRenderer(people, clips.shape[1]), requests)
        in_rows = lambda found: found.reshape(len(people), len(values), *found.shape[1:]).astype(np.float64)  # noqa: E731
        soft, sharp = [], []
        for own, true in zip(in_rows(clips), in_rows(renders), strict=True):
            if np.array_equal(true[0], true[-1]):
                continue
            sharp.append(_places(own, true))
            soft.append(_places(softened(own, SOFT), softened(true, SOFT)))
        centred = ([each - each.mean() for each in column] for column in zip(*soft, strict=True))
        found[name] = SliderEffect(_slope(soft), _slope(sharp), correlation(*map(np.stack, centred)))
    return found


def _places(own: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where clips [N,T,H,W,3] and true renders lie on the way from the first true render to the last, [N] each."""
    along = true[-1] - true[0]
    size = float((along**2).sum())
    return tuple(np.array([float((frames * along).sum()) for frames in each]) / size for each in (own, true))


def _slope(places: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(np.median([(own[-1] - own[0]) / (true[-1] - true[0]) for own, true in places]))


def share_of(clip: np.ndarray, without: np.ndarray, with_it: np.ndarray) -> float:
    """How far the clip lies on the way from one render to the other; NaN where both are equal."""
    way = with_it.astype(np.float64) - without
    size = float((way**2).sum())
    return float(((clip.astype(np.float64) - without) * way).sum() / size) if size else math.nan


def sharpness(frames: np.ndarray, where: np.ndarray) -> float:  # uint8 [T,H,W,3], bool [T,H,W]
    """Variance of the Laplacian of the brightness, of pixels that lie inside with their four neighbours."""
    grey = frames.astype(np.float64).mean(axis=3)
    shifts = [(1, 1), (-1, 1), (1, 2), (-1, 2)]
    bent = sum(np.roll(grey, *shift) for shift in shifts) - 4 * grey
    inside = where & np.logical_and.reduce([np.roll(where, *shift) for shift in shifts])
    inside[:, [0, -1]] = inside[:, :, [0, -1]] = False
    return float(bent[inside].var()) if inside.any() else math.nan


def _drawn(subject: Subject, frames: int) -> Callable[[Appearance], np.ndarray]:
    rows = subject.motion.frames(frames)
    return lambda look: render_frames(replace(subject.person, appearance=look), rows, subject.backdrop, SIDE)


def _layers(subject: Subject, frames: int) -> np.ndarray:  # uint8 [T,64,64]
    return render_maps(subject.person, subject.motion.frames(frames), SIDE).layers
