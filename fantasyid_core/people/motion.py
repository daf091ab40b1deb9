"""The motion in a clip: of head, face, camera and light. Left and right are those of the picture.

Time runs from 0 to 1 over a clip, however many frames it has, so that a prompt means the same in 9 frames and in 49.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .columns import FRAME

MAX_FRAMES = 1000


def _rising(t):
    return t * t * (3 - 2 * t)


def _swing(t):
    return np.sin(2 * np.pi * t)


_Curve = Callable[[np.ndarray], np.ndarray]

# Name: what moves, from, by how much, along which curve.
HEAD_MOTIONS: dict[str, tuple[tuple[str, float, float, _Curve], ...]] = {
    "still": (),
    "turn left": (("yaw", 2, -32, _rising),),
    "turn right": (("yaw", -2, 32, _rising),),
    "turn from left to right": (("yaw", -27, 54, _rising),),
    "turn from right to left": (("yaw", 27, -54, _rising),),
    "shake": (("yaw", 0, -20, _swing),),
    "nod": (("pitch", 0, 15, _swing),),
    "look up": (("pitch", 2, -21, _rising), ("gaze_y", 0, 0.4, _rising)),
    "look down": (("pitch", -2, 20, _rising), ("gaze_y", 0, -0.4, _rising)),
    "tilt left": (("roll", 1, -19, _rising),),
    "tilt right": (("roll", -1, 19, _rising),),
}
FACE_MOTIONS: dict[str, tuple[tuple[str, float, float, _Curve], ...]] = {
    "neutral": (),
    "smile": (("smile", 0, 1, _rising), ("mouth_open", 0, 0.12, _rising)),
    "stop smiling": (("smile", 1, -1, _rising), ("mouth_open", 0.12, -0.12, _rising)),
    "open mouth": (("mouth_open", 0, 1, _rising),),
    "talk": (("mouth_open", 0.05, 0.6, lambda t: np.sin(3 * np.pi * t) ** 2),),
    "blink": (("blink", 0, 1, lambda t: np.exp(-(((t - 0.5) / 0.16) ** 2))),),
    "close eyes": (("blink", 0, 1, _rising),),
    "raise brows": (("brows_up", 0, 1, _rising),),
}
CAMERA_MOTIONS: dict[str, tuple[tuple[str, float, float, _Curve], ...]] = {
    "still": (),
    "zoom in": (("zoom", 0, 0.22, _rising),),
    "zoom out": (("zoom", 0.22, -0.22, _rising),),
}
LIGHTS: dict[str, tuple[float, float, float]] = {
    "front": (0, 12, 0),
    "left": (-58, 18, 0),
    "right": (58, 18, 0),
    "above": (0, 62, 0),
    "left to right": (-60, 20, 120),
    "right to left": (60, 20, -120),
}
"""Where the light stands: turn and rise in degrees, and by how much it turns during the clip."""


@dataclass(frozen=True)
class Motion:
    """Names from `HEAD_MOTIONS`, `FACE_MOTIONS`, `CAMERA_MOTIONS`, `LIGHTS`; Raises ValueError for others.

    reach: how far movements go, as a factor. yaw, pitch, roll: degrees added to the whole clip; zoom, shift: likewise.
    """

    head: str = "still"
    face: str = "neutral"
    camera: str = "still"
    light: str = "front"
    reach: float = 1.0
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    light_turn: float = 0.0
    light_rise: float = 0.0
    light_power: float = 1.0

    def __post_init__(self):
        for name, known in _KNOWN.items():
            if getattr(self, name) not in known:
                raise ValueError(f"Unknown {name} motion {getattr(self, name)!r}. There are: {', '.join(known)}.")

    def frames(self, count: int) -> np.ndarray:
        """The rows of the renderer, float64 [count,15], see `columns.FRAME`. ValueError unless 1 <= count <= 1000."""
        t = np.linspace(0, 1, _checked_count(count))  # one frame: the beginning
        rows = {name: np.zeros(len(t)) for name in FRAME}
        rows["yaw"] += self.yaw
        rows["pitch"] += self.pitch
        rows["roll"] += self.roll
        rows["zoom"] += self.zoom
        rows["shift_x"] += self.shift[0]
        rows["shift_y"] += self.shift[1]
        turn, rise, moved = LIGHTS[self.light]
        rows["light_turn"] += turn + self.light_turn + moved * _rising(t)
        rows["light_rise"] += rise + self.light_rise
        rows["light_power"] += self.light_power
        for name, start, by, curve in HEAD_MOTIONS[self.head] + FACE_MOTIONS[self.face] + CAMERA_MOTIONS[self.camera]:
            reach = 1.0 if name in ("blink", "zoom") else self.reach
            rows[name] += reach * (start + by * curve(t))
        rows["gaze_x"] -= 0.4 * rows["yaw"] / 30  # the eyes stay with the camera a little
        for name in ("mouth_open", "smile", "brows_up", "blink"):
            rows[name] = rows[name].clip(0, 1)
        for name in ("gaze_x", "gaze_y"):
            rows[name] = rows[name].clip(-1, 1)
        return np.stack([rows[name] for name in FRAME], axis=1)


_KNOWN = {"head": HEAD_MOTIONS, "face": FACE_MOTIONS, "camera": CAMERA_MOTIONS, "light": LIGHTS}


def frame_row(**values: float) -> np.ndarray:
    """One row of the renderer, float64 [15]: what is not given is 0, zoom and light_power 1, the light from the front.

    Raises ValueError for unknown names and NaN.
    """
    unknown = sorted(set(values) - set(FRAME))
    if unknown:
        raise ValueError(f"Unknown columns of a frame: {', '.join(unknown)}. There are: {', '.join(FRAME)}.")
    row = np.array([float(values.get(name, _RESTING.get(name, 0.0))) for name in FRAME])
    if not np.isfinite(row).all():
        raise ValueError(f"Expected finite numbers in a frame, got {values}.")
    return row


_RESTING = {"zoom": 1.0, "light_power": 1.0, "light_turn": -20.0, "light_rise": 25.0}


def sample_motion(draw) -> Motion:
    """A random motion that the prompt describes completely, because unexplained motion would hide the identity's
    effect.

    `draw` as in `people`. References vary far more, see `sample_portrait`.
    """
    head = draw.choice(tuple(HEAD_MOTIONS)) if draw.chance(0.85) else "still"
    face = draw.choice(tuple(FACE_MOTIONS)) if draw.chance(0.7) else "neutral"
    camera = draw.choice(("zoom in", "zoom out")) if draw.chance(0.12) else "still"
    light = draw.choice(tuple(LIGHTS)[:4]) if draw.chance(0.9) else draw.choice(tuple(LIGHTS)[4:])
    return Motion(head=head, face=face, camera=camera, light=light, zoom=1.01 if camera == "still" else 0.95)


def sample_portrait(draw) -> np.ndarray:
    """One frame [15] as a reference picture may show it: any pose, expression and light, unrelated to any clip."""
    smiling, speaking = draw.chance(0.45), draw.chance(0.25)
    turn, rise, _ = LIGHTS[draw.choice(tuple(LIGHTS)[:4])]
    return frame_row(
        yaw=draw(-32, 32),
        pitch=draw(-12, 12),
        roll=draw(-10, 10),
        mouth_open=draw(0.1, 0.7) if speaking else 0.0,
        smile=draw(0.3, 1.0) if smiling else 0.0,
        brows_up=draw(0.3, 1.0) if draw.chance(0.2) else 0.0,
        gaze_x=draw(-0.4, 0.4),
        gaze_y=draw(-0.2, 0.2),
        light_turn=turn + draw(-15, 15),
        light_rise=rise + draw(-8, 10),
        light_power=draw(0.9, 1.1),
        zoom=draw(0.95, 1.12),
        shift_x=draw(-0.03, 0.03),
        shift_y=draw(-0.02, 0.03),
    )


def _checked_count(count: int) -> int:
    try:
        number = operator.index(count)
    except TypeError:
        number = 0
    if not 1 <= number <= MAX_FRAMES:
        raise ValueError(f"Expected 1 to {MAX_FRAMES} frames (9, 13, 17 or 49 for training), got {count!r}.")
    return number
