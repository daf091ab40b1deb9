"""A person in one file: identity tokens, a picture of the face, the 3D shape and its edit, as .safetensors.

Tensors: tokens float32 [B, Nid, Cid], thumbnail uint8 [H, W, 3], vertices float32 [V, 3] (optional). Metadata:
format, version, adapter (its fingerprint), edit (JSON), shape_name, licence, and a checksum of all of it.
Nothing in the file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files.checkpoint import open_file
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside

FORMAT = "fantasyid_identity"
VERSION = 1
SUFFIX = ".safetensors"
_CHECKSUM = "sha256"
LICENCE_NOTE = (
    "This file shows and describes the face of a real person: share it only as that person agrees. The tokens were "
    "made with FantasyID's weights, the shape with what made it (DECA and FLAME are for non-commercial research "
    "only, unless licensed otherwise); their licences hold for what you make with this file."
)


@dataclass(frozen=True, eq=False)
class StoredIdentity:
    """The content of an identity file.

    tokens: float32 [B, Nid, Cid]. thumbnail: np.uint8 [H, W, 3] RGB. adapter: fingerprint of the adapter that
    reads the tokens. transformer: fingerprint of the video model that this adapter belongs to, "" if not known.
    approximate: what is missing in the tokens, in sentences, "" if nothing. vertices: float32 [V, 3] in metres, or
    None. edit: the shape's sliders as JSON, or "". note: what the user should know, "" if nothing.
    """

    tokens: Tensor
    thumbnail: np.ndarray
    adapter: str
    vertices: Tensor | None = None
    edit: str = ""
    shape_name: str = ""
    licence: str = ""
    note: str = ""
    transformer: str = ""
    approximate: str = ""


def save_identity(
    path: str | os.PathLike,
    tokens: Tensor,  # [B, Nid, Cid]
    thumbnail: np.ndarray,  # [H, W, 3]
    vertices: Tensor | None = None,  # [V, 3]
    edit: str = "",
    *,
    fingerprint: str,
    shape_name: str = "",
    licence_note: str = LICENCE_NOTE,
    transformer: str = "",
    approximate: str = "",
) -> Path:
    """Writes one identity; the file appears at `path` only when it is complete. Returns the path.

    fingerprint: of the adapter that made the tokens (`adapter_fingerprint`). Raises ValueError for another
    suffix than .safetensors, other shapes or types, values that are not finite, an edit that is not JSON and
    an empty fingerprint; OSError when the file cannot be written.
    """
    path = Path(path)
    _check_suffix(path)
    thumbnail = np.asarray(thumbnail)
    if not fingerprint or not isinstance(fingerprint, str):
        raise ValueError(f"Expected the fingerprint of the adapter that made the tokens, got {fingerprint!r}.")
    tensors = {"tokens": tokens, "thumbnail": torch.from_numpy(np.array(thumbnail))}
    if vertices is not None:
        tensors["vertices"] = vertices
    _check_tensors(tensors, "The identity to save", "Encode the identity again.")
    _check_edit(edit, "The identity to save", "Reset the edit of the shape.")
    metadata = {"format": FORMAT, "version": str(VERSION), "adapter": fingerprint, "edit": edit}
    metadata |= {"shape_name": shape_name, "licence": licence_note}
    metadata |= {name: value for name, value in (("transformer", transformer), ("approximate", approximate)) if value}
    tensors = {name: _plain(value) for name, value in tensors.items()}
    with write_aside(path) as aside:
        write_tensors(aside, tensors, {**metadata, _CHECKSUM: _checksum(tensors, metadata)})
    return path


def load_identity(path: str | os.PathLike, fingerprint: str | None = None, force: bool = False) -> StoredIdentity:
    """Reads an identity file.

    fingerprint: of the adapter that shall use it; None checks nothing. An identity of another adapter is an
    error, or with `force` it is taken for this adapter's and its note says so. Raises FileNotFoundError for a
    missing file; ValueError for another suffix, damaged and foreign files, and those of a newer version.
    """
    path = Path(path)
    _check_suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no identity file at {path}. Check the path and the spelling of the name.")
    identity = _read(path)
    if fingerprint is None or fingerprint == identity.adapter:
        return identity
    if not force:
        raise ValueError(
            f"{path.name} was made with the adapter {identity.adapter}, the one that shall use it is {fingerprint}: "
            "its tokens mean something else there. Connect the adapter that made it, encode the person again with "
            "this one, or switch force on to use it all the same."
        )
    note = (
        f"{path.name} was made with the adapter {identity.adapter} and is used with {fingerprint} because force is "
        "on: the person may not be recognisable."
    )
    return replace(identity, adapter=fingerprint, note=note, transformer="")


def mix_identities(
    tokens: Sequence[Tensor],  # each [B, Nid, Cid]
    weights: Sequence[float] | None = None,
    fingerprints: Sequence[str] | None = None,
) -> Tensor:
    """The weighted mean of several identities' tokens, [B, Nid, Cid] with the type and device of the first.

    weights: one per identity, divided by their sum (None: equal); a negative one moves away from that person.
    fingerprints: of the adapters that made them. Raises ValueError for no identities, other shapes, other
    adapters, and weights that are not finite, of another number, or without a positive sum.
    """
    tokens = list(tokens)
    weights = _shares(weights, len(tokens))
    if fingerprints is not None and (len(set(fingerprints)) > 1 or len(fingerprints) != len(tokens)):
        raise ValueError(
            f"Expected {len(tokens)} identities made with one adapter, got adapters {', '.join(fingerprints)}. "
            "Encode all of them with the same adapter."
        )
    shapes = [list(each.shape) for each in tokens]
    if tokens[0].ndim != 3 or any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            f"Expected identities [B, Nid, Cid] of one size, got {', '.join(map(str, shapes))}. Encode all of them "
            "with the same adapter, from as many photos, and with references set to average."
        )
    first = tokens[0]
    wide = torch.promote_types(first.dtype, torch.float32)
    parts = (weight * each.to(first.device, wide) for weight, each in zip(weights, tokens, strict=True))
    return sum(parts, torch.zeros_like(first, dtype=wide)).to(first.dtype)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() != SUFFIX:
        raise ValueError(
            f"{path.name}: expected a name that ends in {SUFFIX}; other files are not written, and not read because "
            "they may carry code."
        )


def _shares(weights: Sequence[float] | None, count: int) -> list[float]:
    if not count:
        raise ValueError("Expected at least one identity to mix, got none.")
    weights = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(weights) != count or not all(map(math.isfinite, weights)) or sum(weights) <= 0:
        raise ValueError(
            f"Expected {count} finite weights with a sum above 0, one per identity, got "
            f"{', '.join(f'{weight:g}' for weight in weights) or 'none'}."
        )
    return [weight / sum(weights) for weight in weights]


def _read(path: Path) -> StoredIdentity:
    file = open_file(path, _AGAIN)
    metadata = file.metadata
    _check_kind(path.name, list(file), metadata)
    tensors = {name: file.read(name) for name in _TENSORS if name in file}
    _check_tensors(tensors, path.name, _AGAIN)
    _check_edit(metadata.get("edit", ""), path.name, _AGAIN)
    if _CHECKSUM in metadata and metadata[_CHECKSUM] != _checksum(tensors, metadata):
        raise ValueError(f"{path.name} is damaged: it does not match its own checksum. {_AGAIN}")
    return StoredIdentity(
        tokens=tensors["tokens"].float(),
        thumbnail=tensors["thumbnail"].numpy(),
        adapter=metadata["adapter"],
        vertices=tensors["vertices"].float() if "vertices" in tensors else None,
        **{name: metadata.get(name, "") for name in _WORDS},
    )


_WORDS = ("edit", "shape_name", "licence", "transformer", "approximate")
_AGAIN = "Save the identity again, or choose another file."
_TENSORS = {"tokens": "float [B, Nid, Cid]", "thumbnail": "uint8 [H, W, 3]", "vertices": "float [V, 3]"}


def _check_kind(name: str, tensors: list[str], metadata: Mapping[str, str]) -> None:
    """Raises ValueError unless the metadata says that this is an identity file that this version reads."""
    if metadata.get("format") != FORMAT:
        holds = f"{len(tensors)} tensors such as {', '.join(sorted(tensors)[:3])}" if tensors else "no tensors"
        raise ValueError(f"{name} is no saved identity: it holds {holds}. Choose a file of FantasyID Save Identity.")
    version = metadata.get("version", "")
    if version.isdecimal() and int(version[:9]) > VERSION:
        raise ValueError(
            f"{name} was saved by a newer FantasyID (file version {version[:9]}, this one reads up to {VERSION}). "
            "Update the pack."
        )
    if version != str(VERSION) or not metadata.get("adapter"):
        raise ValueError(f"{name} is damaged: its version or the adapter's fingerprint is missing. {_AGAIN}")


def _check_tensors(tensors: Mapping[str, Tensor], name: str, advice: str) -> None:
    missing = [each for each in ("tokens", "thumbnail") if each not in tensors]
    if missing:
        raise ValueError(f"{name} holds no {' and no '.join(missing)}. {advice}")
    for key, value in tensors.items():
        fits = _fits(key, value)
        if not fits or value.numel() == 0:
            kind = str(value.dtype).removeprefix("torch.")
            raise ValueError(f"{name}: expected {key} as {_TENSORS[key]}, got {kind} {list(value.shape)}. {advice}")
        if not value.isfinite().all():
            raise ValueError(f"{name}: expected finite {key}, got NaN or infinite values. {advice}")


def _fits(key: str, value: Tensor) -> bool:
    if key == "thumbnail":
        return value.dtype == torch.uint8 and value.ndim == 3 and value.shape[2] == 3
    if key == "vertices" and (value.ndim != 2 or value.shape[1] != 3):
        return False
    return value.dtype.is_floating_point and value.ndim == (3 if key == "tokens" else 2)


def _check_edit(edit: str, name: str, advice: str) -> None:
    try:
        if edit:
            json.loads(edit)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: expected the edit of the shape as JSON, got {str(edit)[:40]!r}. {advice}") from error


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Of names, types, shapes and contents, in hex digits; safetensors itself has none."""
    words = sorted((key, value) for key, value in metadata.items() if key != _CHECKSUM)
    digest = hashlib.sha256(json.dumps(words).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _plain(value: Tensor) -> Tensor:
    """A contiguous copy on the CPU; floats in float32."""
    dtype = torch.float32 if value.dtype.is_floating_point else value.dtype
    return value.detach().to("cpu", dtype, copy=True).contiguous()
