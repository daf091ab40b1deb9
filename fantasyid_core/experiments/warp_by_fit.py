"""How true Warp Face is with the head fitted to landmarks: `python -m fantasyid_core.experiments.warp_by_fit`.

A head with a photo's skin (`skinned_heads`) is drawn before and after an edit by one slider. The picture before is
warped, and compared with the one after, with the head placed in four ways:

`fit`: the head that Reconstruct Face makes of this picture alone, where it lays it.
`deca's bound`: the true head by the best camera without perspective. DECA has such a camera and does not know the head,
so it cannot do better.
`deca's error`: a head that is wrong by as much as DECA's are on average in the NoW benchmark (1.38 mm), by the camera
that brings it nearest to the true face. DECA itself is not at hand.
`five points`: the average head by the five points, which is what there is without either.

With `--causes` two more tell what the fit lacks: `fit's head` by the best camera, and the true head `at fit's place`.

PSNR (dB) is that of the face's pixels in the picture after the edit, landmarks the mean distance of the 468 points, in
pixels of 512. The command needs numba.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..face.align import FaceCrop
from ..face.landmarks.faces import landmarked_faces
from ..people.instruments.comparing import psnr
from ..people.instruments.reshaping import mean_distance, seen_points
from ..people.person import HELD_OUT_FROM
from ..shape.edit.edit import edit_shape
from ..shape.edit.faceframe import similarity
from ..shape.edit.warp import warp_face
from ..shape.ownhead.mesh import head_mesh
from ..shape.reconstruct.landmark_fit import fit_landmarks
from ..tools.processor import processor_name
from .clip_pairs import SLIDERS
from .drawn_heads import distance, face_region
from .skinned_heads import Skinned, draw_skinned, head_of

VALUES = -0.5, 0.5
FIT, BOUND, WRONG, FIVE, NOTHING = "fit", "deca's bound", "deca's error", "five points", "no warp"
FIT_HEAD, FIT_PLACE = "fit's head", "at fit's place"
ERROR = 1.38  # millimetres between the surfaces of faces, of DECA in the NoW benchmark, mean
ROUNDS = 20  # of the best camera; it settles within ten


class Result(NamedTuple):
    """psnr: dB in the face. landmarks: pixels of a picture of 512."""

    psnr: float
    landmarks: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--sliders", nargs="+", choices=SLIDERS, default=list(SLIDERS), metavar="NAME")
    parser.add_argument("--causes", action="store_true", help="two more ways of placing, which tell what the fit lacks")
    given = parser.parse_args(arguments)
    seeds = range(HELD_OUT_FROM + 700, HELD_OUT_FROM + 700 + given.heads)
    rows = [row for seed in seeds for row in measure(seed, given.sliders, causes=given.causes)]
    print(as_table(rows))
    print(f"{processor_name()}; {given.heads} heads, sliders at {VALUES[0]} and {VALUES[1]}.")
    return 0


def measure(
    seed: int, sliders: Sequence[str], values: Sequence[float] = VALUES, causes: bool = False
) -> list[dict[str, Result]]:
    """The results of one head, a row for each slider and value: way of placing -> result; "slider" -> its name."""
    vertices, pose = head_of(seed)
    before = draw_skinned(vertices, pose)
    face = _face_of(before.picture)
    ways, rows = placements(before, face, seed, causes), []
    points = seen_points(before.picture[None])
    for slider in sliders:
        for value in values:
            after = draw_skinned(edited(vertices, slider, value), pose)
            true = seen_points(after.picture[None], points)[..., :2]
            warped = {name: _warped(face, *way, slider, value) for name, way in ways.items()}
            warped[NOTHING] = before.picture
            made = {name: Result(psnr(picture, after.picture, after.face),
                                 mean_distance(seen_points(picture[None], points)[..., :2], true))
                    for name, picture in warped.items()}  # fmt: skip
            rows.append({"slider": slider, **made})
    return rows


def placements(
    before: Skinned, face: FaceCrop, seed: int, causes: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Way -> the head [V,3] and where it is said to lie [V,3], as `FaceShape.seen`."""
    fit = fit_landmarks(face).shape
    wrong = wrong_head(before.vertices, seed)
    made = fit.vertices.double().numpy()
    told = {FIT_HEAD: (made, best_camera(made, before)), FIT_PLACE: (before.vertices, fit.seen)} if causes else {}
    return {
        FIT: (made, fit.seen),
        BOUND: (before.vertices, best_camera(before.vertices, before)),
        WRONG: (wrong, best_camera(wrong, before)),
        FIVE: (head_mesh().template.astype(np.float64), None),
        **told,
    }


def wrong_head(vertices: np.ndarray, seed: int) -> np.ndarray:  # [V,3]
    """The head, changed towards another person's until the face is off by `ERROR`."""
    template = head_mesh().template
    face, way = face_region(template), head_of(seed + 500)[0] - template
    for _ in range(3):
        way *= ERROR / distance((vertices + way)[face], vertices[face])
    return vertices + way


def best_camera(vertices: np.ndarray, true: Skinned) -> np.ndarray:  # [V,3]
    """Where a head [V,3] lies by the camera without perspective that brings its face nearest to the true one."""
    face = face_region(head_mesh().template)
    target = true.lying * (1, -1, 1)
    for _ in range(ROUNDS):
        turn, scale = similarity(vertices[face], target[face])
        laid = scale * (vertices - vertices[face].mean(axis=0)) @ turn.T
        laid += [*target[face, :2].mean(axis=0), 0]
        target = np.column_stack([target[:, :2], laid[:, 2]])  # depth has no say
    return laid * (1, -1, 1)


def edited(vertices: np.ndarray, slider: str, value: float) -> np.ndarray:
    return np.asarray(edit_shape(vertices.astype(np.float32), {slider: value}), np.float64)


def as_table(rows: list[dict]) -> str:
    """Markdown: a row per slider, means over heads and values; PSNR, then landmarks."""
    names = [name for name in rows[0] if name != "slider"]
    lines = ["| slider | " + " | ".join(f"{name}, dB" for name in names) + " | "
             + " | ".join(f"{name}, px" for name in names) + " |", "|---" + "|---:" * 2 * len(names) + "|"]  # fmt: skip
    for slider in [*dict.fromkeys(row["slider"] for row in rows), "all"]:
        kept = [row for row in rows if slider in ("all", row["slider"])]
        cells = [f"{np.mean([row[name][which] for row in kept]):.{1 + which}f}" for which in (0, 1) for name in names]
        lines.append(f"| {slider} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _face_of(picture: np.ndarray) -> FaceCrop:
    """The picture as a crop of itself, with the points that are found in it."""
    return FaceCrop(picture, np.eye(2, 3), landmarked_faces(picture, "cpu")[0].five, picture)


def _warped(face: FaceCrop, head: np.ndarray, seen: np.ndarray | None, slider: str, value: float) -> np.ndarray:
    return warp_face(face, head, edited(head, slider, value), head_mesh().faces, seen).crop


if __name__ == "__main__":
    sys.exit(main())
