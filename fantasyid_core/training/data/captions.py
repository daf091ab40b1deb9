"""Captions of the videos, from a file beside each video or from one table for the folder."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

from ...files.rows import lines_of, table_of
from .finding import Video

TABLES = ("captions.csv", "captions.jsonl")
NAMES, TEXTS = ("video", "file", "name", "path"), ("caption", "text", "prompt")
"""Columns and keys under which a table or a .json may say which video is meant, and what is said."""
SHOWN = 20  # names in a sentence


@dataclass(frozen=True)
class Captions:
    """texts: relative path of a video -> caption. problems: sentences, each with the names it is about."""

    texts: dict[str, str]
    problems: list[str] = field(default_factory=list)


def read_captions(videos: list[Video], folder: Path, table: str | None = None, strict: bool = False) -> Captions:
    """Captions from VIDEO.txt, VIDEO.json (a string, or an object with `caption`), else from a table: captions.csv
    (columns video, caption) or captions.jsonl in the folder, or the file `table`.

    A table names videos by their path in the folder, with or without the ending, or by the file's name where it is
    the only one. What does not match is told in `problems`; with `strict` it is a ValueError. Raises
    FileNotFoundError for a `table` that is not there.
    """
    if table is not None and not Path(table).is_file():
        raise FileNotFoundError(f"There is no caption file {table}. Correct the path, or leave it out.")
    top = folder.parent if folder.is_file() else folder
    tables = [Path(table)] if table else [top / name for name in TABLES if (top / name).is_file()]
    texts: dict[str, str] = {}
    problems: list[str] = []
    for path in tables[:1]:
        _add_table(path, videos, texts, problems)
    for extra in tables[1:]:
        problems.append(f"{extra.name} is not read, because there is {tables[0].name} too.")
    for video in videos:
        _add_sidecar(video, texts, problems)
    missing = [video.relative for video in videos if not texts.get(video.relative)]
    if missing:
        problems.append(f"{len(missing)} of {len(videos)} videos have no caption: {_listed(missing)}.")
    if strict and problems:
        raise ValueError(f"The captions do not match: {' '.join(problems)} Mend them, or leave out --strict.")
    return Captions(texts, problems)


def _add_sidecar(video: Video, texts: dict[str, str], problems: list[str]) -> None:
    for suffix in (".txt", ".json"):
        path = video.path.with_suffix(suffix)
        if not path.is_file():
            continue
        try:
            content = path.read_text(encoding="utf-8-sig")
            text = content if suffix == ".txt" else _text_of(json.loads(content))
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} cannot be read as a caption ({error}).")
            continue
        if not isinstance(text, str) or not text.strip():
            expected = "text" if suffix == ".txt" else "a string or an object with the key caption"
            problems.append(f"{path.name} holds no caption: expected {expected}.")
            continue
        texts[video.relative] = " ".join(text.split())
        return


def _add_table(path: Path, videos: list[Video], texts: dict[str, str], problems: list[str]) -> None:
    known, unknown, several = _names_of(videos), [], []
    try:
        rows = _rows(path)
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"{path.name} cannot be read ({error}).")
        return
    for name, text in rows:
        meant = known.get(_plain(name), [])
        if len(meant) == 1 and text:
            texts[meant[0].relative] = text
        elif not meant:
            unknown.append(name)
        elif len(meant) > 1:
            several.append(name)
    if unknown:
        problems.append(f"{path.name} names {len(unknown)} videos that are not there: {_listed(unknown)}.")
    if several:
        problems.append(f"{path.name} names videos of which there are several; give their folders: {_listed(several)}.")


def _names_of(videos: list[Video]) -> dict[str, list[Video]]:
    """All names by which a table may call a video; the whole path takes precedence over shorter names."""
    known: dict[str, list[Video]] = {}
    for video in videos:
        for name in {video.path.name, video.path.stem}:
            known.setdefault(name, []).append(video)
    for video in videos:
        known.setdefault(video.relative.rpartition(".")[0], [video])
    return known | {video.relative: [video] for video in videos}


def _rows(path: Path) -> list[tuple[str, str]]:
    """Names and captions of a table."""
    content = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".jsonl":
        entries = [json.loads(line) for line in lines_of(content) if line.strip()]
    else:
        entries = list(table_of(content, strict=False))
    rows = []
    for number, entry in enumerate(entries, start=1):
        name, text = (_first(entry, keys) for keys in (NAMES, TEXTS))
        if name is None or text is None:
            raise ValueError(f"row {number} has no {'video' if name is None else 'caption'}; expected video, caption")
        rows.append((name, " ".join(text.split())))
    return rows


def _text_of(content) -> str | None:
    return content if isinstance(content, str) else _first(content, TEXTS)


def _first(entry, keys: tuple[str, ...]) -> str | None:
    values = (entry.get(key) for key in keys) if isinstance(entry, dict) else ()
    return next((value for value in values if isinstance(value, str)), None)


def _plain(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
