"""The settings of the data preparation: how clips are cut, and what they must fulfil."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from ...options import AUTO, FORMER_DETECTORS, NAMED_DETECTORS

VERSION = 1  # of what is made of a video; states of another one are made again
OF_THE_RUN = ("workers", "shard", "strict", "captions", "sheet_clips")
"""Settings that change nothing about a single clip."""


@dataclass(frozen=True)
class PrepareSettings:
    """How videos are cut into clips, and which clips are kept.

    frames, fps, height, width: of a clip; the model's. Videos are cut to this shape around the face, and scaled down
    to it, never up. max_side: pixels along the longer side at which videos are read.
    detector: one of `options.DETECTORS` or `FORMER_DETECTORS`, not none. models: folders like ComfyUI's models. every:
    each how many frames faces are looked for; between, they are interpolated. detect_side: pixels along the longer side
    at which they are looked for. confidence: least score of the face, None for the detector's own (`tools.CONFIDENCE`).
    rival: share of the main face's area from which another face counts as a second person.
    min_face: pixels along the shorter side of the face's box. min_sharpness: variance of the Laplacian of the face at
    128 x 128 pixels. min_light, max_light: mean grey of the face, 0..255 (wide, so that no skin
    is too dark or too light in usual light). min_motion: mean optical flow in the face,
    pixels per frame (`evaluation.motion`), 0 for none.
    text: "auto" looks for subtitles when a reader is there, "easyocr" or "opencv" insist, "none" does not look.
    text_model: ONNX file of a DB text network, for OpenCV. text_area: share of the picture that text may cover.
    views: how many most different head poses are kept. view_from: "clip", or "video" for the same person's clips of
    the video (needs ArcFace). crop: pixels along the side of a view.
    vertices: of the adapter's mesh. shape: "auto" takes a 3D face beside the video, else DECA and FLAME when they are
    found, else a fit to landmarks; "sidecar" only the first; "none" neither. deca, flame: their files.
    workers: processes. shard: clips in a file of the index. strict: captions that do not match are an error. captions:
    file for the whole folder, else captions.csv or captions.jsonl in it. sheet_clips: pictures in contact sheets.

    Raises ValueError for values out of range.
    """

    frames: int = 49
    fps: float = 8.0
    height: int = 480
    width: int = 720
    max_side: int = 1280
    detector: str = "auto"
    models: tuple[str, ...] = ()
    every: int = 4
    detect_side: int = 640
    confidence: float | None = None
    rival: float = 0.25
    min_face: int = 80
    min_sharpness: float = 50.0
    min_light: float = 25.0
    max_light: float = 235.0
    min_motion: float = 0.0
    text: str = "auto"
    text_model: str | None = None
    text_area: float = 0.004
    views: int = 6
    view_from: str = "clip"
    crop: int = 512
    vertices: int = 5023
    shape: str = "auto"
    deca: str | None = None
    flame: str | None = None
    workers: int = 1
    shard: int = 1000
    strict: bool = False
    captions: str | None = None
    sheet_clips: int = 200

    def __post_init__(self):
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value}.")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}.")
        if self.height % 2 or self.width % 2:
            raise ValueError(f"Expected an even height and width, as videos have, got {self.height} x {self.width}.")
        if self.text == "opencv" and not self.text_model:
            raise ValueError("text 'opencv' needs text_model, the ONNX file of a DB text network. Give its path.")

    def fingerprint(self, names: dict[str, str]) -> str:
        """Changes with whatever changes clips. names: of the networks that were found (`Tools.names`)."""
        kept = {name: value for name, value in asdict(self).items() if name not in OF_THE_RUN}
        return hashlib.sha256(json.dumps([VERSION, kept, names], sort_keys=True).encode()).hexdigest()[:16]


_RANGES = {
    "frames": (2, 10_000),
    "fps": (0.1, 1000),
    "height": (16, 4096),
    "width": (16, 4096),
    "max_side": (64, 8192),
    "every": (1, 1000),
    "detect_side": (64, 4096),
    "confidence": (0, 1),
    "rival": (0, 1),
    "min_face": (1, 4096),
    "min_sharpness": (0, 1e6),
    "min_light": (0, 255),
    "max_light": (0, 255),
    "min_motion": (0, 1000),
    "text_area": (0, 1),
    "views": (1, 100),
    "crop": (16, 4096),
    "vertices": (1, 10_000_000),
    "workers": (1, 1024),
    "shard": (1, 10_000_000),
    "sheet_clips": (0, 100_000),
}
_CHOICES = {
    "detector": (AUTO, *NAMED_DETECTORS, *FORMER_DETECTORS),
    "text": ("auto", "easyocr", "opencv", "none"),
    "view_from": ("clip", "video"),
    "shape": ("auto", "sidecar", "none"),
}
