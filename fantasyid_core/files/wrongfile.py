"""Recognises by its content what a file is instead of the expected model file, without unpickling it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ..modelfiles.check import content, safetensors_header
from .writing import is_tar

TORCH_ENTRY = b"data.pkl"  # in the zip files of torch.save
LOOKED_AT = 64 * 2**20  # bytes
INSTEAD = {
    "nothing": "an empty file: the download did not happen",
    "Git LFS pointer": "a Git LFS pointer, which only says where the file is",
    "web page": "a web page, saved instead of the file",
    "ONNX": "an ONNX model",
    "GGUF": "a GGUF model",
}
# Names inside of a file -> what it is. The first that is there counts.
MARKS = (
    (b"E_flame", "the encoder of DECA"),
    (b"shapedirs", "a FLAME head model"),
    (b"full_lmk_faces_idx", "the landmarks of FLAME"),
    (b"down_transform", "the mesh topology of FantasyID"),
    (b"lora_", "a LoRA"),
    (b"layer_attention.", "a FantasyID model"),
    (b"transformer_blocks.", "a video model"),
    (b"visual.", "a CLIP model"),
)


def what_instead(path: Path, own_mark: bytes = b"") -> str | None:
    """A noun phrase ("a LoRA", "a real tar archive ..."), or None when the content does not tell.

    `own_mark` is the name by which the expected file is known: with it the file is no other one.
    """
    if _is_blank(path):
        return "a file of zeros: its download was cut off"
    if is_tar(path):
        return "a real tar archive: unpack it and take the file from inside"
    kind = content(path)
    if kind in INSTEAD:
        return INSTEAD[kind]
    names = _names(path, kind)
    if kind.endswith("archive") and TORCH_ENTRY not in names:
        return f"a real {kind}: unpack it and take the file from inside"
    if own_mark and own_mark in names:
        return None
    found = next((what for mark, what in MARKS if mark in names), None)
    if kind == "safetensors":
        return found or "a .safetensors file of another model"
    return f"a {kind}" if kind.endswith(("picture", "document")) else found


def _is_blank(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(512)
    return bool(head) and not any(head)


def _names(path: Path, kind: str) -> bytes:
    """Bytes among which the names of a file's tensors and entries are."""
    try:
        if kind == "safetensors":
            return "\n".join(safetensors_header(path)[0]).encode()
        if zipfile.is_zipfile(path):
            return _names_in_zip(path)
        with path.open("rb") as file:
            return file.read(LOOKED_AT)
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError):
        return b""


def _names_in_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [archive.open(name) for name in names if name.endswith(TORCH_ENTRY.decode())]
        return b"\n".join([*(name.encode() for name in names), *(file.read(LOOKED_AT) for file in pickles)])
