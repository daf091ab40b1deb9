"""Calibrates where a face lies beneath its points.

    python -m fantasyid_core.experiments.calibrate_places --skins PHOTO

The network of the points draws them towards faces that it knows: each lies up to some millimetres beside its place, on
every head otherwise. All points together tell a part of this. A ridge regression learns it from heads whose truth is
known: drawn people, and heads of other shapes with the skins of photos. A third of its answer is used (`SHARE`): it
brings most of the gain, and a head stays within 2.5 % of the eyes' distance from the points of its photo.

What is printed are root mean squares, in millimetres, over the faces of heads that take no part, with the skins of
other photos: how far they lie from the truth by their points, and by the corrected ones. The calibration that comes
along was made with the photo of Grace Hopper that matplotlib has (public domain). The command takes about five minutes
on one core and needs numba.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..face.align import FaceCrop
from ..face.landmarks.faces import landmarked_faces
from ..options import NEUTRAL
from ..shape.reconstruct.calibration import POINTS, PlaceCorrection, correction_path, load_correction, save_correction
from ..shape.reconstruct.landmark_fit import LandmarkFit, MeanHead, deviations, fit_landmarks, fit_points, own_head
from ..tools.demophoto import PHOTO
from .drawn_heads import HELD_OUT, OwnHeads, face_region
from .skinned_heads import draw_skinned, head_of

RIDGE = 3000.0  # square millimetres
RANK = 24
SHARE = 0.35
LIKENESS = 0.0  # has no say in where a head lies


class Placed(NamedTuple):
    """One head. away: [468,2], as of `deviations`. lack: [V,2], in the same unit and axes, from where the sliders'
    head lies to the true one."""

    away: np.ndarray
    lack: np.ndarray


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=int, default=900, help="how many drawn people")
    parser.add_argument("--heads", type=int, default=240, help="how many heads with the skin of each photo")
    parser.add_argument("--test", type=int, default=24, help="how many to test on, with the skin of each photo")
    parser.add_argument("--skins", metavar="PHOTO", type=Path, nargs="+", default=(), help="of the heads to learn from")
    parser.add_argument("--test-skins", metavar="PHOTO", type=Path, nargs="+", default=(PHOTO,))
    parser.add_argument("--out", metavar="FILE", type=Path, help="default: where the pack reads it")
    parser.add_argument("--report", action="store_true", help="only measure what comes along")
    given = parser.parse_args(arguments)
    if not (given.skins or given.report):
        parser.error("expected --skins PHOTO to learn from, or --report: drawn people alone do not tell of photos.")
    if not given.report:
        head = replace(own_head(), correction=None)
        heads = [*drawn(range(given.drawn), head)]
        for photo in given.skins:
            heads += skinned(range(given.heads), head, photo)
        save_correction(given.out or correction_path(), learned(heads, head))
    for photo in given.test_skins:
        heads = list(skinned(range(HELD_OUT + 700, HELD_OUT + 700 + given.test), own_head(), photo))
        before, after = (errors(heads, own_head(), known) for known in (None, load_correction(given.out)))
        print(f"{photo.name}: {before:.2f} -> {after:.2f} mm on {len(heads)} heads")


def drawn(seeds: range, head: MeanHead) -> Iterator[Placed]:
    """Drawn people, by the pose that brings them nearest to where they are seen."""
    nothing = FaceCrop(np.zeros((16, 16, 3), np.uint8), np.eye(2, 3))
    for seen in OwnHeads().heads(seeds):
        fit = fit_points(nothing, seen.points * (1, -1, -1), head, LIKENESS, NEUTRAL)
        yield _placed(fit, seen.pose.seen(head.millimetres(seen.vertices)), head)


def skinned(seeds: range, head: MeanHead, photo: Path) -> Iterator[Placed]:
    """Heads with the skin of a photo, those of them that are found."""
    for seed in seeds:
        drawing = draw_skinned(*head_of(seed), skin=photo)
        for face in landmarked_faces(drawing.picture, "cpu")[:1]:
            crop = FaceCrop(drawing.picture, np.eye(2, 3), face.five, drawing.picture)
            yield _placed(fit_landmarks(crop, head, LIKENESS), drawing.lying * (1, -1, 1), head)


def _placed(fit: LandmarkFit, lying: np.ndarray, head: MeanHead) -> Placed:
    """lying [V,3]: y up, z to the viewer, pixels."""
    shaped, pose = head.millimetres(fit.shape.vertices.double().numpy()), fit.pose
    lack = (lying - pose.seen(shaped))[:, :2] @ pose.level / pose.scale
    seen = np.column_stack([fit.points * (1, -1), np.zeros(POINTS)])
    return Placed(deviations(seen, shaped, pose, head.calibration), lack)


def learned(heads: list[Placed], head: MeanHead) -> PlaceCorrection:
    """Ridge regression, of rank `RANK`, from how the points deviate to `SHARE` of what their places lack beside it."""
    away = np.stack([each.away.reshape(-1) for each in heads])
    lack = np.stack([head.calibration.places(each.lack).reshape(-1) for each in heads]) - away
    mean, constant = away.mean(axis=0), lack.mean(axis=0)
    centred = away - mean
    matrix = centred.T @ np.linalg.solve(centred @ centred.T + RIDGE * np.eye(len(centred)), lack - constant)
    along = np.linalg.svd(centred @ matrix, full_matrices=False)[2][:RANK]
    return PlaceCorrection(mean, matrix @ along.T, SHARE * along, SHARE * constant)


def errors(heads: list[Placed], head: MeanHead, known: PlaceCorrection | None) -> float:
    """Millimetres in the picture, root mean square over the faces."""
    region = face_region(head.template)
    wrong = []
    for each in heads:
        away = each.away if known is None else each.away + known(each.away)
        wrong.append((head.carried(away) - each.lack)[region])
    return float(np.sqrt((np.stack(wrong) ** 2).sum(axis=2).mean()))


if __name__ == "__main__":
    main()
