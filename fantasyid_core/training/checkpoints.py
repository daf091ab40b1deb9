"""Checkpoints that survive a kill at any moment: folders that appear under their name only when they are complete.

    checkpoints/step-00000500/   the files of the state, and manifest.json: size and SHA-256 of each
    checkpoints/.writing-...     one that is being written, or that a kill left behind; never read

The files are on the disk (fsync) before the folder gets its name. A folder is good when it is as its manifest says.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{8})")
_WRITING = ".writing-"


@contextmanager
def new_checkpoint(folder: Path, step: int, is_main: bool = True) -> Iterator[Path]:
    """Yields a folder for the files of the checkpoint `step`, which appears in `folder` when the body succeeds.

    Several processes enter with one `is_main`; the body has to begin and to end with a barrier. Raises OSError
    saying which checkpoint is still good, when the disk is full or cannot be written to; nothing half-written stays.
    """
    writing = folder / f"{_WRITING}{step:08d}"
    if not is_main:
        yield writing
        return
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        yield writing
        _seal(writing, step)
        _put_in_place(writing, folder / f"step-{step:08d}")
    except OSError as error:
        last = newest_good(folder)
        kept = f"The last good checkpoint is {last}" if last else "There is no earlier checkpoint"
        raise OSError(
            f"Writing the checkpoint of step {step} into {folder} failed ({error.strerror or error}). {kept}. Free "
            "some space and go on with --resume auto."
        ) from error
    finally:
        shutil.rmtree(writing, ignore_errors=True)


def _put_in_place(writing: Path, target: Path) -> None:
    if target.exists():  # damaged, or of a run that did not go on from it
        _discard(target)
    os.replace(writing, target)
    _sync(target.parent)


def newest_good(folder: Path, report: Callable[[str], None] | None = None) -> Path | None:
    """The checkpoint of the highest step that is undamaged, None without any; report(sentence) for each bad one."""
    for path in sorted(list_checkpoints(folder), reverse=True):
        problem = find_damage(path)
        if problem is None:
            return path
        if report is not None:
            report(f"{path} is damaged ({problem}); it is left out.")
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """The finished checkpoints in `folder`, good or not, in the order of their steps."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def find_damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None when it is as its manifest says."""
    try:
        files = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, stated in files.items():
            if not (path / name).is_file():
                return f"{name} is missing"
            if (path / name).stat().st_size != stated["bytes"]:
                return f"{name} has {(path / name).stat().st_size} bytes instead of {stated['bytes']}"
        for name, stated in files.items():
            if _digest(path / name) != stated["sha256"]:
                return f"the content of {name} has changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read: {error}"
    return None


def step_of(path: Path) -> int:
    """The step in the name of a checkpoint; ValueError for another name."""
    match = _NAME.fullmatch(path.name)
    if not match:
        raise ValueError(f"Expected a checkpoint such as .../step-00000500, got {path}. Give that folder.")
    return int(match[1])


def prune(folder: Path, keep_last: int, keep_every: int) -> None:
    """Deletes all but the last `keep_last` checkpoints and those at multiples of `keep_every` (0: none of them)."""
    paths = list_checkpoints(folder)
    for path in paths[:-keep_last]:
        if not keep_every or step_of(path) % keep_every:
            _discard(path)


def remove_leftovers(folder: Path) -> None:
    """Deletes what a killed run left half-written; only at the start of a run, when no other writes here."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.startswith(_WRITING):
                shutil.rmtree(path, ignore_errors=True)


def _discard(path: Path) -> None:
    # Renamed first, so that a kill leaves no partly deleted checkpoint under its name.
    aside = path.with_name(f"{_WRITING}old-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _seal(folder: Path, step: int) -> None:
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        _sync(path)
        name = path.relative_to(folder).as_posix()
        files[name] = {"bytes": path.stat().st_size, "sha256": _digest(path)}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"step": step, "files": files}, indent=1), encoding="utf-8")
    _sync(manifest)
    _sync(folder)


def _sync(path: Path) -> None:
    """Waits until the file or folder is on the disk; folders cannot be opened on Windows."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
