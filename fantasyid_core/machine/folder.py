"""The folder of a model: whether it is one, and which of its files is the face encoder."""

from __future__ import annotations

import os
from pathlib import Path

from ..face.encoder import OFFICIAL_FILE, ORIGIN


def check_folder(folder: str | os.PathLike) -> None:
    """Raises an error unless `folder` is a folder: files hold no VAE and no text encoder."""
    path = Path(folder)
    if not path.exists():
        raise FileNotFoundError(f"There is no model folder at {path}. Check the path and the spelling.")
    if not path.is_dir():
        raise ValueError(
            f"Expected the folder of a model (with transformer/, vae/, text_encoder/ inside), got the file {path}. "
            "Give the folder."
        )


def find_face_encoder(folder: str | os.PathLike) -> Path:
    """The EVA-CLIP file in face_encoder/ of a release folder; FileNotFoundError or ValueError without one."""
    place = Path(folder) / "face_encoder"
    if (place / OFFICIAL_FILE).is_file():
        return place / OFFICIAL_FILE
    files = sorted(path for path in place.glob("*") if path.suffix in (".safetensors", ".pt", ".bin"))
    if not files:
        raise FileNotFoundError(f"Expected the face encoder in {place}, got no weights there. {ORIGIN}")
    if len(files) > 1:
        names = ", ".join(path.name for path in files[:5])
        raise ValueError(f"Expected one face encoder in {place}, got {names}. Give one with --face-encoder.")
    return files[0]
