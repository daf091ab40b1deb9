"""Heads that are drawn with a photo's skin, through a camera at the distance of a portrait, before and after an edit.

The photo is the public domain one that comes along. It is laid on the head as the fit to landmarks lays it, so every
head has the same skin; its shape, turn and camera are its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..people.instruments.reshaping import Lines
from ..people.person import sample_person
from ..shape.draw.raster import interpolate, rasterise
from ..shape.edit.controls import face_controls
from ..shape.ownhead.mesh import head_mesh
from ..shape.reconstruct.landmark_fit import fit_face, own_head
from ..tools.demophoto import PHOTO
from .drawn_heads import face_region, middle_of, pairs, random_values

SIZE, FINER = 512, 2  # pixels of a picture's side, and how much finer it is drawn
SCALE = 1650.0  # pixels per metre in the plane of the eyes
DISTANCE = 0.6  # metres from the camera to there
OWN_SHAPE = 0.4  # of a person's own shape, which the sliders do not know


class Skinned(NamedTuple):
    """One drawn head. vertices: [V,3] metres, upright. lying: [V,3] where they lie in the picture: x right, y down,
    pixels; and depth, larger is nearer. picture: np.uint8 [512,512,3]. face: bool [512,512], where the face is."""

    vertices: np.ndarray
    lying: np.ndarray
    picture: np.ndarray
    face: np.ndarray


class Pose(NamedTuple):
    """Degrees of the head's turn."""

    yaw: float
    pitch: float
    roll: float


def head_of(seed: int) -> tuple[np.ndarray, Pose]:
    """A random head [V,3], and how it is turned: by up to 20 degrees."""
    draw, controls = np.random.default_rng([seed, 15]), face_controls(head_mesh().template)
    person = sample_person(seed)
    person = replace(person, shape=tuple(np.round(OWN_SHAPE * np.array(person.shape), 4)))
    bend = controls.displacement(pairs(controls, random_values(draw, len(controls.controls))))
    pose = Pose(draw.uniform(-20, 20), draw.uniform(-8, 8), draw.uniform(-8, 8))
    return person.vertices().astype(np.float64) + bend, pose


def draw_skinned(vertices: np.ndarray, pose: Pose, distance: float = DISTANCE, skin: Path = PHOTO) -> Skinned:
    """The head [V,3] in a turn, with the skin of a photo."""
    mesh = head_mesh()
    lying = lying_of(vertices - middle_of(mesh.template), pose, distance)
    picture, index = painted(lying, mesh.faces, *_skin(skin))
    region = face_region(mesh.template)[mesh.faces].all(axis=1)
    face = (index >= 0) & region[index.clip(0)]
    small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return Skinned(vertices, lying, small, face[::FINER, ::FINER] & face[1::FINER, 1::FINER])


def painted(lying: np.ndarray, faces: np.ndarray, photo: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A head that lies [V,3] in a picture, with the skin of a photo: np.uint8 [1024,1024,3], and the triangle of every
    pixel there, -1 behind the head. seen: np.float32 [V,2], where in the photo each vertex has its colour."""
    fine = (lying[:, :2] + 0.5) * FINER - 0.5
    index, shares = rasterise(fine, lying[:, 2], faces, (SIZE * FINER,) * 2, backfaces=False)
    places = interpolate(seen, faces, index, shares)
    picture = cv2.remap(photo, *cv2.split(places), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    behind = np.rint(255 * Lines().picture(SIZE * FINER)).astype(np.uint8)
    return np.where((index >= 0)[..., None], picture, behind), index


def lying_of(vertices: np.ndarray, pose: Pose, distance: float) -> np.ndarray:
    """Where a head (metres about the middle between its eyes) lies in the picture, as in `Skinned`."""
    away = vertices @ rotation(pose).T
    nearer = distance / (distance - away[:, 2])
    flat = away[:, :2] * nearer[:, None] * SCALE * (1, -1) + (SIZE / 2, 0.46 * SIZE)
    return np.column_stack([flat, SCALE * away[:, 2]])


def rotation(pose: Pose) -> np.ndarray:
    """[3,3]; positive yaw turns the nose to the right of the picture, positive pitch up."""
    yaw, pitch, roll = np.deg2rad(pose)
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@lru_cache(maxsize=4)
def _skin(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The photo, and where in it each vertex has its colour [V,2]."""
    from ..face.picture import load_picture

    photo = load_picture(path)
    by_points = replace(own_head(), correction=None)  # which is learned from these heads
    return photo, fit_face(photo, by_points).seen[:, :2].astype(np.float32)
