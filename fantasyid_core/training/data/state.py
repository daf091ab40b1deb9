"""The state of a finished video, in one file that is written last: without it, the video's other files do not count."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ...files.writing import write_aside
from .finding import Video

CLIPS, STATES, SHEETS = "clips", "state", "sheets"
"""Folders of the output."""


def read_state(folder: Path, video: Video, fingerprint: str) -> dict | None:
    """The state of a video that was finished with the same settings, or None: also when the video or one of the files
    that were made of it has changed."""
    try:
        state = json.loads(_path(folder, video).read_text(encoding="utf-8"))
        same = (state["fingerprint"], state["stamp"], state["video"]) == (fingerprint, video.stamp, video.relative)
        files = state["files"]
        whole = same and all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # absent, or not written by this program
        return None
    return state if whole else None


def write_state(folder: Path, video: Video, fingerprint: str, result: dict) -> dict:
    """Writes the state of a video and returns it as `read_state` does. Raises OSError when it cannot be written."""
    below = folder / CLIPS / video.name
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(below.rglob("*"))}
    about = {"fingerprint": fingerprint, "stamp": video.stamp, "video": video.relative, "files": files}
    text = json.dumps(about | result, ensure_ascii=False, indent=1)
    with write_aside(_path(folder, video)) as aside:
        aside.write_text(text, encoding="utf-8", errors="surrogateescape")
    return json.loads(text)


def clear(folder: Path, video: Video) -> Path:
    """Removes what an interrupted or earlier run made of a video; returns the empty folder for its clips."""
    _path(folder, video).unlink(missing_ok=True)
    below = folder / CLIPS / video.name
    shutil.rmtree(below, ignore_errors=True)
    return below


def _path(folder: Path, video: Video) -> Path:
    return folder / STATES / f"{video.name}.json"
