"""A real photo in the demo: its landmarks, the 3D face fitted to them, and the picture warped by edits of this face.

The steps are those of the nodes: Crop Face, Reconstruct Face (landmarks), Edit Shape, Warp Face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..face.align import FaceCrop
from ..face.photo import FaceRequest, find_face
from ..face.picture import load_picture
from ..shape.draw.drawing import draw_overlay
from ..shape.edit.edit import edit_shape
from ..shape.edit.warp import warp_face
from ..shape.reconstruct.landmark_fit import LandmarkFit, fit_landmarks, own_head
from .demosheet import CELL, enlarged

PHOTO = Path(__file__).with_name("photos") / "astronaut.jpg"
PHOTO_EDITS: dict[str, dict[str, float]] = {
    "wider face": {"face_width": 1.0},
    "sharper jaw": {"jaw_sharpness": 1.0, "jaw_width": -0.6},
    "longer nose": {"nose_length": 1.0},
}
TITLES = ("photo", "points", "3D face", *PHOTO_EDITS)
_POINT, _GAP, _LABEL, _PAPER, _INK = (255, 214, 92), 8, 20, (250, 249, 246), (40, 40, 44)


def photo_panels(photo: np.ndarray | None = None) -> list[np.ndarray]:
    """The crop of a photo (by default the shipped one), its points, the head laid over it, and `PHOTO_EDITS`: pictures
    np.uint8 [512,512,3]. Raises ValueError for a photo without a face."""
    face = find_face(
        [load_picture(PHOTO) if photo is None else photo], FaceRequest("mediapipe", border="extended")
    ).face
    fit = fit_landmarks(face, own_head())
    return [face.first_picture, _with_points(face, fit), _with_head(face, fit), *_edited(face, fit)]


def photo_sheet(panels: list[np.ndarray]) -> np.ndarray:
    """The pictures with their titles in one row: np.uint8 [H,W,3]."""
    from PIL import Image, ImageDraw, ImageFont

    size = len(panels) * (CELL + _GAP) + _GAP, CELL + _LABEL + _GAP
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, (title, picture) in enumerate(zip(TITLES, panels, strict=True)):
        left = _GAP + column * (CELL + _GAP)
        pen.text((left, 3), title, fill=_INK, font=font)
        sheet.paste(Image.fromarray(enlarged(picture)), (left, _LABEL))
    return np.asarray(sheet)


def below(sheet: np.ndarray, row: np.ndarray) -> np.ndarray:
    """A row under a sheet; the narrower of the two gets paper on its right."""
    width = max(sheet.shape[1], row.shape[1])
    both = [np.full((len(part), width, 3), _PAPER, np.uint8) for part in (sheet, row)]
    for paper, part in zip(both, (sheet, row), strict=True):
        paper[:, : part.shape[1]] = part
    return np.concatenate(both)


def _with_points(face: FaceCrop, fit: LandmarkFit) -> np.ndarray:
    import cv2

    drawn = face.first_picture.copy()
    for x, y in np.rint(fit.points * 16).astype(int).tolist():
        cv2.circle(drawn, (x, y), 24, _POINT, cv2.FILLED, cv2.LINE_AA, 4)
    return drawn


def _with_head(face: FaceCrop, fit: LandmarkFit) -> np.ndarray:
    seen = fit.shape.seen
    in_crop = seen[:, :2] @ face.matrix[:, :2].T + face.matrix[:, 2]
    return draw_overlay(face.first_picture, in_crop, seen[:, 2], fit.shape.faces)


def _edited(face: FaceCrop, fit: LandmarkFit) -> list[np.ndarray]:
    before = fit.shape
    after = (edit_shape(before.vertices, values) for values in PHOTO_EDITS.values())
    return [warp_face(face, before.vertices, each, before.faces, before.seen).first_picture for each in after]
