"""Calibrates the landmark fit for the project's own head: `python -m fantasyid_core.experiments.calibrate_fit`.

Heads of `people` with random looks are deformed by random sliders, turned by up to 28 degrees and drawn. The shipped
networks find their points. Five-fold cross-validation on these heads chooses the strength of the ridge regression; the
errors that are printed at the end are measured on other people. 700 heads take about a minute on one idle core. The
command needs numba.

`landmarks_flame.npz` is not made here: it was measured in the same way on FLAME's mean head with random sliders, drawn
as clay and with the skin of photos in the public domain, by the same networks in MediaPipe's own runtime.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..face.landmarks.faces import mesh_pass
from ..face.landmarks.squares import Squares, squares_of_points
from ..shape.edit.controls import face_controls
from ..shape.edit.faceframe import face_frame, face_places
from ..shape.ownhead.mesh import head_mesh
from ..shape.reconstruct.calibration import POINTS, Calibration, calibration_path, load_calibration, save_calibration
from ..shape.reconstruct.placing import Pose, pose_of

SIZE = 256
SPREAD = 0.35  # standard deviation of the sliders
RIDGES = np.geomspace(30, 1e5, 12)
GRID, FLATTENED = 8, 0.3  # of the search for places: steps along a triangle's side, what a millimetre of depth counts
HELD_OUT = 1_000_000_000  # seeds from here on are for testing, as in `people.person`


class Seen(NamedTuple):
    """One drawn head: true vertices [V,3] in metres and sliders [S], its points [468,3] as they are seen (y up, z to
    the viewer, pixels), and its true pose from upright millimetres to these."""

    vertices: np.ndarray
    values: np.ndarray
    points: np.ndarray
    pose: Pose


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=700)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--places", metavar="FILE", type=Path, help="other `corners` and `weights` to begin from")
    parser.add_argument("--out", metavar="FILE", type=Path, help="default: where the pack reads it")
    given = parser.parse_args(arguments)
    drawer = OwnHeads()
    start = load_places(given.places, len(drawer.template))
    learned = calibrate(list(drawer.heads(range(given.heads))), start, drawer)
    save_calibration(given.out or calibration_path(len(drawer.template)), learned)
    tests = list(drawer.heads(range(HELD_OUT, HELD_OUT + given.test)))
    print(report(tests, learned, drawer))


def load_places(path: Path | None, vertex_count: int) -> Calibration:
    """Places to begin from: `corners` and `weights`."""
    if path is None:
        return load_calibration(vertex_count)
    with np.load(path) as stored:
        corners, weights = stored["corners"].astype(np.int64), stored["weights"].astype(np.float64)
    empty = np.zeros((POINTS, 3))
    return Calibration(corners, weights, empty, empty, np.ones(POINTS), (), np.zeros((2 * POINTS, 0)), np.zeros(0), 1.0)


class OwnHeads:
    """Heads of `people`: every look, with shape parameters of their own, which the sliders do not know."""

    def __init__(self):
        mesh = head_mesh()
        self.template, self.faces = mesh.template, mesh.faces
        self.controls = face_controls(self.template)
        self.middle = middle_of(self.template)

    def heads(self, seeds: range) -> Iterator[Seen]:
        from ..people.motion import frame_row
        from ..people.person import sample_person
        from ..people.render import render_frames, render_maps

        for seed in seeds:
            draw = np.random.default_rng([seed, 14])
            person = sample_person(seed)
            person = replace(person, shape=tuple(np.round(0.4 * np.array(person.shape), 4)))
            values = random_values(draw, len(self.controls.controls))
            bend = self.controls.displacement(pairs(self.controls, values))
            yaw, pitch, roll = draw.uniform(-28, 28), draw.uniform(-12, 12), draw.uniform(-8, 8)
            smile = max(0.0, draw.uniform(-0.6, 0.3))
            row = frame_row(yaw=yaw, pitch=pitch, roll=roll, smile=smile, light_turn=draw.uniform(-50, 50))[None]
            picture = render_frames(person, row, None, SIZE, bend=bend)[0]
            maps = render_maps(person, row, SIZE, bend=bend)
            seen = np.column_stack([maps.points[0] * (1, -1), maps.vertex_depth[0] * maps.scale[0]]).astype(np.float64)
            vertices = person.vertices().astype(np.float64) + bend
            yield from found(picture, vertices, values, seen, self.middle)


def found(picture, vertices, values, seen, middle) -> Iterator[Seen]:
    """The head with its points, or nothing where the mesh sees no face."""
    from ..shape.edit.faceframe import five_places

    five = five_places(vertices)
    nearest = [int(((vertices - place) ** 2).sum(axis=1).argmin()) for place in five]
    at = seen[nearest][:, :2] * (1, -1)
    eyes, across = at[:2].mean(axis=0), at[1] - at[0]
    down = at[3:].mean(axis=0) - eyes
    square = Squares((eyes + 0.5 * down)[None], np.array([3.4 * max(np.linalg.norm(across), np.linalg.norm(down))]),
                     np.array([np.arctan2(across[1], across[0])]))  # fmt: skip
    points, _ = mesh_pass(picture, square, "cpu")
    points, presence = mesh_pass(picture, squares_of_points(points), "cpu")
    if presence[0] < 0.5:
        return
    upright = (vertices - middle) * 1000
    true = pose_of(seen, upright, np.ones(len(seen)))
    yield Seen(vertices, values, points[0, :POINTS] * (1, -1, -1), true)


def middle_of(template: np.ndarray) -> np.ndarray:
    places = face_places(template)
    return (places["eye_left"] + places["eye_right"]) / 2


def random_values(draw: np.random.Generator, count: int) -> np.ndarray:
    return np.clip(SPREAD * draw.standard_normal(count), -1, 1)


def pairs(controls, values: np.ndarray) -> dict:
    return {name: (value, value) for name, value in zip(controls.controls, values, strict=True)}


def calibrate(heads: list[Seen], start: Calibration, drawer) -> Calibration:
    """Habits, mean, weights and ridge regression."""
    start = settled(heads, start, drawer)
    upright = np.stack([seen_upright(head, start, drawer) for head in heads])  # [N,468,3]
    places = np.stack([start.places((head.vertices - drawer.middle) * 1000) for head in heads])
    habit = (upright - places).mean(axis=0)
    mean = upright.mean(axis=0)
    rigid = 1 / ((upright - mean) ** 2).mean(axis=(0, 2)).clip(0.05)
    known = replace(start, habit=habit, mean=mean, rigid=rigid / rigid.mean())
    away = np.stack([placed_away(head, known) for head in heads])
    names = tuple(drawer.controls.controls)
    matrix, constant = ridge(away, np.stack([head.values for head in heads]))
    known = replace(known, names=names, matrix=matrix, constant=constant)
    rest = [rest_of(head, known, drawer) for head in heads]
    return replace(known, residual=float(np.sqrt(np.mean(np.square(rest)))))


def settled(heads: list[Seen], start: Calibration, drawer) -> Calibration:
    """Places moved to where the points are seen on average, so that a habit is left in depth alone: what is painted
    where is known on these heads."""
    seen = np.mean([seen_upright(head, start, drawer) for head in heads], axis=0)
    template, flat = (drawer.template - drawer.middle) * 1000, (1, 1, FLATTENED)
    nearest, corners, weights = np.full(POINTS, np.inf), start.corners.copy(), start.weights.copy()
    for share in barycentric_grid(GRID):
        samples = (template[drawer.faces] * share[:, None]).sum(axis=1) * flat
        for nth in range(POINTS):
            away = ((samples - seen[nth] * flat) ** 2).sum(axis=1)
            best = int(away.argmin())
            if away[best] < nearest[nth]:
                nearest[nth], corners[nth], weights[nth] = away[best], drawer.faces[best], share
    return replace(start, corners=corners, weights=weights)


def barycentric_grid(steps: int) -> np.ndarray:  # [K,3]
    """Evenly spread places in a triangle."""
    pairs = [(one, two) for one in range(steps + 1) for two in range(steps + 1 - one)]
    return np.array([(one, two, steps - one - two) for one, two in pairs]) / steps


def seen_upright(head: Seen, start: Calibration, drawer) -> np.ndarray:
    """The points by the true pose; their depth, which has no zero of its own, about that of their places."""
    upright = head.pose.upright(head.points)
    places = start.places((head.vertices - drawer.middle) * 1000)
    back = head.pose.rotation.T @ [0, 0, 1]
    return upright + ((places - upright) @ back).mean() * back


def placed_away(head: Seen, known: Calibration) -> np.ndarray:
    """Deviations [936] as the fit sees them, by the pose that it finds itself."""
    pose = pose_of(head.points, known.mean, known.rigid)
    return (pose.upright(head.points) - known.mean)[:, :2].reshape(-1)


def ridge(away: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # [N,936], [N,S]
    """Matrix [936,S] and constant [S]; its strength by cross-validation."""
    folds = np.arange(len(away)) % 5
    errors = []
    for strength in RIDGES:
        wrong = 0.0
        for fold in range(5):
            matrix, constant = _ridge(away[folds != fold], values[folds != fold], strength)
            wrong += ((away[folds == fold] @ matrix + constant - values[folds == fold]) ** 2).sum()
        errors.append(wrong)
    strength = RIDGES[int(np.argmin(errors))]
    print(f"ridge {strength:.0f}: explains {1 - min(errors) / ((values - values.mean(0)) ** 2).sum():.0%}", flush=True)
    return _ridge(away, values, strength)


def _ridge(away: np.ndarray, values: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    middle, mean = away.mean(axis=0), values.mean(axis=0)
    centred = away - middle
    inner = centred @ centred.T + strength * np.eye(len(away))
    matrix = centred.T @ np.linalg.solve(inner, values - mean)
    return matrix, mean - middle @ matrix


def rest_of(head: Seen, known: Calibration, drawer) -> np.ndarray:
    pose = pose_of(head.points, known.mean, known.rigid)
    away = pose.upright(head.points) - known.mean
    values = (away[:, :2].reshape(-1) @ known.matrix + known.constant).clip(-1, 1)
    shaped = drawer.template + drawer.controls.displacement(pairs(drawer.controls, values))
    return (away + known.mean - known.places((shaped - drawer.middle) * 1000) - known.habit)[:, :2]


def report(heads: list[Seen], known: Calibration, drawer) -> str:
    """Mean vertex distance in millimetres to the true heads, on the face, after alignment by a similarity."""
    region = face_region(drawer.template)
    rows, turns, values = [], [], []
    for head in heads:
        pose = pose_of(head.points, known.mean, known.rigid)
        away = (pose.upright(head.points) - known.mean)[:, :2].reshape(-1)
        told = (away @ known.matrix + known.constant).clip(-1, 1)
        shaped = drawer.template + drawer.controls.displacement(pairs(drawer.controls, told))
        rows.append([distance(each[region], head.vertices[region]) for each in (drawer.template, shaped)])
        turns.append(np.degrees(np.arccos(np.clip((np.trace(pose.rotation.T @ head.pose.rotation) - 1) / 2, -1, 1))))
        values.append((told, head.values))
    template, fitted = np.array(rows).T
    told, true = np.array(values).transpose(1, 2, 0)
    alike = sorted(((np.corrcoef(*pair)[0, 1], name) for *pair, name in zip(told, true, known.names, strict=True)),
                   reverse=True)  # fmt: skip
    best = ", ".join(f"{name} {value:.2f}" for value, name in alike[:12])
    return (
        f"{len(heads)} held-out heads: template {template.mean():.2f} mm, fit {fitted.mean():.2f} mm, better on "
        f"{(fitted < template).mean():.0%}; turn off by {np.sqrt(np.mean(np.square(turns))):.1f} degrees rms; residual "
        f"{known.residual:.2f} mm\ncorrelations: {best}"
    )


def face_region(template: np.ndarray) -> np.ndarray:
    """Vertices of the face, by face coordinates: from chin to forehead and as far back as the cheeks' sides."""
    x, y, z = face_frame(template).coordinates.T
    return (abs(x) < 70) & (y > -112) & (y < 75) & (z > -25)


def distance(head: np.ndarray, true: np.ndarray) -> float:  # [N,3], [N,3], metres
    """Mean distance in millimetres after the best similarity."""
    pose = pose_of(1000 * true, 1000 * head, np.ones(len(head)))
    return float(np.linalg.norm(pose.seen(1000 * head) - 1000 * true, axis=1).mean())


if __name__ == "__main__":
    main()
