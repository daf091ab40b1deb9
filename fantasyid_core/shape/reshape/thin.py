"""A first working path: each frame by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...face.align import crop_face, opencv
from ...face.choose import choose_face
from ...face.landmarks import landmarked_faces
from ...files.pixels import as_uint8
from ...running.progress import ask
from ..edit.edit import edit_shape
from ..edit.warp import warp_face
from ..reconstruct.landmark_fit import POINTS, fit_points, mean_head_of
from .report import NO_FACE, PersonReport, ReshapedFrame, ReshapeReport
from .settings import PersonEdit


def thin_frames(frames, edit, topology, strength, settings, count, report) -> Iterator[ReshapedFrame]:
    people = edit if isinstance(edit, Sequence) and edit and isinstance(edit[0], PersonEdit) else [edit]
    people = [each if isinstance(each, PersonEdit) else PersonEdit(each) for each in people]
    report = ReshapeReport() if report is None else report
    report.people = [PersonReport() for _ in people]
    head, total = mean_head_of(topology), count or (len(frames) if hasattr(frames, "__len__") else None)
    for number, frame in enumerate(frames):
        ask()
        now = _at(strength, number, total)
        done = _one(frame, [(person, now * _at(person.strength, number, total)) for person in people], head, report)
        report.frames += 1
        report.treated += bool(done.mask.any())
        yield done


def _at(strength, number: int, total: int | None) -> float:
    if callable(strength):
        return float(strength(number / max(1, (total or 1) - 1)))
    return float(strength[min(number, len(strength) - 1)] if isinstance(strength, Sequence) else strength)


def _one(frame: np.ndarray, people, head, report) -> ReshapedFrame:
    cv2 = opencv()
    picture, mask = as_uint8(frame, "The frame"), np.zeros(frame.shape[:2], np.float32)
    note = ""
    for (person, strength), told in zip(people, report.people, strict=True):
        if not person.edit or not strength:
            continue
        faces = landmarked_faces(picture)
        if not faces:
            told.passed[NO_FACE] += 1
            note = f"The frame is as it came: {NO_FACE}."
            continue
        found = [_Boxed(face) for face in faces]
        face = choose_face(found, person.how, min(person.number, len(found) - 1), frame.shape[1::-1]).face
        crop = crop_face(picture, np.clip(face.five, 0, np.array(frame.shape[1::-1]) - 1))
        points = face.points[:POINTS].astype(np.float64)
        scale = np.sqrt(np.linalg.det(crop.matrix[:, :2]))
        flat = points[:, :2] @ crop.matrix[:, :2].T + crop.matrix[:, 2]
        fit = fit_points(crop, np.column_stack([flat, points[:, 2] * scale]), head, 0.5, "neutral")
        before = fit.shape.vertices.numpy().astype(np.float64)
        after = edit_shape(before, person.edit) if isinstance(person.edit, (str, dict)) else person.edit[1]
        after = before + strength * (np.asarray(after) - before)
        warped = warp_face(crop, before, after, head.faces, fit.shape.seen).crop
        soft = np.zeros(warped.shape[:2], np.float32)
        soft[16:-16, 16:-16] = 1
        soft = cv2.GaussianBlur(soft, (0, 0), 8)
        size = frame.shape[1::-1]
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC
        back = cv2.warpAffine(warped, cv2.invertAffineTransform(crop.matrix), size, flags=flags ^ cv2.WARP_INVERSE_MAP)
        share = cv2.warpAffine(soft, cv2.invertAffineTransform(crop.matrix), size)
        picture = np.rint(picture + share[..., None] * (back.astype(np.float32) - picture)).astype(np.uint8)
        mask = np.maximum(mask, share)
        told.treated += 1
    if not mask.any():
        return ReshapedFrame(frame, mask, note)
    return ReshapedFrame(picture if frame.dtype == np.uint8 else (picture / 255).astype(frame.dtype), mask, note)


class _Boxed:
    """A landmarked face as `choose_face` takes faces."""

    def __init__(self, face):
        self.face, self.box, self.points, self.score = face, face.box, face.five, face.score
        self.area = float(np.prod(face.box[2:] - face.box[:2]))
        self.centre = (face.box[:2] + face.box[2:]) / 2
