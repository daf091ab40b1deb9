"""Calibrates how MediaPipe's points slide over turned heads: `python -m fantasyid_core.experiments.calibrate_turning`.

On a turned head the network marks the tip of the nose or the outline of a cheek nearer to where it is seen to end than
to where it is on the skin. In millimetres of the picture this grows with the sine of yaw and of pitch. It is measured
on drawn people, whose truth is known, and made the same for both sides. The errors that are printed are those of other
people. 250 people take about two minutes on one idle core. The command needs numba.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..shape.reconstruct.calibration import (
    POINTS,
    Calibration,
    load_calibration,
    load_turning,
    save_turning,
    turning_path,
)
from ..shape.reconstruct.placing import pose_of
from .drawn_heads import HELD_OUT, OwnHeads, found

SIZE, VIEWS = 320, 3
YAW, PITCH, ROLL = 50, 14, 6  # degrees to either side
RIDGE = 1.0  # heads' worth of no sliding
STEPS = 0, 10, 25, 40, 50  # degrees of yaw between which errors are printed


class Turned(NamedTuple):
    """One picture. away: [468,2] millimetres of the picture, y up, from where a point should be seen to where it is.
    sines: of yaw and pitch. yaw: degrees, as drawn."""

    away: np.ndarray
    sines: np.ndarray
    yaw: float


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=250)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--out", metavar="FILE", type=Path, help="default: where the pack reads it")
    given = parser.parse_args(arguments)
    drawer = OwnHeads()
    known = load_calibration(len(drawer.template))
    turning = learned(list(views(range(given.people), drawer, known)), mirrored_points(known, drawer.template))
    save_turning(given.out or turning_path(), turning)
    print(report(list(views(range(HELD_OUT, HELD_OUT + given.test), drawer, known)), load_turning(given.out)))


def views(seeds: range, drawer: OwnHeads, known: Calibration) -> Iterator[Turned]:
    """Some pictures of each person in random turns."""
    from ..people.motion import frame_row
    from ..people.person import sample_person
    from ..people.render import render_frames, render_maps

    for seed in seeds:
        draw, person = np.random.default_rng([seed, 77]), sample_person(seed)
        vertices = person.vertices().astype(np.float64)
        for _ in range(VIEWS):
            yaw, pitch, roll = (draw.uniform(-most, most) for most in (YAW, PITCH, ROLL))
            smile, opened = max(0.0, draw.uniform(-1, 0.6)), max(0.0, draw.uniform(-1, 0.7))
            turn = {"yaw": yaw, "pitch": pitch, "roll": roll, "light_turn": draw.uniform(-50, 50)}
            row = frame_row(smile=smile, mouth_open=opened, **turn)[None]
            picture, maps = render_frames(person, row, None, SIZE)[0], render_maps(person, row, SIZE)
            scale = float(maps.scale[0])
            true = np.column_stack([maps.points[0] * (1, -1), maps.vertex_depth[0] * scale]).astype(np.float64)
            for head in found(picture, vertices, np.zeros(0), true, drawer.middle):
                yield turned(head.points, known.places(true), scale / 1000, yaw, known)


def turned(points: np.ndarray, places: np.ndarray, scale: float, yaw: float, known: Calibration) -> Turned:
    pose = pose_of(points, known.mean, known.rigid)
    usual = (known.habit * (1, 1, 0)) @ pose.rotation.T
    away = ((points - places) / scale - usual)[:, :2] @ pose.level  # as if there were no roll
    return Turned(away, np.array(pose.sines), yaw)


def mirrored_points(known: Calibration, template: np.ndarray) -> np.ndarray:  # [468]
    """The point on the other side of each."""
    places = known.places(template)
    return ((places[:, None] * (-1, 1, 1) - places) ** 2).sum(axis=2).argmin(axis=1)


def learned(heads: list[Turned], mirror: np.ndarray) -> np.ndarray:
    """Ridge regression on both sines; [2,468,2] millimetres for a sine of 1."""
    sines = np.stack([head.sines for head in heads])
    away = np.stack([head.away for head in heads])
    flip = np.array([-1, 1])
    sines, away = np.concatenate([sines, sines * flip]), np.concatenate([away, away[:, mirror] * flip])
    inputs = np.column_stack([sines, np.ones(len(sines))])
    inner = inputs.T @ inputs + RIDGE * np.diag([1, 1, 0])
    return np.linalg.solve(inner, inputs.T @ away.reshape(len(away), -1))[:2].reshape(2, POINTS, 2)


def report(heads: list[Turned], turning: np.ndarray) -> str:
    """Errors in millimetres, root mean square."""
    away, yaw = np.stack([head.away for head in heads]), np.abs([head.yaw for head in heads])
    rest = away - np.stack([np.tensordot(head.sines, turning, 1) for head in heads])
    told = []
    for low, high in zip(STEPS, STEPS[1:], strict=False):
        kept = (yaw >= low) & (yaw < high)
        before, after = (np.sqrt((some[kept] ** 2).sum(axis=2).mean()) for some in (away, rest))
        told.append(f"yaw {low} to {high}: {before:.2f} -> {after:.2f} mm in {kept.sum()} pictures")
    return "\n".join(told)


if __name__ == "__main__":
    main()
