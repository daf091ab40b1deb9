"""Measures whether clips of held-out people show the right person and the motion of the prompt.

The reference shows the person in another pose, expression, light and place than the clip. Frame difference is not
among the measures of motion: it looks right while the motion is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import columns as col
from ..headshape import SHAPE_NAMES
from ..render import render_maps
from .comparing import correlation, nearest, psnr, signed_change
from .paper_measures import paper_measures
from .probe import COLOUR_PARTS, POSE_NAMES, Probe, Readings, load_probe, read, truth
from .subjects import Sampler, SceneRequest, Subject, TrueRenderer, ask
from .vertex_control import SEEDS, Progress

GALLERY = 4  # true pictures of every person among whom a clip is looked for
TURNING = 5.0  # degrees of true yaw between first and last frame from which on a clip has a direction


def measure_clips(
    sample: Sampler,
    people: Sequence[Subject],
    seeds: Sequence[int] = SEEDS,
    probe: Probe | None = None,
    progress: Progress | None = None,
) -> dict[str, list[float]]:
    """One number per seed of each of

    retrieval: share of clips whose nearest of all people, by the probe's vectors of true pictures, is the right one;
    shape_retrieval: by the cosine of the shape parameters read and true, whatever the looks.
    skin_error ...: mean |sRGB read - true|; hair_correlation ...: over people, mean of the channels (the bald's hair
    does not count). psnr: dB against the true clip; psnr_head: of the pixels that the person covers in it.
    yaw_direction: share of turning clips that turn to the right side. last_minus_first, temporal_difference:
    correlation of the changes with the true ones, all clips together; ..._clip: within every clip, averaged.
    yaw: correlation of yaw read and true, all frames. copied_pose: correlation of the reference's pose with what the
    first frame's departs from the true one's, the three angles standardised; copied_share: its slope (1: a copy).
    RS, IFS, FM, FID: `paper_measures`.
    """
    probe = probe or load_probe()
    if len(people) < 2 or not len(seeds):
        raise ValueError(f"Expected at least 2 people and a seed, got {len(people)} and {len(seeds)}.")
    gallery = np.stack([read(probe, subject.portraits(GALLERY)[0]).vectors.mean(axis=0) for subject in people])
    shown = np.stack([read(probe, subject.references[0]).vectors for subject in people])
    rows: list[dict[str, float]] = []
    true, true_vectors, heads, facts = None, None, None, None
    for seed in seeds:
        requests = [SceneRequest(subject.vertices, subject.references, subject.prompt, seed) for subject in people]
        clips = ask(sample, requests, progress)
        if true is None:
            true = ask(TrueRenderer(people, clips.shape[1]), requests)
            true_vectors = read(probe, true).vectors
            heads = np.stack([_covered(subject, clips.shape[1]) for subject in people])
            facts = np.stack([truth(subject.person, subject.motion.frames(clips.shape[1])) for subject in people])
        readings, wanted = read(probe, clips), Readings(facts, np.zeros(0))
        rows.append(
            _likeness(readings, wanted, gallery, people)
            | _pixels(clips, true, heads)
            | _motion(readings, wanted, people)
            | paper_measures(clips, readings.vectors, shown, true_vectors, heads)
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def _likeness(readings: Readings, wanted: Readings, gallery: np.ndarray, people: Sequence[Subject]) -> dict[str, float]:
    found = nearest(readings.vectors.mean(axis=1), gallery)
    values = {"retrieval": float((found == np.arange(len(people))).mean())}
    shape = slice(0, len(SHAPE_NAMES))
    ours, true = (each.values[..., shape].mean(axis=1) for each in (readings, wanted))
    values["shape_retrieval"] = float((nearest(ours, true) == np.arange(len(people))).mean())
    for part in COLOUR_PARTS:
        bald = [subject.person.appearance.hair_style == "bald" for subject in people]
        counts = ~np.array(bald) if part == "hair" else np.ones(len(people), bool)
        ours, true = (each.colour(part).mean(axis=1)[counts] for each in (readings, wanted))
        values[f"{part}_error"] = float(np.abs(ours - true).mean())
        values[f"{part}_correlation"] = float(np.mean([correlation(ours[:, c], true[:, c]) for c in range(3)]))
    return values


def _pixels(clips: np.ndarray, true: np.ndarray, heads: np.ndarray) -> dict[str, float]:  # [N,T,H,W,3], [N,T,H,W]
    values = {
        "psnr": float(np.mean([psnr(*pair) for pair in zip(clips, true, strict=True)])),
        "psnr_head": float(np.mean([psnr(*each) for each in zip(clips, true, heads, strict=True)])),
    }
    for name, last in (("last_minus_first", True), ("temporal_difference", False)):
        pairs = zip(clips, true, strict=True)
        changes = [tuple(signed_change(frames, last) for frames in pair) for pair in pairs]
        values[name] = correlation(*(np.stack(each) for each in zip(*changes, strict=True)))
        within = [each for pair in changes if not math.isnan(each := correlation(*pair))]  # a clip may stand still
        values[f"{name}_clip"] = float(np.mean(within)) if within else math.nan
    return values


def _motion(readings: Readings, wanted: Readings, people: Sequence[Subject]) -> dict[str, float]:
    yaw, true = readings.of("yaw"), wanted.of("yaw")
    turned = true[:, -1] - true[:, 0]
    turns = np.abs(turned) > TURNING
    right = np.sign((yaw[:, -1] - yaw[:, 0])[turns]) == np.sign(turned[turns])
    copied, shares = _copied_pose(readings, wanted, people)
    return {
        "yaw_direction": float(right.mean()) if turns.any() else math.nan,
        "yaw": correlation(yaw, true),
        "copied_pose": copied,
        "copied_share": shares,
    }


def _copied_pose(readings: Readings, wanted: Readings, people: Sequence[Subject]) -> tuple[float, float]:
    columns = [col.FRAME.index(name) for name in POSE_NAMES]
    shown = np.stack([subject.reference_frames[0][columns] for subject in people])  # [N,3]
    departs = np.stack([(readings.of(name) - wanted.of(name))[:, 0] for name in POSE_NAMES], axis=1)
    shown, departs = (each - each.mean(axis=0) for each in (shown, departs))
    scale = shown.std(axis=0)
    shown, departs = shown / scale, departs / scale
    return correlation(shown, departs), float((shown * departs).sum() / (shown**2).sum())


def _covered(subject: Subject, frames: int) -> np.ndarray:  # -> bool [T,64,64]
    return render_maps(subject.person, subject.motion.frames(frames), 64).layers != col.L_BACKGROUND
