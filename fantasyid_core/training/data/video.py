"""Prepares one video: reads it, cuts it into scenes and clips, checks the clips, and writes the good ones."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...face.cuts import CutDetector
from ...files.writing import write_aside
from ...videofile import save_video
from .filters import find_fault, measure
from .finding import Video
from .reading import Frame, Unreadable, read_frames
from .settings import PrepareSettings
from .shapes import make_shape, read_sidecar, write_shape
from .sheets import draw_strip
from .state import clear, write_state
from .tools import Tools
from .tracking import Fault, Track, Tracker
from .views import View, choose_views, share_views
from .window import Window, window_around

SHOWN_FAULTS = 12  # clips that are not taken, of one video, in the contact sheets
JPEG = {"quality": 95, "subsampling": 0}


class Good(NamedTuple):
    """A clip that passes."""

    frames: list[Frame]
    track: Track
    window: Window
    measures: dict[str, float]
    views: list[View]


def prepare_video(video: Video, folder: Path, settings: PrepareSettings, tools: Tools, fingerprint: str) -> dict:
    """Makes the clips of one video below `folder` and returns its state, see `state.write_state`.

    The state's `skipped` says why a video gives no clips, else null; `clips` are rows of the index but for captions;
    `rejected` are the stretches that were not taken, each with kind, detail, and the seconds from and to.
    Raises OSError when something cannot be written.
    """
    return write_state(folder, video, fingerprint, _Cutter(video, folder, settings, tools).run())


class _Cutter:
    def __init__(self, video: Video, folder: Path, settings: PrepareSettings, tools: Tools):
        self._video, self._folder, self._settings, self._tools = video, folder, settings, tools
        self._below = clear(folder, video)
        self._tracker = Tracker(tools, settings)
        self._shape, problem = read_sidecar(video, settings)
        self._clips: list[dict] = []
        self._rejected: list[dict] = []
        self._problems = [problem] if problem else []

    def run(self) -> dict:
        skipped = None
        try:
            self._read()
        except Unreadable as error:
            clear(self._folder, self._video)
            self._clips, self._rejected, skipped = [], [], str(error)
        if self._settings.view_from == "video":
            share_views(self._clips, self._settings.views)
        rows = [{name: value for name, value in clip.items() if name[0] != "_"} for clip in self._clips]
        problems = sorted(set(self._problems))
        return {"skipped": skipped, "clips": rows, "rejected": self._rejected, "problems": problems}

    def _read(self) -> None:
        """Clips of the model's length one after the other; behind a fault the next one begins."""
        waiting: list[Frame] = []
        cut, used = CutDetector(), False  # used: whether frames of this scene were judged already
        for frame in read_frames(self._video.path, self._settings.fps, self._settings.max_side):
            resized = bool(waiting) and waiting[-1].picture.shape != frame.picture.shape
            if cut(frame.picture) or frame.fresh or resized:
                self._too_short(waiting, used)
                waiting, used = [], False
            waiting.append(frame)
            if len(waiting) == self._settings.frames:
                waiting, used = self._take(waiting), True
        self._too_short(waiting, used)

    def _too_short(self, frames: list[Frame], used: bool) -> None:
        if frames and not used:
            need = self._settings.frames
            self._reject(frames, Fault("short scene", f"{len(frames)} frames, {need} are needed", frames[-1].number))

    def _take(self, frames: list[Frame]) -> list[Frame]:
        """Writes a clip if it is good; returns the frames from which on the next one is to be cut."""
        judged = self._judge(frames)
        if isinstance(judged, Fault):
            left = [frame for frame in frames if frame.number > judged.last]
            self._reject(frames[: len(frames) - len(left)] or frames, judged)
            return left
        self._clips.append(self._write(judged, f"{len(self._clips):04d}"))
        return []

    def _judge(self, frames: list[Frame]) -> Good | Fault:
        settings = self._settings
        track = self._tracker.follow(frames)
        if isinstance(track, Fault):
            return track
        measures = measure(frames, track, settings)
        if fault := find_fault(frames, measures, settings, self._tools):
            return fault
        shape = settings.height, settings.width
        window = window_around(track.boxes, frames[0].picture.shape[:2], shape)
        if window is None:
            return Fault("cut off", f"the face leaves {shape[1]} x {shape[0]} pixels", frames[-1].number)
        views = choose_views(frames, track, settings, self._tools.likeness)
        return views if isinstance(views, Fault) else Good(frames, track, window, measures, views)

    def _reject(self, frames: list[Frame], fault: Fault) -> None:
        strip = None
        if len(self._rejected) < SHOWN_FAULTS:
            strip = self._picture(draw_strip([frame.picture for frame in frames]), f"fault-{len(self._rejected):04d}")
        times = {"from": round(frames[0].time, 3), "to": round(frames[-1].time, 3)}
        self._rejected.append({"kind": fault.kind, "detail": fault.detail, **times, "strip": strip})

    def _write(self, good: Good, number: str) -> dict:
        """The files of a clip, and its row but for the caption."""
        pictures = np.stack([good.window.cut(frame.picture) for frame in good.frames])
        boxes = good.window.moved(good.track.boxes.reshape(-1, 2, 2))
        path = self._below / f"{number}.mp4"
        save_video(pictures, path, self._settings.fps)
        track = self._write_track(good, number)
        crops = [self._picture(view.face.crop, f"{number}-view-{place}") for place, view in enumerate(good.views)]
        own = min(range(len(good.views)), key=lambda place: good.views[place].place)
        row = {
            "name": f"{self._video.name}/{number}",
            "video": self._named(path),
            "start": 0,
            "frames": len(good.frames),
            "step": 1,
            "references": crops,
            "own_crop": crops[own],
            "vertices": self._write_shape(good, number),
            "faces": track,
            "source": self._video.relative,
            "seconds": round(good.frames[0].time, 3),
            **good.measures,
            "strip": self._picture(draw_strip(pictures, boxes, good.views), f"{number}-strip"),
            "_poses": [view.pose for view in good.views],
        }
        vectors = [view.vector for view in good.views if view.vector is not None]
        mean = np.mean(vectors, axis=0) if vectors else np.zeros(1)
        return row | {"_vector": mean / max(np.linalg.norm(mean), 1e-9)}

    def _write_track(self, good: Good, number: str) -> str:
        track, path = good.track, self._below / f"{number}-faces.npz"
        seen = np.isin(np.arange(len(good.frames)), list(track.found))
        arrays = {"points": good.window.moved(track.points), "scores": track.scores, "poses": track.poses, "seen": seen}
        boxes = good.window.moved(track.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        with write_aside(path) as aside:
            np.savez(aside, boxes=boxes, **arrays)
        return self._named(path)

    def _write_shape(self, good: Good, number: str) -> str | None:
        if self._shape is not None:
            path = self._below / "shape.npy"
            return self._named(path if path.exists() else write_shape(self._shape, path))
        vertices, problem = make_shape(good.views[0].face, self._tools)
        if problem:
            self._problems.append(problem)
        return None if vertices is None else self._named(write_shape(vertices, self._below / f"{number}-shape.npy"))

    def _picture(self, picture: np.ndarray, name: str) -> str:
        from PIL import Image

        path = self._below / f"{name}.jpg"
        with write_aside(path) as aside:
            Image.fromarray(picture).save(aside, "JPEG", **JPEG)
        return self._named(path)

    def _named(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
