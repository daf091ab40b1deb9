"""The videos of a folder, each with a name of its own that files can have."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from ...files.filekind import VIDEO_SUFFIXES
from ...modelfiles import files_below

SHAPES = (".ply", ".npy", ".obj", ".glb")


class Video(NamedTuple):
    """path: where it is. relative: to the folder that was searched, with slashes. name: letters, digits and a digest
    of `relative`, unique in the folder. shape: a 3D face of the same name beside it, or None. stamp: names, sizes and
    times of these files when they were found, by which changed ones are told."""

    path: Path
    relative: str
    name: str
    shape: Path | None
    stamp: str


def find_videos(folder: Path, apart: Path | None = None) -> list[Video]:
    """All videos below `folder`, in the order of their relative paths; hidden ones and those below `apart` are left
    out (the output, when it lies in the folder). A single video file is taken too.

    Raises FileNotFoundError for a missing folder, ValueError for one without videos.
    """
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {folder}. Expected a folder with videos; correct the path.")
    paths = [folder] if folder.is_file() else list(files_below(folder))
    top = folder.parent if folder.is_file() else folder
    found = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES and not _left_out(path, top, apart)]
    if not found:
        raise ValueError(
            f"{folder} holds no videos: expected files that end in {', '.join(VIDEO_SUFFIXES)}, got {len(paths)} "
            "others. Give the folder that holds the videos."
        )
    return sorted((_video(path, top) for path in found), key=lambda video: video.relative)


def _left_out(path: Path, top: Path, apart: Path | None) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(top).parts)
    return hidden or (apart is not None and path.resolve().is_relative_to(apart.resolve()))


def _video(path: Path, top: Path) -> Video:
    relative = path.relative_to(top).as_posix()
    readable = re.sub(r"[^A-Za-z0-9]+", "_", relative.rpartition(".")[0]).strip("_")[:60]
    digest = hashlib.sha256(relative.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    shape = next((beside for suffix in SHAPES if (beside := path.with_suffix(suffix)).is_file()), None)
    stamp = ", ".join(_stamp(each) for each in (path, shape) if each is not None)
    return Video(path, relative, f"{readable}-{digest}", shape, stamp)


def _stamp(path: Path) -> str:
    about = path.stat()
    return f"{path.name} {about.st_size} {about.st_mtime_ns}"
