"""Stand-ins for the files that 3D reconstruction needs, all on the project's own head: FLAME, its landmarks, DECA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from decafile import make_state, write_deca
from flamefile import make_content, write_npz, write_python2


def own_flame_content() -> dict:
    """A model of FLAME's structure whose mean head is the project's own, its middle at the origin."""
    from fantasyid_core.shape.ownhead.mesh import head_mesh

    mesh = head_mesh()
    middle = (mesh.template.min(axis=0) + mesh.template.max(axis=0)) / 2
    return make_content(vertices=mesh.template - middle, faces=mesh.faces)


def landmark_places() -> np.ndarray:  # [68,2]
    """About where the 68 landmarks lie in the plane of a face, millimetres right of and above the point between the eyes."""
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


def own_landmark_entries() -> dict:
    """What a landmark_embedding.npy of the project's own mesh would hold; the contour does not follow the yaw."""
    from fantasyid_core.shape.edit.regions import face_frame
    from fantasyid_core.shape.ownhead.mesh import head_mesh

    mesh = head_mesh()
    places = face_frame(mesh.template).coordinates  # millimetres, the nose in front
    apart = np.linalg.norm(places[None, :, :2] - landmark_places()[:, None], axis=2) + 1e3 * (places[:, 2] < -30)
    vertices = apart.argmin(axis=1)
    triangles = np.array([np.nonzero((mesh.faces == vertex).any(axis=1))[0][0] for vertex in vertices])
    weights = (mesh.faces[triangles] == vertices[:, None]).astype(np.float32)
    return {
        "static_lmk_faces_idx": triangles[17:],
        "full_lmk_faces_idx": triangles[None],
        "full_lmk_bary_coords": weights[None],
        "dynamic_lmk_faces_idx": torch.from_numpy(np.tile(triangles[:17], (79, 1))),
        "dynamic_lmk_bary_coords": torch.from_numpy(np.tile(weights[:17], (79, 1, 1))),
    }


def write_own_face_files(folder: Path, pickled: bool = False) -> list[Path]:
    """generic_model.pkl (or flame.npz), deca_model.tar and landmark_embedding.npy in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    content = own_flame_content()
    flame = write_python2 if pickled else write_npz
    landmarks = folder / "landmark_embedding.npy"
    np.save(landmarks, np.array(own_landmark_entries(), dtype=object), allow_pickle=True)
    return [
        flame(folder / ("generic_model.pkl" if pickled else "flame.npz"), content),
        write_deca(folder / "deca_model.tar", make_state(influence=0.01)),
        landmarks,
    ]
