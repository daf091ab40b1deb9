"""Measures sharpness, brightness, size and motion of a clip's face, and checks them against the settings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...face.align import opencv
from .reading import Frame
from .settings import PrepareSettings
from .tools import Tools
from .tracking import Fault, Track

SIDE = 128  # pixels at which sharpness is measured, so that it means the same for faces of all sizes
TEXT_LOOKS = 4  # frames of a clip in which subtitles are looked for


def measure(frames: Sequence[Frame], track: Track, settings: PrepareSettings) -> dict[str, float]:
    """face: least shorter side of the box, pixels. score: the least. sharpness: median variance of the Laplacian of
    the grey face at 128 x 128. light: mean grey of the face, 0..255. motion: mean flow in the face, pixels per frame,
    only when a least one is asked for."""
    greys = [face_grey(frames[place].picture, face.box) for place, face in sorted(track.found.items())]
    sides = track.boxes[:, 2:] - track.boxes[:, :2]
    measures = {
        "face": float(sides.min()),
        "score": float(track.scores.min()),
        "sharpness": float(np.median([sharpness(grey) for grey in greys])),
        "light": float(np.mean([grey.mean() for grey in greys])),
    }
    if settings.min_motion > 0:
        from ...evaluation.motion import face_motion

        measures["motion"] = face_motion(np.stack([frame.picture for frame in frames]), list(track.boxes))
    return {name: round(value, 4) for name, value in measures.items()}


def find_fault(
    frames: Sequence[Frame], measures: dict[str, float], settings: PrepareSettings, tools: Tools
) -> Fault | None:
    """The first requirement that a whole clip misses, or None."""
    checks = (
        ("small face", "face", settings.min_face, None, "pixels"),
        ("blurred", "sharpness", settings.min_sharpness, None, "of sharpness"),
        ("dark", "light", settings.min_light, None, "of 255"),
        ("bright", "light", None, settings.max_light, "of 255"),
        ("still", "motion", settings.min_motion, None, "pixels of motion per frame"),
    )
    last = frames[-1].number
    for kind, name, least, most, unit in checks:
        value = measures.get(name)
        if value is not None and least is not None and value < least:
            return Fault(kind, f"{value:.4g} {unit}, fewer than {least:g}", last)
        if value is not None and most is not None and value > most:
            return Fault(kind, f"{value:.4g} {unit}, more than {most:g}", last)
    return _text_fault(frames, settings, tools)


def face_grey(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The face's box (x0, y0, x1, y1) of a picture as np.uint8 [128,128]."""
    cv2 = opencv()
    x0, y0, x1, y1 = box.round().astype(int)
    face = picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    reduced = face.shape[0] > SIDE
    grey = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA if reduced else cv2.INTER_LINEAR)


def sharpness(grey: np.ndarray) -> float:
    """The variance of the Laplacian of a grey picture (Pech-Pacheco et al., 2000); a blurred one has little."""
    return float(opencv().Laplacian(grey, opencv().CV_64F).var())


def _text_fault(frames: Sequence[Frame], settings: PrepareSettings, tools: Tools) -> Fault | None:
    if tools.text is None:
        return None
    for place in np.linspace(len(frames) - 1, 0, TEXT_LOOKS).round().astype(int):
        share = tools.text.share(frames[place].picture)
        if share > settings.text_area:
            frame = frames[place]
            return Fault("text", f"text on {share:.1%} of the picture at {frame.time:.2f} s", frame.number)
    return None
