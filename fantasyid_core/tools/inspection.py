"""Inspects a model folder or file: its parts, what is missing, and the memory it needs. No weight is read.

Everything is read from the headers of the files. Damage is a line of the report, never an exception.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..config import CONSISID, AdapterConfig
from ..face.likeness import other_arcface
from ..files.checkpoint import Checkpoint, open_checkpoint, read_config
from ..files.keymaps import is_dead
from ..identity.network.fit import layers_by_block
from ..machine.folder import find_face_encoder
from ..machine.plans import cpu_dtype, plans, stage_bytes
from ..machine.sizes import model_sizes
from ..modelfiles import MODEL_FILES, file_problems, find_model_file, model_file
from ..shape.topology.topology import Topology, load_topology
from ..weights.adapter import (
    TOPOLOGY_PREFIX,
    adapter_config,
    adapter_shapes,
    adapter_title,
    check_keys,
    describe_family,
    family_of,
    live_keys,
    variant_of,
)
from ..weights.transformer import transformer_config, transformer_keys
from .convert import count_parameters

# The errors of the readers for missing and damaged files; the last ones are for invalid numbers in a config.
_PROBLEMS = (ValueError, OSError, RuntimeError, TypeError, AttributeError, LookupError, ArithmeticError)
_ADVICE = {
    "vae": "CogVideoX VAE",
    "text_encoder": "T5-XXL text encoder",
    "tokenizer": "T5-XXL text encoder",
}
FOUND, MISSING, UNUSABLE = "found", "MISSING", "UNUSABLE"
FOLDERS = ("transformer", "transformer_ema", "vae", "text_encoder", "tokenizer", "scheduler", "face_encoder")


@dataclass(frozen=True)
class Part:
    """One part of a model: its name, whether it is found, missing or unusable, and what is known in words."""

    name: str
    state: str
    text: str
    bytes: int = 0  # of its weights, in their own dtype
    encoding_bytes: int = 0  # of these, what is needed before sampling only
    required: bool = True

    @property
    def usable(self) -> bool:
        return self.state == FOUND or not self.required


@dataclass(frozen=True)
class Report:
    """All parts of a model; `usable` when nothing that is required is missing."""

    source: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return all(part.usable for part in self.parts)

    def lines(self) -> list[str]:
        """The report as text."""
        width = max(len(part.name) for part in self.parts)
        listed = [f"  {part.state:8}  {part.name:{width}}  {part.text}" for part in self.parts]
        problems = [part.name for part in self.parts if not part.usable]
        verdict = f"Not usable yet because of: {', '.join(problems)}." if problems else "Usable."
        return [self.source, *listed, *(f"  {note}" for note in self.notes), verdict]


def inspect_model(source: str | os.PathLike) -> Report:
    """The report on a release folder, or on one file (a release's, or one of the two that `convert` writes).

    Raises FileNotFoundError when there is nothing at `source`; damaged contents are part of the report.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no model folder or file at {path}. Check the path and the spelling.")
    return _inspect_folder(path) if path.is_dir() else _inspect_file(path)


def _inspect_folder(folder: Path) -> Report:
    topology = _try("topology", lambda: load_topology(None, search_folders=[folder, folder / "transformer"]))
    mesh = topology if isinstance(topology, Topology) else None
    weights = _try("transformer", lambda: open_checkpoint(folder))
    parts = [
        *_weights_parts(weights, mesh),
        _part("vae", lambda: _network(folder / "vae", "decoder.conv_in.conv.weight", "scaling_factor")),
        _part("text_encoder", lambda: _network(folder / "text_encoder", "encoder.block.0.", "d_model")),
        _part("tokenizer", lambda: _tokenizer(folder / "tokenizer")),
        _scheduler(folder),
        _part("face_encoder", lambda: _face_encoder(folder)),
        *([*_further_networks(folder)] if _is_consisid(weights) else [_mesh_part(topology)]),
    ]
    return Report(str(folder), tuple(parts), tuple(_memory(folder, _disk_use(folder))))


def _inspect_file(path: Path) -> Report:
    checkpoint = _try("weights", lambda: open_checkpoint(path))
    if isinstance(checkpoint, Part):
        return Report(str(path), (checkpoint,))
    embedded = {key for key in checkpoint if key.startswith(TOPOLOGY_PREFIX)}
    mesh = _try("topology", lambda: _mesh_of(checkpoint, embedded, path.parent))
    parts = _weights_parts(checkpoint, mesh if isinstance(mesh, Topology) else None)
    found = [part for part in parts if part.state == FOUND] or [_foreign(checkpoint)]
    if any(part.name == "adapter" for part in found) and not _is_consisid(checkpoint):
        found.append(_mesh_part(mesh))
    return Report(str(path), tuple(found), (f"On disk: {size_text(path.stat().st_size)}",))


def _foreign(checkpoint: Checkpoint) -> Part:
    return Part("FantasyID", UNUSABLE, f"neither a transformer nor an adapter: {describe_family(checkpoint)}")


def _try(name: str, read: Callable):
    """What `read` returns, or a Part that says why it could not be read."""
    try:
        return read()
    except _PROBLEMS as error:
        state = MISSING if isinstance(error, FileNotFoundError) else UNUSABLE
        return Part(name, state, " ".join(str(error).split()) or type(error).__name__)


def _part(name: str, describe: Callable[[], tuple]) -> Part:
    found = _try(name, describe)
    if not isinstance(found, Part):
        return Part(name, FOUND, *found)
    row = next((row for row in MODEL_FILES if row.name == _ADVICE.get(name)), None)
    if row is None:
        return found
    # The tokenizer lies beside the text encoder.
    source = row.sources[0].replace("/text_encoder", f"/{name}")
    return replace(found, text=f"{found.text} Get it from {source}.")


def _weights_parts(weights: Checkpoint | Part, mesh: Topology | None) -> list[Part]:
    if isinstance(weights, Part):
        return [weights, Part("adapter", weights.state, "it is in the same files as the transformer")]
    transformer = _part("transformer", lambda: _transformer(weights))
    return [transformer, _part("adapter", lambda: _adapter(weights, mesh))]


def _transformer(checkpoint: Checkpoint) -> tuple[str, int]:
    from ..host.diffusers.model import build_transformer

    keys, sizes = transformer_keys(checkpoint), transformer_config(checkpoint)
    check_keys(checkpoint, keys, _shapes(build_transformer, sizes), "CogVideoX transformer")
    text = (
        f"{sizes.num_layers} layers of width {sizes.width}, {sizes.describe_size()}, "
        f"{sizes.max_text_seq_length} text tokens, {_weights_text(checkpoint, keys)}"
    )
    return text, _bytes(checkpoint, keys)


def _shapes(build: Callable, *arguments) -> dict[str, tuple[int, ...]]:
    import torch

    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build(*arguments).state_dict().items()}


def _adapter(checkpoint: Checkpoint, mesh: Topology | None) -> tuple[str, int, int]:
    live = live_keys(checkpoint)
    consisid = variant_of(live) == CONSISID
    layers = {own.split(".")[1] for own in live.values() if own.startswith("layers.")}
    text = f"{len(layers)} injected layers"
    if mesh is not None or consisid:
        mesh = None if consisid else mesh
        config = adapter_config(checkpoint, mesh, live)
        check_keys(checkpoint, live, adapter_shapes(config, mesh), adapter_title(config))
        text = f"{config.variant} variant, {_injection_text(checkpoint, config)}"
    dead = count_parameters(checkpoint, filter(is_dead, checkpoint))
    text += f", {_weights_text(checkpoint, live)} live, {_millions(dead)} dead (never read)"
    branch = [key for key, own in live.items() if own.startswith("encoder.")]
    return text, _bytes(checkpoint, live), _bytes(checkpoint, branch)


def _injection_text(checkpoint: Checkpoint, config: AdapterConfig) -> str:
    blocks = sum(name.endswith("attn1.to_q.weight") for name in checkpoint)
    if blocks:
        layers_by_block(config.injected_layers, config.interval, blocks)
    every = {None: "", 1: " (after every block)"}.get(config.interval, f" (after every {config.interval} blocks)")
    return f"{config.injected_layers} injected layers{every}, {config.id_tokens} identity tokens"


def _is_consisid(weights: Checkpoint | Part) -> bool:
    return not isinstance(weights, Part) and family_of(weights) == CONSISID


def _further_networks(folder: Path) -> Iterator[Part]:
    """The other networks that ConsisID reads a face with, in its own folder."""
    for key in ("bisenet", "arcface"):
        row, path = model_file(key), find_model_file(key, [folder])
        if path is None:
            yield Part(row.name, MISSING, f"another models folder may have it; else {row.advice()}", required=False)
            continue
        problems = ([] if key == "bisenet" else other_arcface(path)) or file_problems(row, path)
        state, text = (UNUSABLE, problems[0]) if problems else (FOUND, path.name)
        yield Part(row.name, state, text, path.stat().st_size, required=False)


def _network(folder: Path, marker: str, setting: str) -> tuple[str, int]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no {folder.name}/ in {folder.parent}.")
    checkpoint = open_checkpoint(folder)
    if not any(key.startswith(marker) for key in checkpoint):
        raise ValueError(f"{folder} holds another network: {describe_family(checkpoint)}.")
    if setting not in read_config(folder):
        raise ValueError(f"{folder}/config.json is missing or does not say {setting}.")
    return _weights_text(checkpoint, checkpoint), _bytes(checkpoint, checkpoint)


def _tokenizer(folder: Path) -> tuple[str, int]:
    if not (folder / "tokenizer_config.json").is_file():
        raise FileNotFoundError(f"no tokenizer_config.json in {folder}.")
    return f"{sum(path.is_file() for path in folder.iterdir())} files", 0


def _scheduler(folder: Path) -> Part:
    from ..host.diffusers.others import load_schedule

    found = _try("scheduler", lambda: load_schedule(folder))
    if isinstance(found, Part):
        return found
    if (folder / "scheduler" / "scheduler_config.json").is_file():
        return Part("scheduler", FOUND, "CogVideoX's noise schedule")
    return Part("scheduler", MISSING, "not needed: the official schedule is used", required=False)


def _face_encoder(folder: Path) -> tuple[str, int]:
    path = find_face_encoder(folder)
    checkpoint = open_checkpoint(path)
    if not any("cls_token" in key for key in checkpoint):
        raise ValueError(f"{path} is no EVA-CLIP image tower: {describe_family(checkpoint)}.")
    return f"{path.name}, {_weights_text(checkpoint, checkpoint)}", _bytes(checkpoint, checkpoint)


def _mesh_of(checkpoint: Checkpoint, embedded: set[str], folder: Path) -> Topology:
    if embedded:
        return Topology.from_tensors({key: checkpoint.read(key) for key in embedded})
    return load_topology(None, search_folders=[folder, folder.parent])


def _mesh_part(topology: Topology | Part) -> Part:
    if isinstance(topology, Part):
        return topology
    return Part("topology", FOUND, f"mesh of {' -> '.join(map(str, topology.vertex_counts))} vertices")


def _memory(folder: Path, disk: int) -> list[str]:
    """Memory of the stages, and the plans for cards; nothing of it without a transformer and an adapter."""
    try:
        sizes = model_sizes(folder)
    except _PROBLEMS:
        return [f"On disk: {size_text(disk)}"]
    dtype = torch.bfloat16
    encoding = max(
        sizes.text_encoder.bytes(dtype),
        (sizes.face_encoder.weights + sizes.identity.weights) * 4,
        sizes.vae.bytes(dtype),
    )
    resident = sizes.transformer.bytes(dtype) + sizes.folded * dtype.itemsize
    cpu = cpu_dtype(sizes)
    private = max(stage_bytes(sizes, cpu, True).values())
    return [
        f"In bf16, weights on the device while encoding: {size_text(encoding)} (the largest stage)",
        f"Weights on the device while sampling: {size_text(resident)}, and {size_text(sizes.sampling_work(dtype))} "
        "of work with guidance",
        f"Decoding: {size_text(sizes.decoding_work(dtype))} of work, {size_text(sizes.decoding_work(dtype, True))} "
        "with --tiling (by count)",
        f"Main memory on a CPU, in {str(cpu).removeprefix('torch.')}: {size_text(private)} beside "
        "what lies in the files",
        *(f"Card of {size_text(plan.card)}: {plan.line()}" for plan in plans(sizes)),
        f"On disk: {size_text(disk)}",
    ]


def _disk_use(folder: Path) -> int:
    files = [*folder.glob("*"), *(path for name in FOLDERS for path in (folder / name).glob("*"))]
    return sum(path.stat().st_size for path in files if path.is_file())


def _bytes(checkpoint: Checkpoint, keys: Iterable[str]) -> int:
    return sum(checkpoint.tensors[key].bytes for key in keys)


def _weights_text(checkpoint: Checkpoint, keys: Iterable[str]) -> str:
    keys = list(keys)
    dtypes = Counter(str(checkpoint.tensors[key].dtype).removeprefix("torch.") for key in keys)
    names = ", ".join(name for name, _ in dtypes.most_common())
    return f"{_millions(count_parameters(checkpoint, keys))} parameters in {names}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else str(count)


def size_text(count: int) -> str:
    """Bytes for people: GiB, or MiB below one."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
