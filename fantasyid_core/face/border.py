"""The border of a crop outside its photo: grey, as in training, or a blurred continuation of the photo's edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..options import BORDERS, GREY
from .align import OUTSIDE_GREY, FaceCrop, opencv
from .framing import share_outside

BLURS = 0.01, 0.03, 0.08  # shares of the crop's side: the farther from the photo, the softer
NOTED = 0.1

CARRIED_ON = (
    "{share:.0%} of the crop lies outside the picture: in the video's first picture the edge is carried on there. The "
    "identity is read from the crop with grey, as the model was trained."
)


def with_border(face: FaceCrop, border: str = GREY) -> FaceCrop:
    """The crop with this border: "extended" adds an `opening`, for the video's first picture, in which the photo's edge
    goes on, softer and softer; "grey" changes nothing. The crop itself, from which the identity is read, stays.

    Raises ValueError for another border.
    """
    if border not in BORDERS:
        raise ValueError(f"Expected a border among {', '.join(BORDERS)}, got {border!r}.")
    if border == GREY or face.picture is None:
        return face
    share = share_outside(face.matrix, len(face.crop), face.picture.shape[1::-1])
    if share == 0:
        return face
    notes = tuple(note for note in face.notes if OUTSIDE_GREY not in note)
    notes += (CARRIED_ON.format(share=share),) if share > NOTED else ()
    return replace(face, opening=_extended(face), notes=notes)


def _extended(face: FaceCrop) -> np.ndarray:  # [S,S,3]
    cv2 = opencv()
    size = len(face.crop)
    height, width = face.picture.shape[:2]
    rows, columns = np.indices((size, size), np.float32)
    places = np.stack([columns, rows], axis=-1) - face.matrix[:, 2].astype(np.float32)
    in_photo = places @ np.linalg.inv(face.matrix[:, :2]).T.astype(np.float32)
    # Half a pixel of the crop inside the photo, where no grey is mixed in.
    scale = float(np.sqrt(abs(np.linalg.det(face.matrix[:, :2]))))
    rim = max(0.5, 0.5 / scale)
    limits = np.array([width, height], np.float32) - 1
    nearest = np.clip(in_photo, np.minimum(rim, limits / 2), np.maximum(limits - rim, limits / 2))
    back = (nearest @ face.matrix[:, :2].T + face.matrix[:, 2]).astype(np.float32)
    filled = cv2.remap(face.crop, back[..., 0], back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outside = np.linalg.norm(back - np.stack([columns, rows], axis=-1), axis=-1)
    soft = filled.astype(np.float32)
    for share in BLURS:
        sigma = share * size
        blurred = cv2.GaussianBlur(filled, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE).astype(np.float32)
        weight = np.clip(outside / (2 * sigma), 0, 1)[..., None]
        soft += weight * (blurred - soft)
    inside = (outside == 0)[..., None]
    return np.where(inside, face.crop, np.rint(soft).clip(0, 255).astype(np.uint8))
