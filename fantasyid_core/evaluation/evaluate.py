"""Measures many videos: each process measures some of them, and the first one collects the results."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .frechet import fid
from .measure import Instruments, Measured, Meter, load_instruments
from .pairing import Pairs, find_pairs

PAPER = ("RS", "IFS", "FM")
MEANS = {
    "RS": "likeness to the reference: mean ArcFace cosine of frames and reference",
    "IFS": "likeness of consecutive frames: mean ArcFace cosine",
    "FM": "mean optical flow (Farneback) in the face, pixels per frame",
    "FID": "Frechet distance of Inception features of face crops, videos against references",
    "frame_difference": "mean change from frame to frame, of 1",
    "last_minus_first": "mean change from the first to the last frame, of 1",
    "flow": "mean optical flow of all pixels, pixels per frame",
    "flow_95": "95th percentile of it",
    "moving": "share of pixels that move by half a pixel or more per frame",
    "colour_drift": "largest distance of a frame's mean colour from the first frame's, of 1",
    "sharpness": "variance of the Laplacian of the grey",
    "flicker": "mean second difference of the brightness over time, halved, of 1",
}
"""What each measured name means, in the order of the report."""


def evaluate(
    videos: Sequence[str | os.PathLike],
    references: str | os.PathLike,
    detector: str = "auto",
    arcface: str | os.PathLike | None = None,
    inception: str | os.PathLike | None = None,
    folders: Iterable[str | os.PathLike] = (),
    crops: int = 8,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[dict, list[Measured]] | None:
    """The report and the measures of every video; None in all but the first process of an `accelerate launch`.

    videos, references: as `find_pairs`; arcface, inception: model files, else found as `load_likeness` and
    `load_inception` do. Metrics that cannot be computed are None in the report, with the reason. Raises
    FileNotFoundError and ValueError as `find_pairs` does.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import gather_object, parse_flag_from_env

    pairs = find_pairs(videos, references)
    # Without `cpu`, processes on a machine without a GPU would not find each other.
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available())
    instruments = load_instruments(detector, arcface, inception, folders, state.device, crops)
    meter, measured = Meter(instruments), []
    for place in range(state.process_index, len(pairs.videos), state.num_processes):
        measured.append((place, meter.measure(pairs.videos[place])))
        progress(f"{pairs.videos[place].name} ({place + 1} of {len(pairs.videos)})")
    if state.num_processes > 1:
        measured = gather_object(measured)
    if not state.is_main_process:
        return None
    measured = [each for _, each in sorted(measured, key=lambda pair: pair[0])]
    return make_report(pairs, measured, instruments), measured


def make_report(pairs: Pairs, measured: list[Measured], instruments: Instruments) -> dict:
    """The content of report.json; it does not depend on the number of processes."""
    kept = [each for each in measured if each.skipped is None]
    skipped = [each._asdict() for each in pairs.skipped]
    skipped += [{"name": each.name, "reason": each.skipped} for each in measured if each.skipped is not None]
    bad = {name: reason for each in measured for name, reason in each.bad_references.items()}
    distance = _distance(kept, instruments)
    unavailable = dict(instruments.unavailable)
    if distance["value"] is None:
        unavailable["FID"] = distance.pop("reason")
    return {
        "videos": [
            {"video": each.name, "references": list(each.references), **each.values, "why_null": each.reasons}
            for each in kept
        ],
        "mean": {name: _summary([each.values[name] for each in kept]) for name in MEANS if name != "FID"},
        "FID": distance,
        "unavailable": unavailable,
        "skipped": skipped + [{"name": name, "reason": reason} for name, reason in sorted(bad.items())],
        "videos_without_reference": pairs.without_reference,
        "references_without_video": pairs.without_video,
        "meaning": MEANS,
    }


def _distance(kept: list[Measured], instruments: Instruments) -> dict:
    ours = [each.features for each in kept if each.features is not None]
    theirs = {name: row for each in kept for name, row in each.reference_features.items()}
    counts = {"crops": sum(map(len, ours)), "reference_crops": len(theirs)}
    if instruments.inception is None or instruments.detect is None:
        return {"value": None, **counts, "reason": instruments.unavailable["FID"]}
    if min(counts.values()) < 2:
        told = f"it needs at least 2 face crops of videos and of references, got {counts['crops']} and {len(theirs)}"
        return {"value": None, **counts, "reason": told}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = fid(np.concatenate(ours), np.concatenate([theirs[name] for name in sorted(theirs)]))
    notes = [str(each.message) for each in said]
    return {"value": value, **counts, "network": instruments.inception.name, "note": " ".join(notes) or None}


def _summary(values: list[float | None]) -> dict:
    """Mean, standard deviation from video to video, and how many videos have a value."""
    known = np.array([value for value in values if value is not None], np.float64)
    if not len(known):
        return {"mean": None, "spread": None, "count": 0}
    return {"mean": float(known.mean()), "spread": float(known.std()), "count": len(known)}
