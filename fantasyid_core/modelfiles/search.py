"""Finds the user's model files, and writes the sentences about missing ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from .listing import entries
from .row import ModelFile
from .table import MODEL_FILES

DEFAULT_COMFYUI = "~/comfy/ComfyUI"  # where comfy-cli puts the host
FOLDERS_VARIABLE = "FANTASYID_MODELS"  # models folders of the user's own, separated as in PATH
OWN_FOLDER, IN_RELEASE = "fantasyid/", "fantasyid/*/"


def model_file(key: str) -> ModelFile:
    """The row with this key; ValueError naming the keys when there is none."""
    for row in MODEL_FILES:
        if row.key == key:
            return row
    raise ValueError(f"Expected one of {', '.join(row.key for row in MODEL_FILES)}, got {key!r}.")


def find_model_file(key: str, folders: Iterable[str | os.PathLike] = ()) -> Path | None:
    """Where the file of the row `key` is, or None. It is not opened; upper and lower case are alike.

    folders: ComfyUI "models" folders, folders registered as its models/fantasyid, or FantasyID release
    folders. Without any: `default_folders()`, then the row's well-known places outside of them, such as
    ~/.insightface. Raises ValueError for an unknown key.
    """
    row, folders = model_file(key), [Path(folder).expanduser() for folder in folders]
    for folder in folders or default_folders():
        if path := _first_match(folder, row):
            return path
    outside = () if folders else (Path(place).expanduser() for place in row.elsewhere)
    return next((path for path in outside if os.path.isfile(path)), None)


def default_folders(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The models folders of this machine: those named in FANTASYID_MODELS, then the host's."""
    named = [Path(part).expanduser() for part in environment.get(FOLDERS_VARIABLE, "").split(os.pathsep) if part]
    host = find_models_folder(Path(__file__).absolute().parents[2], environment)
    return [*named, host] if host else named


def find_models_folder(pack: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """ComfyUI's models folder: beside custom_nodes when `pack` lies in it, else that of the host found.

    `pack` is the folder of this repository. None when there is no ComfyUI to be seen.
    """
    if pack.parent.name == "custom_nodes" and (pack.parent.parent / "models").is_dir():
        return pack.parent.parent / "models"
    host = find_comfyui(environment)
    return host / "models" if host else None


def find_comfyui(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of the real ComfyUI: COMFYUI_PATH, or comfy-cli's default when that is unset, or None."""
    host = Path(environment.get("COMFYUI_PATH") or DEFAULT_COMFYUI).expanduser()
    return host if (host / "main.py").is_file() else None


def missing_file(key: str) -> str:
    """For error texts: which file is missing, what for, where it comes from and belongs, its licence."""
    row = model_file(key)
    command = f", or run `python -m fantasyid_core download {key}`" if row.download else ""
    where = origin(key)
    return (
        f"The model file {row.name} ({row.purpose}) is missing: {row.without}. {where[0].upper()}{where[1:]}{command}."
    )


def origin(key: str) -> str:
    """The origin of a row's file: "get it from X and put it into models/Y (licence)"."""
    row = model_file(key)
    return f"get it from {' or '.join(row.sources)} and put it into models/{row.belongs} ({row.licence})"


def _first_match(folder: Path, row: ModelFile) -> Path | None:
    found = (path for pattern in _patterns(folder, row) for path in _matches(folder, pattern))
    return next((path for path in found if not _is_excluded(path.relative_to(folder), row)), None)


def _is_excluded(path: Path, row: ModelFile) -> bool:
    return any(fnmatchcase(part.lower(), pattern) for part in path.parts for pattern in row.excluding)


def _patterns(folder: Path, row: ModelFile) -> Iterator[str]:
    yield from row.patterns
    if folder.name.lower() == OWN_FOLDER.rstrip("/"):
        yield from _below(OWN_FOLDER, row)
    if any(os.path.isdir(folder / name) for name in ("transformer", "transformer_ema")):
        yield from _below(IN_RELEASE, row)


def _below(prefix: str, row: ModelFile) -> Iterator[str]:
    return (pattern[len(prefix) :] for pattern in row.patterns if pattern.startswith(prefix))


def _matches(folder: Path, pattern: str) -> list[Path]:
    found = [folder]
    for part in pattern.split("/"):
        found = [entry for parent in found for entry in entries(parent) if fnmatchcase(entry.name.lower(), part)]
    return [path for path in found if os.path.isfile(path)]
