"""Warps the picture as the 3D face was edited: every pixel of the crop is sampled where its point of skin was before.

The released weights read only the depth of the 3D face, so the picture has to change with it. The mesh's movement is
drawn with a z-buffer, so that hidden vertices do not move visible skin. Hair and background follow smoothly, less and
less towards the crop's border, which stays where it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...face.align import FaceCrop, opencv
from ..draw.raster import interpolate, rasterise
from ..mesh import check_faces
from .faceframe import checked_vertices, five_places
from .fields import ramp
from .fivepoint import Placement, lies_on, placement_by_points, placement_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

COARSER = 2
"""The movement is smooth: it is drawn at half of the crop's resolution."""

BORDER = 0.06
"""Share of the crop's side within which the movement fades to nothing at the crop's border."""

EDGE = 0.03
"""The same for the edge of the photo where it lies in the crop: otherwise it would look wavy."""

REACH = 0.35
"""How far, in shares of the crop's side, hair and background still follow: the movement falls to a third by then."""

SMOOTHING = 0.004
"""Share of the crop's side over which jumps of the movement are smoothed, as between a nose and the cheek behind."""

ROUNDS = 12  # of smoothing the continued movement, at each resolution
BLUR = 1.0  # pixels: of the second, softer crop that minified places are mixed from

OTHERS = "The other pictures of this person were not changed along with the 3D face."
ELSEWHERE = (
    "The 3D face was made from another photo, or another face in it, so it was placed in the crop by the face's five "
    "points instead of DECA's camera."
)
ESTIMATED = "The crop has no points, so the 3D face was placed in it as in a crop that is framed like the release's."


def warp_face(
    face: FaceCrop,
    before: ArrayLike,  # [V,3]
    after: ArrayLike,  # [V,3]
    faces: ArrayLike,  # [F,3]
    seen: np.ndarray | None = None,  # [V,3]
) -> FaceCrop:
    """The face's crop changed as the 3D face was: `before` is what it looked like, `after` what it should.

    Both are in metres and in one pose. seen: the place of the head in the face's photo by DECA's camera (see
    `FaceShape`). Without it, or when it is not where the face is, a camera is fitted to the face's five points.
    The crop is resampled once (bicubic, averaged where it shrinks). Without a movement the face is returned as it is,
    bit for bit. The points of the result move along. Its picture and its parsed crop are None, because those still
    show the face before the edit.

    Raises ValueError for shapes of different meshes, and what `rasterise` and the placements raise; RuntimeError
    without OpenCV.
    """
    before, after = checked_vertices(before), checked_vertices(after)
    if before.shape != after.shape:
        raise ValueError(
            f"Expected two heads of one mesh, got {len(before)} and {len(after)} vertices. Connect the shape before "
            "and the shape after the node Edit Shape."
        )
    if np.array_equal(before, after):
        return face
    faces = check_faces(faces, len(before), "The head")
    placed, notes = _placed(before, face, seen)
    edited = placed.moved(after - before)
    field = movement(placed, edited, faces, len(face.crop), _picture_corners(face))
    notes = [*([OTHERS] if face.others else []), *notes]
    return replace(
        face,
        crop=resampled(face.crop, field),
        opening=None if face.opening is None else resampled(face.opening, field),
        points=_moved_points(face, five_places(after) - five_places(before), placed),
        picture=None,
        parsed=None,
        notes=(*face.notes, *(note for note in notes if note not in face.notes)),
    )


def _placed(before: np.ndarray, face: FaceCrop, seen: np.ndarray | None) -> tuple[Placement, list[str]]:
    """The placement of the head in the crop, and notes about it."""
    if seen is not None:
        placed = placement_of(before, seen, face.matrix)
        if lies_on(placed, before, face):
            return placed, []
    notes = [] if seen is None else [ELSEWHERE]
    return placement_by_points(before, face), notes + ([ESTIMATED] if face.points is None else [])


def movement(
    before: Placement,
    after: Placement,
    faces: np.ndarray,  # [F,3]
    size: int,
    corners: np.ndarray | None = None,  # [4,2]
) -> np.ndarray:  # [size,size,2]
    """Where to fetch each pixel of the edited crop from: np.float32, pixels x and y to add.

    0 at the crop's border, outside the photo whose corners in the crop are given, and everywhere when nothing moves.
    """
    cv2 = opencv()
    side = -(-size // COARSER)
    # The centre of a coarse pixel is the middle of COARSER x COARSER fine ones.
    points = (after.points + 0.5) * (side / size) - 0.5
    index, barycentric = rasterise(points, after.depth, faces, (side, side), backfaces=False)
    known = index >= 0
    coarse = interpolate(before.points - after.points, faces, index, barycentric)
    inside = _inside(side, None if corners is None else (corners + 0.5) * (side / size) - 0.5)
    coarse *= inside[..., None]
    coarse = extended(coarse, known)
    coarse = cv2.GaussianBlur(coarse, (0, 0), SMOOTHING * side) * inside[..., None]
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)


def resampled(crop: np.ndarray, field: np.ndarray) -> np.ndarray:
    """A crop np.uint8 [S,S,3] fetched from where `movement` says: bicubic, its own pixels where nothing moves.

    Where the picture shrinks, more of its pixels count: a sample that spans m of them is mixed with a blurred
    sample so that its spread is that of a box m pixels wide.
    """
    cv2 = opencv()
    rows, columns = np.indices(field.shape[:2], np.float32)
    from_x, from_y = columns + field[..., 0], rows + field[..., 1]
    sharp = cv2.remap(crop, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    softness = shrinking(field)
    if softness.max() < 1 / 255:
        return sharp
    blurred = cv2.GaussianBlur(crop, (0, 0), BLUR)
    soft = cv2.remap(blurred, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    mixed = sharp + softness[..., None] * (soft.astype(np.float32) - sharp)
    return np.rint(mixed).astype(np.uint8)


def shrinking(field: np.ndarray) -> np.ndarray:  # [h,w,2] -> [h,w], 0..1
    """The share, at every pixel, of a picture blurred by `BLUR`: where the movement makes the picture smaller."""
    along_y, along_x = np.gradient(field, axis=(0, 1))
    # the longest step in the crop for one step in the result: the larger singular value
    a, b, c, d = 1 + along_x[..., 0], along_y[..., 0], along_x[..., 1], 1 + along_y[..., 1]
    total, product = a * a + b * b + c * c + d * d, a * d - b * c
    longest = (total + np.sqrt((total**2 - 4 * product**2).clip(0))) / 2
    return ((longest - 1) / 12 / BLUR**2).clip(0, 1).astype(np.float32)


def _inside(side: int, corners: np.ndarray | None) -> np.ndarray:  # [4,2] -> [side,side]
    """1 inside, falling smoothly to 0 at the crop's border and at the edge of the photo."""
    place = np.arange(side)
    away = np.minimum(place, place[::-1]) / (BORDER * side)
    inside = np.minimum.outer(away, away)
    if corners is not None:
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            ahead = (end - start) / np.linalg.norm(end - start).clip(1e-9)
            across = ahead[0] * (place[:, None] - start[1]) - ahead[1] * (place - start[0])
            inside = np.minimum(inside, across / (EDGE * side))
    return ramp(inside, 0, 1).astype(np.float32)


def _picture_corners(face: FaceCrop) -> np.ndarray | None:  # [4,2]
    """The corners of the photo in its crop, clockwise as seen, or None when the photo is not known."""
    if face.picture is None:
        return None
    height, width = face.picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    return corners @ face.matrix[:, :2].T + face.matrix[:, 2]


def extended(values: np.ndarray, known: np.ndarray, reach: float = REACH) -> np.ndarray:  # [h,w,2], [h,w]
    """Values continued smoothly where they are not known, to 0 at the border; reach: in shares of the width.

    The screened Laplace equation, from coarse to fine (cascadic multigrid; Bornemann and Deuflhard 1996).
    """
    cv2 = opencv()
    height, width = known.shape
    if min(height, width) <= 16:
        found = np.zeros_like(values)
    else:
        half = (width + 1) // 2, (height + 1) // 2
        share = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
        mean = cv2.resize(values * known[..., None], half, interpolation=cv2.INTER_AREA) / share.clip(1e-6)[..., None]
        found = cv2.resize(extended(mean, share > 0, reach), (width, height), interpolation=cv2.INTER_LINEAR)
    kept = 1 / (1 + (1 / (reach * width)) ** 2 / 4)
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) * np.float32(kept / 4)
    fixed = known[..., None]
    for _ in range(ROUNDS):
        found = np.where(fixed, values, cv2.filter2D(found, -1, kernel, borderType=cv2.BORDER_CONSTANT))
    return found


def _moved_points(face: FaceCrop, shifts: np.ndarray, placed: Placement) -> np.ndarray | None:
    """The face's points, in pixels of the picture, moved like the places they mark, [5,3] metres."""
    if face.points is None:
        return None
    in_crop = (shifts @ placed.linear.T)[:, :2] * (1, -1)
    in_picture = np.linalg.solve(face.matrix[:, :2], in_crop.T).T
    return (face.points + in_picture).astype(np.float32)
