"""One head for a whole clip, and where it lies in each frame.

The head is fitted as one to a photo (`reconstruct.landmark_fit`), but to the points of many frames at once: what they
agree on is the person, what differs is expression. The edit's displacement is made for this head once. In a frame the
head is placed by all points, and its skin is then moved onto them, so that an open mouth or a raised brow is edited
where it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..edit.fields import ramp
from ..reconstruct.calibration import load_turning
from ..reconstruct.landmark_fit import LIKENESS, POINTS, SHARES, MeanHead
from ..reconstruct.placing import Pose, pose_of

FRONTAL = 30.0  # degrees of yaw up to which a frame tells what the person looks like
TURNED_FROM, TURNED_TO = 45.0, 65.0  # degrees of yaw between which a frame stops telling about the person
UNSURE = 9.0  # degrees of yaw that a millimetre of the points' distance from the head counts as
FADES_FROM, FADES_TO = 66.0, 80.0  # degrees, with these, between which the edit fades out
FEWEST = 4  # frames from the front; with less, all frames count


@dataclass(frozen=True, eq=False)
class ClipHead:
    """head: the mean head. vertices: [V,3] of this person, neutral, in metres. wanted: [468,3] millimetres, where the
    points are seen on average. values: of the sliders, name -> (left, right)."""

    head: MeanHead
    vertices: np.ndarray
    wanted: np.ndarray
    values: dict[str, tuple[float, float]]

    @property
    def upright(self) -> np.ndarray:
        return self.head.millimetres(self.vertices)

    def placed(self, points: np.ndarray) -> Lying:  # [478,3]
        """The head in a frame. Raises ValueError for points at one place."""
        seen, known = as_seen(points), self.head.calibration
        pose = pose_of(seen, self.wanted, known.rigid)
        lying = pose.seen(self.upright)
        # In the picture, where depth has no say: what of a habit is depth would move points of a turned head.
        expected = pose.seen(known.places(self.upright) + known.habit * (1, 1, 0))
        expected[:, :2] += pose.scale * np.tensordot(pose.sines, load_turning(), 1) @ pose.level.T
        lying[:, :2] += self.head.carried((seen - expected)[:, :2])
        away = np.linalg.norm(pose.upright(seen) - self.wanted, axis=1)
        return Lying(pose, lying * (1, -1, 1), float(away @ known.rigid / known.rigid.sum()))


@dataclass(frozen=True, eq=False)
class Lying:
    """A head in a picture. vertices: [V,3] in its pixels, x right, y down, z to the viewer. off: mean distance of the
    points from where the head has them, in millimetres: of a profile the points are guesses, whose yaw is too small."""

    pose: Pose
    vertices: np.ndarray
    off: float

    @property
    def share(self) -> float:
        """Of the edit, as far as the head's turn lets it be seen, 0..1."""
        return float(ramp(np.float64(abs(self.pose.yaw) + UNSURE * self.off), FADES_TO, FADES_FROM))

    def moved(self, displacement: np.ndarray) -> np.ndarray:  # [V,3] metres -> [V,3]
        """Where the vertices lie once they are displaced along the upright head's axes."""
        return self.vertices + 1000 * self.pose.scale * displacement @ self.pose.rotation.T * (1, -1, 1)


def as_seen(points: np.ndarray) -> np.ndarray:  # [478,3] -> [468,3]
    """MediaPipe's points with y up and z to the viewer."""
    return np.asarray(points[:POINTS], np.float64) * (1, -1, -1)


def clip_head(several: list[np.ndarray], head: MeanHead) -> ClipHead:  # [478,3] each
    """The head of the person with these points in several frames. Raises ValueError when no frame shows a face."""
    known, upright, yaws = head.calibration, [], []
    for points in several:
        seen = as_seen(points)
        try:
            pose = pose_of(seen, known.mean, known.rigid)
        except ValueError:
            continue
        upright.append(pose.upright(seen))
        yaws.append(abs(pose.yaw))
    if not upright:
        raise ValueError("Expected points of a face in at least one frame, got none.")
    frontal = np.array(yaws) < FRONTAL
    if frontal.sum() < min(FEWEST, len(yaws)):
        frontal = np.array(yaws) <= np.sort(yaws)[min(FEWEST, len(yaws)) - 1]
    mean = np.median(np.stack(upright)[frontal], axis=0)
    return _fitted(mean, float(np.median(np.array(yaws)[frontal])), head)


def _fitted(seen: np.ndarray, yaw: float, head: MeanHead) -> ClipHead:  # [468,3] upright millimetres
    from ..edit.controls import face_controls

    known, away = head.calibration, seen - head.calibration.mean
    told = away[:, :2].reshape(-1) @ known.matrix + known.constant
    fading = float(ramp(np.float64(yaw), TURNED_TO, FRONTAL))
    values = {name: (fading * value,) * 2 for name, value in zip(known.names, told.clip(-1, 1), strict=True)}
    shaped = head.millimetres(head.template + face_controls(head.template).displacement(values))
    rest = seen - known.places(shaped) - known.habit
    made = shaped + LIKENESS * fading * head.carried(rest) * SHARES
    return ClipHead(head, head.middle + made / 1000, seen, values)
