"""Videos of painted faces, and a detector that sees these alone: for tests of the data preparation.

A face is a texture in a magenta rim with a cyan nose; where the nose lies tells the yaw.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fantasyid_core.face.align import TEMPLATE
from fantasyid_core.face.detectors.detect import face_from_points
from fantasyid_core.training.data.finding import find_videos
from fantasyid_core.training.data.run import prepare
from fantasyid_core.training.data.settings import PrepareSettings
from fantasyid_core.training.data.tools import Tools
from fantasyid_core.training.data.video import prepare_video
from fantasyid_core.videofile import save_video

HEIGHT, WIDTH, SIDE = 160, 240, 64
RIM, NOSE = (255, 0, 255), (0, 255, 255)
GREY = (110, 120, 130)
TEXT = (255, 255, 0)
"""Colour of what the stand-in for a text detector takes for text."""
SETTINGS = PrepareSettings(
    frames=9, height=96, width=144, min_face=30, min_sharpness=5, min_light=20, crop=64, text="none", shape="none"
)

FOLDER_SETTINGS = replace(SETTINGS, shape="sidecar", vertices=642)
CLIP = 27
"""Frames of a video at 24 per second, for one clip of 9 at 8."""


def texture(seed: int, level: float = 1.0) -> np.ndarray:
    """A face of its own colours, np.uint8 [64,64,3]."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(20, 160, (16, 16, 3)).repeat(4, axis=0).repeat(4, axis=1)
    return (blocks * 0.5 * level + rng.integers(20, 200, 3) * 0.5 * level).astype(np.uint8)


def picture(*faces, background=GREY, height=HEIGHT, width=WIDTH) -> np.ndarray:
    """faces: (x, y, yaw, texture [S,S,3]) each, x, y its upper left corner and yaw -1..1."""
    canvas = np.full((height, width, 3), background, np.uint8)
    for x, y, yaw, inside in faces:
        side = len(inside)
        canvas[y : y + side, x : x + side] = inside
        canvas[y : y + side, x : x + side][_rim(side)] = RIM
        column, row = x + round(side * (0.5 + 0.2 * yaw)), y + round(side * 0.6)
        canvas[row - 4 : row + 4, column - 4 : column + 4] = NOSE
    return canvas


def walk(count: int, inside: np.ndarray, start: int = 0, background=GREY) -> list[np.ndarray]:
    """Pictures of a face that walks to and fro and turns from left to right."""
    yaws = np.linspace(-1, 1, count)
    places = [60 + round(30 * np.sin((start + t) / 20)) for t in range(count)]
    return [picture((x, 40, yaw, inside), background=background) for x, yaw in zip(places, yaws, strict=True)]


def write(path, pictures, fps=24):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_video(np.stack(pictures), path, fps, crf=4)
    return path


def find(image: np.ndarray) -> list:
    """The painted faces; larger ones are surer: 0.95 from 40 pixels on, else 0.7."""
    import cv2

    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    rims = ((red > 170) & (green < 110) & (blue > 170)).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(rims, connectivity=8)
    noses = (red < 110) & (green > 170) & (blue > 170)
    faces = []
    for x, y, width, height, _ in boxes[1:]:
        rows, columns = np.nonzero(noses[y : y + height, x : x + width])
        if min(width, height) < 12 or not len(rows):
            continue
        points = (TEMPLATE - 128) / 256 * (width, height) + (x, y)
        points[2, 0] = x + columns.mean()
        box = [x, y, x + width - 1, y + height - 1]
        faces.append(face_from_points(image, points, box, 0.95 if width >= 40 else 0.7, "painted"))
    return faces


def painted_tools(settings: PrepareSettings, **others) -> Tools:
    return Tools(find, settings.confidence or 0.9, names={"detector": "painted"}, **others)


def _rim(side: int) -> np.ndarray:
    away = np.minimum(np.arange(side), np.arange(side)[::-1])
    return np.minimum(away[:, None], away) < 4


def write_folder(folder: Path) -> Path:
    """Four videos with 1, 2, 1 and 1 clips, and four that give none; all but one have captions."""
    from fantasyid_core.shape import save_shape, synthetic_head

    vertices = synthetic_head(3)[0]
    for name, seed, count in (("a", 1, CLIP), ("b", 2, 2 * CLIP), ("sub/c", 3, CLIP), ("d", 4, CLIP)):
        path = write(folder / f"{name}.mp4", walk(count, texture(seed)))
        save_shape(vertices, path.with_suffix(".npy"))
        path.with_suffix(".txt").write_text(f"person {seed}")
    (folder / "d.txt").unlink()
    (folder / "empty.mp4").touch()
    (folder / "junk.avi").write_bytes(b"RIFF" + bytes(3000))
    write(folder / "nobody.mp4", [picture()] * CLIP)
    write(folder / "brief.mp4", walk(6, texture(1)))
    return folder


def prepare_folder(videos, out, settings=FOLDER_SETTINGS, make_tools=painted_tools, **options) -> dict:
    return prepare(videos, out, settings, make_tools, **options)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder: its content's digest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def hanging_tools(marks: str, settings: PrepareSettings) -> Tools:
    """Tools that leave a file named after the process, and take a minute."""

    def hang(image):
        (Path(marks) / str(os.getpid())).touch()
        time.sleep(60)

    return Tools(hang, 0.9)


def dying_tools(settings: PrepareSettings) -> Tools:
    """Tools that end the process as a lack of memory does."""
    return Tools(lambda image: os._exit(9), 0.9)


FRAMES = 27  # of the source, for one clip of 9


def cut(tmp_path, pictures, settings=SETTINGS, tools=None, fps=24):
    """The state of a video of these pictures, or of one that is there already."""
    if pictures is not None:
        write(tmp_path / "in" / "v.mp4", pictures, fps)
    (video,) = find_videos(tmp_path / "in")
    return prepare_video(video, tmp_path / "out", settings, tools or painted_tools(settings), "f")


def faults(state):
    return [fault["kind"] for fault in state["rejected"]]


def tinted(red, green, blue):
    return (texture(1).mean(axis=2, keepdims=True) * 0.5 + np.array([red, green, blue])).astype(np.uint8)
