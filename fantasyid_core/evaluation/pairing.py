"""Which reference picture belongs to which video: by name.

A video `anna__smiles.mp4` belongs to `anna__smiles.png`, else to all of `anna.png`, `anna__left.png` ...: what stands
before two underscores is the person. Upper and lower case are the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..files.filekind import VIDEO_SUFFIXES as VIDEOS
from ..modelfiles import files_below

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif")
APART = "__"


class Skipped(NamedTuple):
    """A file or folder that was not measured, and why."""

    name: str
    reason: str


class Found(NamedTuple):
    """name: for reports, unique among the videos. references: may be empty."""

    name: str
    path: Path
    references: tuple[Path, ...]


class Pairs(NamedTuple):
    videos: list[Found]
    skipped: list[Skipped]
    without_reference: list[str]  # videos
    without_video: list[str]  # reference pictures


def find_pairs(videos: Sequence[str | os.PathLike], references: str | os.PathLike) -> Pairs:
    """The videos in folders (and below them) or given as files, with their references out of a folder.

    A single picture file is the reference of every video. Folders without videos are skipped and listed. Raises
    FileNotFoundError for paths that do not exist, ValueError when there is no video or no picture at all.
    """
    skipped, paths = [], []
    for source in map(Path, videos):
        found = _files(source, VIDEOS, "videos")
        if not found:
            skipped.append(Skipped(str(source), _nothing(source, VIDEOS)))
        paths += found
    pictures = _files(Path(references), PICTURES, "reference pictures")
    if not paths:
        told = " ".join(f"{each.name}: {each.reason}." for each in skipped)
        raise ValueError(f"There is no video to evaluate. {told}")
    if not pictures:
        raise ValueError(f"There is no reference picture. {references}: {_nothing(Path(references), PICTURES)}.")
    paths = list(dict.fromkeys(paths))
    for_all = Path(references).is_file()
    pairs = [
        Found(name, path, tuple(pictures) if for_all else references_of(path, pictures))
        for name, path in zip(_names(paths), paths, strict=True)
    ]
    used = {picture for pair in pairs for picture in pair.references}
    return Pairs(
        pairs,
        skipped,
        [pair.name for pair in pairs if not pair.references],
        [picture.name for picture in pictures if picture not in used],
    )


def references_of(video: Path, pictures: Iterable[Path]) -> tuple[Path, ...]:
    """The pictures that belong to a video: of its whole name, else of its person."""
    pictures, whole = list(pictures), video.stem.casefold()
    same = tuple(picture for picture in pictures if picture.stem.casefold() == whole)
    person = whole.split(APART)[0]
    return same or tuple(picture for picture in pictures if picture.stem.casefold().split(APART)[0] == person)


def _files(source: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    if not source.exists():
        raise FileNotFoundError(f"There is no {source}. Expected a folder with {what}, or a file; correct the path.")
    paths = [source] if source.is_file() else sorted(files_below(source))
    return [path for path in paths if path.suffix.lower() in suffixes]


def _nothing(source: Path, suffixes: tuple[str, ...]) -> str:
    others = 1 if source.is_file() else sum(1 for _ in files_below(source))
    return f"expected files that end in {', '.join(suffixes)}, got {others} others" if others else "the folder is empty"


def _names(paths: list[Path]) -> list[str]:
    """File names, with as much of the folders as makes them differ."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names
