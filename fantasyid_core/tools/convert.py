"""A FantasyID or ConsisID folder -> the transformer with ComfyUI's names, and the adapter with live weights only.

Tensors are read, cast and written one by one, so memory stays small however large the source is. Both files
carry their config in the safetensors metadata; both appear only when they are complete.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

from .. import options
from ..config import CONSISID, AdapterConfig
from ..files.checkpoint import Checkpoint, TensorInfo, open_checkpoint
from ..files.keymaps import host_name, is_dead
from ..files.tensorfile import DTYPE_NAMES, Announced, write_announced
from ..files.writing import write_aside
from ..shape.topology.topology import SPIRAL_LENGTH, Topology, load_topology
from ..weights.adapter import (
    METADATA_KEY,
    adapter_config,
    adapter_shapes,
    adapter_title,
    check_keys,
    live_keys,
    own_metadata,
    transformer_of,
    variant_of,
    within_interval,
)
from ..weights.transformer import transformer_config, transformer_keys

DTYPES = {label: getattr(torch, options.DTYPES[label]) for label in options.STORED}
_LABELS = {torch.float64: "fp64", torch.float32: "fp32"} | {dtype: label for label, dtype in DTYPES.items()}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Conversion:
    """A conversion's result. Sizes in bytes; live and dead: parameters of the source's part beside the video model.

    has_topology: whether the adapter file holds the mesh topology, None when its variant needs none."""

    transformer: Path
    adapter: Path
    source_bytes: int
    transformer_bytes: int
    adapter_bytes: int
    live: int
    dead: int
    has_topology: bool | None


@dataclass(frozen=True)
class _Entry:
    """One tensor of a file to be written: where its content comes from, and as what it is stored."""

    name: str
    info: TensorInfo
    source: str  # name in the source, "" for a tensor that is at hand
    tensor: Tensor | None = None


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    dtype: str | None = None,
    topology=None,
    progress: Progress | None = None,
) -> Conversion:
    """Writes `<name>_dit_<dtype>.safetensors` and `<name>_adapter_<dtype>.safetensors` into the folder `target`.

    source: release folder, transformer folder or file. dtype: "bf16", "fp16", "fp8_e4m3fn" (matrices only, the
    rest bf16) or None for the source's own. topology: as `load_adapter`; without any the adapter file needs
    transform.pkl later. progress(bytes done, bytes in all).

    Raises ValueError for another kind of model, missing, unexpected or misshaped tensors, and values that the
    dtype cannot hold; OSError when the target cannot be written. Files of an earlier run then stay as they were.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"Expected a dtype among {', '.join(DTYPES)}, got {dtype!r}.")
    checkpoint = open_checkpoint(source)
    live = within_interval(live_keys(checkpoint), checkpoint)
    _check_not_converted(checkpoint)
    keys = transformer_keys(checkpoint)
    needs_mesh = variant_of(live) != CONSISID
    mesh = _find_topology(checkpoint, topology) if needs_mesh else None
    metadata = _checked_metadata(checkpoint, live, keys, mesh) | {"source": _model_name(source)}
    metadata["transformer_fingerprint"] = transformer_of(checkpoint)
    _check_target(Path(target), checkpoint)
    parts = {
        "transformer": _entries(checkpoint, {key: host_name(name) for key, name in keys.items()}, dtype),
        "adapter": _entries(checkpoint, dict.fromkeys(live), dtype) + _topology_entries(mesh),
    }
    label = dtype or _own_label(checkpoint, keys)
    paths = {
        kind: Path(target) / f"{_model_name(source)}_{short}_{label}.safetensors"
        for kind, short in (("transformer", "dit"), ("adapter", "adapter"))
    }
    _write_both(checkpoint, parts, paths, metadata, progress)
    return Conversion(
        **paths,
        source_bytes=sum(path.stat().st_size for path in checkpoint.files),
        transformer_bytes=paths["transformer"].stat().st_size,
        adapter_bytes=paths["adapter"].stat().st_size,
        live=count_parameters(checkpoint, live),
        dead=count_parameters(checkpoint, filter(is_dead, checkpoint)),
        has_topology=mesh is not None if needs_mesh else None,
    )


def _check_not_converted(checkpoint: Checkpoint) -> None:
    """Raises ValueError for an adapter file of `convert` or of a training: it is small already."""
    if own_metadata(checkpoint).get("adapter") and not any(key.startswith("transformer_blocks.") for key in checkpoint):
        raise ValueError(
            f"{checkpoint.name} is an adapter file already; there is nothing to convert. Put it into ComfyUI's "
            "models/fantasyid and choose it in FantasyID Load Adapter, or give the release folder."
        )


def count_parameters(checkpoint: Checkpoint, keys: Iterable[str]) -> int:
    """Numbers held by the tensors `keys`."""
    return sum(math.prod(checkpoint.tensors[key].shape) for key in keys)


def _find_topology(checkpoint: Checkpoint, topology) -> Topology | None:
    if topology is not None:
        return load_topology(topology)
    beside = dict.fromkeys(folder for path in checkpoint.files for folder in (path.parent, path.parent.parent))
    try:
        return load_topology(None, search_folders=beside)
    except FileNotFoundError:
        return None


def _checked_metadata(checkpoint: Checkpoint, live: dict, keys: dict, mesh: Topology | None) -> dict:
    """The model's description in the metadata; ValueError unless both halves are complete."""
    from ..host.diffusers.model import build_transformer

    # Without the mesh, the released mesh's counts are assumed; the weights' shapes depend on nothing else of it.
    if variant_of(live) == CONSISID:
        mesh = None
    else:
        mesh = mesh or _released_mesh()
    config, sizes = adapter_config(checkpoint, mesh, live), transformer_config(checkpoint)
    check_keys(checkpoint, live, adapter_shapes(config, mesh), adapter_title(config))
    with torch.device("meta"):
        state = build_transformer(sizes).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    check_keys(checkpoint, keys, shapes, "CogVideoX transformer")
    return {"transformer": asdict(sizes), "adapter": asdict(config)}


def _released_mesh() -> SimpleNamespace:
    """The vertex counts and neighbours of the released mesh, without their values."""
    defaults = AdapterConfig()
    spirals = [torch.empty(0, SPIRAL_LENGTH, device="meta")] * (len(defaults.vertex_counts) - 1)
    return SimpleNamespace(vertex_counts=defaults.vertex_counts, spirals=spirals)


def _check_target(target: Path, checkpoint: Checkpoint) -> None:
    if target.is_file() or target.suffix == ".safetensors":
        raise ValueError(f"Expected a folder for the two results, got the file name {target}. Give a folder.")
    if any(path.parent.resolve() == target.resolve() for path in checkpoint.files):
        raise ValueError(
            f"{target} holds the weights that are to be converted: files written beside them would be taken for "
            "a part of the model. Choose another folder."
        )


def _model_name(source: str | os.PathLike) -> str:
    path = Path(source).expanduser().resolve()
    if path.is_file():
        path = path.with_suffix("")
    if path.name in ("transformer", "transformer_ema", "diffusion_pytorch_model"):
        return _model_name(path.parent) if path.parent != path else "fantasyid"
    return path.name or "fantasyid"


def _own_label(checkpoint: Checkpoint, keys: Iterable[str]) -> str:
    dtypes = {checkpoint.tensors[key].dtype for key in keys}
    return _LABELS.get(dtypes.pop(), "own") if len(dtypes) == 1 else "mixed"


def _entries(checkpoint: Checkpoint, names: dict[str, str | None], dtype: str | None) -> list[_Entry]:
    return [
        _Entry(name or key, TensorInfo(info.shape, _stored_as(key, info, dtype)), key)
        for key, name in names.items()
        for info in [checkpoint.tensors[key]]
    ]


def _topology_entries(mesh: Topology | None) -> list[_Entry]:
    tensors = mesh.tensors() if mesh else {}
    return [_Entry(key, TensorInfo(tuple(x.shape), x.dtype), "", x) for key, x in tensors.items()]


def _stored_as(key: str, info: TensorInfo, dtype: str | None) -> torch.dtype:
    if dtype is None:
        return info.dtype
    is_matrix = len(info.shape) == 2 and key.endswith(".weight") and not key.startswith("patch_embed.")
    if dtype == "fp8_e4m3fn" and not is_matrix:
        return torch.bfloat16
    return DTYPES[dtype]


def _write_both(
    checkpoint: Checkpoint, parts: dict[str, list], paths: dict[str, Path], metadata: dict, progress: Progress | None
) -> None:
    total = sum(entry.info.bytes for entries in parts.values() for entry in entries)
    _check_space(paths["adapter"].parent, total)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    with write_aside(paths["transformer"]) as first, write_aside(paths["adapter"]) as second:
        for aside, (kind, entries) in zip((first, second), parts.items(), strict=True):
            described = {METADATA_KEY: json.dumps({"kind": kind, **metadata}), "format": "pt"}
            _write_safetensors(aside, checkpoint, entries, described, advance)


def _check_space(folder: Path, needed: int) -> None:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise OSError(
            f"The results need {needed / 2**30:.2f} GiB, {folder} has {free / 2**30:.2f} GiB free. Free some "
            "space or choose another folder; nothing was written."
        )


def _write_safetensors(
    path: Path, checkpoint: Checkpoint, entries: list[_Entry], metadata: dict, advance: Callable[[int], None]
) -> None:
    """Writes the entries, wide numbers first; within a width the source's files follow each other."""
    files = {path: index for index, path in enumerate(checkpoint.files)}
    order = sorted(entries, key=lambda entry: (-entry.info.dtype.itemsize, _file_index(checkpoint, entry, files)))
    announced = [Announced(entry.name, entry.info.dtype, entry.info.shape, entry.info.bytes) for entry in order]
    contents = (_cast(tensor, entry) for entry, tensor in _contents(checkpoint, order))
    write_announced(path, announced, contents, metadata, advance)


def _file_index(checkpoint: Checkpoint, entry: _Entry, files: dict[Path, int]) -> int:
    return files[checkpoint.readers[entry.source].path] if entry.source else len(files)


def _contents(checkpoint: Checkpoint, order: list[_Entry]) -> Iterator[tuple[_Entry, Tensor]]:
    """Every entry with its tensor. Each file is opened anew, so that a finished one's memory map is let go."""
    for path, entries in groupby(order, lambda e: checkpoint.readers[e.source].path if e.source else None):
        opened = open_checkpoint(path) if path else None
        for entry in entries:
            yield entry, opened.read(entry.source) if opened else entry.tensor


def _cast(tensor: Tensor, entry: _Entry) -> Tensor:
    dtype = entry.info.dtype
    if tensor.is_floating_point() and tensor.numel():
        low, high = (float(bound) for bound in tensor.float().aminmax())
        limit = torch.finfo(dtype).max
        if not (-limit <= low and high <= limit):  # written so that NaN is refused too
            found = "NaN" if math.isnan(low) else f"values from {low:.4g} to {high:.4g}"
            raise ValueError(
                f"{entry.source} holds {found}: expected finite values within {limit:.6g}, the range of "
                f"{DTYPE_NAMES[dtype]}. Choose a dtype with a wider range (bf16), or download the model again."
            )
    return tensor.to(dtype).contiguous()
