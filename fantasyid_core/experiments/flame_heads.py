"""Drawn heads of FLAME's mesh, of which only the mean head is needed (`transform.pkl`), with the skin of photos.

The mean head is changed by random sliders and a smooth random field, which the sliders do not know, and turned by up to
28 degrees. A photo is laid on it where the fit to its own landmarks lays it, so what these heads cannot tell is the
habits of the points: a skin lies where the habits say. They tell the regression, with the networks that come along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..face.picture import load_picture
from ..shape.edit.controls import face_controls
from ..shape.reconstruct.landmark_fit import MeanHead, fit_face, mean_head_of
from ..shape.topology.topology import load_topology
from ..tools.demophoto import PHOTO
from .drawn_heads import Seen, found, pairs, random_values
from .skinned_heads import SIZE, Pose, lying_of, painted

OWN, OWN_REACH = 0.5, 35.0  # millimetres: standard deviation of the field along each axis, and its length
SPREAD = 0.55  # standard deviation of the sliders: faces differ as much as the project's drawn people
NEAREST, FARTHEST = 0.6, 2.0  # metres to the camera
DARKEST, BRIGHTEST = 0.7, 1.2  # power that the skin's values are raised to


class FlameHeads:
    """Heads of a mesh of FLAME's vertices, with the skins of photos: files, or the one that comes along.

    settles: False, because a skin lies where the points' known places say.
    """

    settles = False

    def __init__(self, mesh: Path, photos: Sequence[Path] = ()):
        topology = load_topology(mesh)
        self._mean = mean_head_of(topology)
        self.template, self.faces, self.middle = self._mean.template, self._mean.faces, self._mean.middle
        self.controls = face_controls(self.template)
        self._photos = [load_picture(photo) for photo in photos or (PHOTO,)]
        by_points = replace(self._mean, correction=None)
        self._lying = [fit_face(photo, by_points, 1.0).seen[:, :2].astype(np.float32) for photo in self._photos]
        places = self._mean.calibration.places(self._mean.millimetres(self.template))
        self._aim = self.middle + places.mean(axis=0) / 1000  # what the camera looks at: the middle of the face
        apart = np.linalg.norm(places[:, None] - places, axis=-1)
        self._roughness = np.linalg.cholesky(np.exp(-((apart / OWN_REACH) ** 2)) + 1e-6 * np.eye(len(places)))

    def mean_head(self) -> MeanHead:
        """The head that is fitted to these."""
        return self._mean

    def heads(self, seeds: range) -> Iterator[Seen]:
        for seed in seeds:
            draw = np.random.default_rng([seed, 16])
            values = random_values(draw, len(self.controls.controls), SPREAD)
            bend = self.controls.displacement(pairs(self.controls, values)) + self._field(draw)
            pose = Pose(draw.uniform(-28, 28), draw.uniform(-12, 12), draw.uniform(-8, 8))
            vertices = self.template + bend
            lying = lying_of(vertices - self._aim, pose, draw.uniform(NEAREST, FARTHEST))
            picture = self._picture(draw, lying)
            yield from found(picture, vertices, values, lying * (1, -1, 1), self.middle)

    def _field(self, draw: np.random.Generator) -> np.ndarray:  # [V,3], metres
        known = self._roughness @ draw.standard_normal((len(self._roughness), 3))
        return 0.001 * OWN * self._mean.carried(known)

    def _picture(self, draw: np.random.Generator, lying: np.ndarray) -> np.ndarray:  # [V,3] -> np.uint8 [512,512,3]
        nth = int(draw.integers(len(self._photos)))
        picture, _ = painted(lying, self.faces, self._photos[nth], self._lying[nth])
        power = draw.uniform(DARKEST, BRIGHTEST)
        small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return np.rint(255 * (small / 255.0) ** power).astype(np.uint8)
