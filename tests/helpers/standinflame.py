"""A stand-in for FLAME's head: 5023 vertices, the named ones where a face has them, two eyeballs. It is nobody's.

It is the project's own average head on other vertices, so it holds nothing of FLAME but the numbers of vertices that
the face editor knows by name. Files of it serve where 3D reconstruction and the nodes insist on FLAME's count.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from decafile import make_state, write_deca
from flamefile import make_content, write_npz, write_python2

COUNT = 5023
LEVELS = (5023, 1256, 314)
EYE_RADIUS = 0.012  # metres


class StandIn(NamedTuple):
    vertices: np.ndarray  # float32 [5023,3], metres, its middle at the origin
    faces: np.ndarray  # int64 [F,3]


def _spread(count: int) -> np.ndarray:  # [N,3] on the unit sphere
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    width = np.sqrt(1 - height**2)
    return np.stack([width * np.cos(angle), height, width * np.sin(angle)], axis=1)


def _hull(directions: np.ndarray) -> np.ndarray:  # [F,3], counter-clockwise from outside
    from scipy.spatial import ConvexHull

    faces = ConvexHull(directions).simplices
    a, b, c = (directions[faces[:, corner]] for corner in range(3))
    inside_out = (np.cross(b - a, c - a) * (a + b + c)).sum(axis=1) < 0
    return np.where(inside_out[:, None], faces[:, [0, 2, 1]], faces).astype(np.int64)


@cache
def _directions() -> np.ndarray:
    """Where each vertex lies on the sphere of the skin, or of its eyeball, [5023,3]."""
    from fantasyid_core.shape.edit.places import mesh_places
    from fantasyid_core.shape.ownhead.mesh import head_mesh
    from fantasyid_core.shape.ownhead.surface import surface

    theirs, ours, own = mesh_places(COUNT), mesh_places(2236), head_mesh()
    both = [name for name in theirs.vertices if name in ours.vertices]
    fixed = {theirs.vertices[name]: own.directions[ours.vertices[name]] for name in both}
    # The other places of a mean face, moved as those are that both meshes have, and then onto the surface.
    wanted = np.array([[*theirs.coordinates[name], 1] for name in both])
    change = np.linalg.lstsq(wanted, 1000 * own.template[[ours.vertices[name] for name in both]], rcond=None)[0]
    dense = _spread(40_000)
    skin_of_dense = surface(dense)
    for name in theirs.vertices.keys() - set(both):
        place = np.array([*theirs.coordinates[name], 1]) @ change
        fixed[theirs.vertices[name]] = dense[np.linalg.norm(skin_of_dense - place, axis=1).argmin()]
    corners = [own.directions[ours.vertices[f"mouth_corner_{side}"]] for side in ("left", "right")]
    for name, lift in (("upper", 0.012), ("lower", -0.012)):
        free = [index for index in theirs.lips[name] if index not in fixed]
        for share, index in zip(np.linspace(0.1, 0.9, len(free)), free, strict=True):
            row = lift * (1 + (index % 3) / 2)
            fixed[index] = (1 - share) * corners[0] + share * corners[1] + (0, row, 0)
    skin = min(start for start, _ in theirs.eyeballs.values())
    fixed = {index: direction for index, direction in fixed.items() if index < skin}
    made = np.zeros((COUNT, 3))
    placed = np.array(list(fixed.values()))
    made[list(fixed)] = placed / np.linalg.norm(placed, axis=1, keepdims=True)
    open_places = _spread(COUNT)
    nearest = (open_places @ made[list(fixed)].T).max(axis=1)
    rest = [index for index in range(skin) if index not in fixed]
    made[rest] = open_places[np.sort(np.argsort(nearest)[: len(rest)])]  # those away from what is fixed
    for start, stop in theirs.eyeballs.values():
        made[start:stop] = _spread(stop - start)
    return made


@cache
def stand_in() -> StandIn:
    """The mean head."""
    from fantasyid_core.shape.edit.places import mesh_places
    from fantasyid_core.shape.ownhead.surface import surface

    eyes, directions = mesh_places(COUNT).eyeballs, _directions()
    skin = min(start for start, _ in eyes.values())
    vertices = surface(directions) * 0.001
    faces = [_hull(directions[:skin])]
    for side, (start, stop) in eyes.items():
        middle = np.array([0.031 if side == "right" else -0.031, 0, 0.078])
        vertices[start:stop] = middle + EYE_RADIUS * directions[start:stop]
        faces.append(_hull(directions[start:stop]) + start)
    vertices -= (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    return StandIn(vertices.astype(np.float32), np.concatenate(faces))


@cache
def stand_in_topology():
    """Its pyramid: every fourth vertex is kept, a vertex is the mean of the three kept ones nearest to it."""
    from fantasyid_core.shape import Topology
    from fantasyid_core.shape.topology.spiral import spiral_indices

    head = stand_in()
    vertices, faces = head.vertices, head.faces
    tensors = {"faces": torch.from_numpy(faces), "template": torch.from_numpy(vertices)}
    for level, (fine, coarse) in enumerate(zip(LEVELS, LEVELS[1:], strict=False)):
        kept = np.linspace(0, fine - 1, coarse).round().astype(int)
        apart = np.linalg.norm(vertices[:, None] - vertices[kept], axis=2)
        columns = apart.argsort(axis=1)[:, :3]
        rows = np.repeat(np.arange(fine), 3)
        tensors |= {
            f"spirals.{level}": torch.from_numpy(spiral_indices(faces, vertices, 9)),
            f"down.{level}.indices": torch.from_numpy(np.stack([np.arange(coarse), kept])),
            f"down.{level}.values": torch.ones(coarse),
            f"down.{level}.shape": torch.tensor([coarse, fine]),
            f"up.{level}.indices": torch.from_numpy(np.stack([rows, columns.ravel()])),
            f"up.{level}.values": torch.full((3 * fine,), 1 / 3),
            f"up.{level}.shape": torch.tensor([fine, coarse]),
        }
        vertices = vertices[kept]
        faces = _hull(_directions()[kept])
    return Topology.from_tensors({f"topology.{key}": tensor for key, tensor in tensors.items()})


def stand_in_person(seed: int) -> np.ndarray:
    """Somebody with this head's mesh: float32 [5023,3], metres."""
    from fantasyid_core.shape.edit.edit import edit_shape

    draw = np.random.default_rng(seed)
    names = ("face_width", "jaw_width", "nose_length", "chin_height", "mouth_width", "cheek_fullness")
    values = {name: float(draw.uniform(-0.6, 0.6)) for name in names}
    return np.asarray(edit_shape(stand_in().vertices, values), np.float32)


def _landmark_places() -> np.ndarray:  # [68,2]
    """About where the 68 landmarks lie in a face's plane, in millimetres from between the eyes to the right and up."""
    side = np.radians(np.linspace(-85, 85, 17))
    contour = np.stack([70 * np.sin(side), -15 - 95 * np.cos(side)], axis=1)
    brows = np.stack([np.r_[np.linspace(-50, -14, 5), np.linspace(14, 50, 5)], np.full(10, 20.0)], axis=1)
    nose = np.stack([np.r_[np.zeros(4), np.linspace(-14, 14, 5)], np.r_[0, -12, -24, -36, np.full(5, -46.0)]], axis=1)
    around = np.radians([180, 120, 60, 0, -60, -120])
    eye = np.stack([13 * np.cos(around), 4 * np.sin(around)], axis=1)
    angles = np.radians(np.r_[np.linspace(180, -150, 12), np.linspace(180, -135, 8)])
    size = np.r_[np.full(12, 24.0), np.full(8, 16.0)]
    mouth = np.stack([size * np.cos(angles), -68 + 0.35 * size * np.sin(angles)], axis=1)
    return np.concatenate([contour, brows, nose, eye - (31, 0), eye + (31, 0), mouth])


def _landmark_entries() -> dict:
    """What a landmark_embedding.npy of this mesh holds; its contour does not follow the yaw."""
    head = stand_in()
    middle = np.array([0, *head.vertices[3931:, 1:].mean(axis=0)])  # between the eyeballs
    places = (head.vertices - middle) * 1000
    hidden = (places[:, 2] < -40) | (np.arange(COUNT) >= 3931)
    apart = np.linalg.norm(places[None, :, :2] - _landmark_places()[:, None], axis=2) + 1e3 * hidden
    vertices = apart.argmin(axis=1)
    triangles = np.array([np.nonzero((head.faces == vertex).any(axis=1))[0][0] for vertex in vertices])
    weights = (head.faces[triangles] == vertices[:, None]).astype(np.float32)
    return {
        "static_lmk_faces_idx": triangles[17:],
        "full_lmk_faces_idx": triangles[None],
        "full_lmk_bary_coords": weights[None],
        "dynamic_lmk_faces_idx": torch.from_numpy(np.tile(triangles[:17], (79, 1))),
        "dynamic_lmk_bary_coords": torch.from_numpy(np.tile(weights[:17], (79, 1, 1))),
    }


def write_face_files(folder: Path, pickled: bool = False) -> list[Path]:
    """generic_model.pkl (or flame.npz), deca_model.tar and landmark_embedding.npy in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    head = stand_in()
    face = head.vertices[3931:].mean(axis=0) - (0, 0.045, 0)  # its middle, where DECA's camera looks
    content = make_content(vertices=head.vertices.astype(np.float64) - face * (0, 1, 0), faces=head.faces)
    flame = folder / ("generic_model.pkl" if pickled else "flame.npz")
    landmarks = folder / "landmark_embedding.npy"
    np.save(landmarks, np.array(_landmark_entries(), dtype=object), allow_pickle=True)
    return [
        (write_python2 if pickled else write_npz)(flame, content),
        write_deca(folder / "deca_model.tar", make_state(influence=0.01)),
        landmarks,
    ]


def write_people(folder: Path) -> None:
    """What a user brings: one.ply, two.ply, three.ply and their photos as .jpg and .png, and topology.safetensors.

    The photos are the astronaut of scikit-image, as she is, mirrored, and in another light.
    """
    from PIL import Image
    from skimage.data import astronaut

    from fantasyid_core.shape import save_shape, save_topology

    photo = astronaut()
    photos = {"one": photo, "two": photo[:, ::-1], "three": (photo * 0.7 + 60).astype(np.uint8)[:420, 40:440]}
    for seed, (name, pixels) in enumerate(photos.items()):
        save_shape(torch.from_numpy(stand_in_person(seed)), folder / f"{name}.ply")
        Image.fromarray(pixels).save(folder / f"{name}.jpg", quality=95)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    save_topology(stand_in_topology(), folder / "topology.safetensors")
