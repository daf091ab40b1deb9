"""How far apart the heads of different people come out: `python -m fantasyid_core.experiments.fit_photos PHOTO...`.

Every face of every photo is cropped and fitted, on the project's own head and, where a folder of `--models` has
transform.pkl, on FLAME's mesh. The same photo at half its size tells how much one person's head changes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..face.align import opencv
from ..face.detectors.detect import detect_faces
from ..face.photo import FaceRequest, find_face
from ..face.picture import load_picture
from ..shape.faceshape import VERTEX_COUNT
from ..shape.reconstruct.landmark_fit import MeanHead, fit_landmarks, mean_head_of, own_head
from .drawn_heads import distance, face_region

LIKENESSES = 0.0, 0.5


class Face(NamedTuple):
    """The face `number` of a photo np.uint8 [H,W,3], the faces counted from the left."""

    photo: np.ndarray
    number: int

    @property
    def half(self) -> np.ndarray:
        """The photo at half its size."""
        height, width = self.photo.shape[:2]
        return opencv().resize(self.photo, (width // 2, height // 2), interpolation=opencv().INTER_AREA)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument("--models", metavar="DIR", action="append", default=[], help="a folder with transform.pkl")
    given = parser.parse_args(arguments)
    faces = [face for path in given.photos for face in faces_of(load_picture(path))]
    heads = [own_head(), *(head for head in [mean_head_of(None, given.models)] if is_flame(head))]
    for head in heads:
        for likeness in LIKENESSES:
            print(line(faces, head, likeness))
    return 0


def is_flame(head: MeanHead) -> bool:
    return len(head.template) == VERTEX_COUNT


def faces_of(photo: np.ndarray) -> list[Face]:
    return [Face(photo, number) for number in range(len(detect_faces(photo, "mediapipe")))]


def line(faces: list[Face], head: MeanHead, likeness: float) -> str:
    region = face_region(head.template)
    made = [fitted(face.photo, face.number, head, likeness)[region] for face in faces]
    apart = [distance(*pair) for pair in combinations(made, 2)] or [0.0]
    half = [distance(fitted(face.half, face.number, head, likeness)[region], own)
            for face, own in zip(faces, made, strict=True)]  # fmt: skip
    return (
        f"{len(head.template)} vertices, likeness {likeness:g}: {len(faces)} people {np.mean(apart):.2f} mm apart "
        f"(least {min(apart):.2f}), the same person at half the size {np.mean(half):.2f} (most {max(half):.2f})"
    )


def fitted(photo: np.ndarray, number: int, head: MeanHead, likeness: float) -> np.ndarray:  # [V,3]
    face = find_face([photo], FaceRequest("mediapipe", how="left to right", number=number)).face
    return fit_landmarks(face, head, likeness).shape.vertices.double().numpy()


if __name__ == "__main__":
    sys.exit(main())
