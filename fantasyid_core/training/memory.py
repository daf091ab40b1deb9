"""Estimates the memory that a run needs, before anything is loaded.

Each device holds the frozen weights in the run's precision. For each trained weight it holds the weight in float32, its
gradient, two moments of AdamW and the average, 4 bytes each. Activations come on top. They depend on the batch, and
gradient checkpointing keeps them small.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from ..files.checkpoint import TensorInfo, open_checkpoint
from ..shape.topology.topology import load_topology
from ..weights.adapter import adapter_shapes
from ..weights.transformer import transformer_keys
from .config import TrainingConfig
from .models import adapter_sizes
from .release import release_transformer_sizes

_LORA_WEIGHTS = 4  # per block: query, key, value and output of the attention


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of one device, without activations. learning, frozen: numbers of parameters of the whole model."""

    weights: int
    gradients: int
    optimizer: int
    average: int
    learning: int
    frozen: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.average

    def describe(self) -> str:
        parts = ("weights", "gradients", "optimizer", "average")
        return ", ".join(f"{name} {gib(getattr(self, name))}" for name in parts)


def memory_need(learning: int, frozen: int, frozen_bytes: int, has_average: bool, shards: int = 1) -> MemoryNeed:
    """The need for so many parameters; `shards`: devices over which FSDP or ZeRO-3 spreads everything."""
    each = 4 * learning // shards
    return MemoryNeed(
        weights=each + frozen * frozen_bytes // shards,
        gradients=each,
        optimizer=2 * each,
        average=each if has_average else 0,
        learning=learning,
        frozen=frozen,
    )


def release_need(config: TrainingConfig, shards: int = 1) -> MemoryNeed:
    """The need of a run on a release folder, from the headers of its files; errors for missing and foreign files."""
    folder, settings = Path(config.model.folder), config.model
    sizes = release_transformer_sizes(folder)
    checkpoint = open_checkpoint(folder)
    transformer = sum(_count(checkpoint.tensors[key]) for key in transformer_keys(checkpoint))
    topology = load_topology(settings.topology, search_folders=(folder, folder / "transformer"))
    shapes = adapter_shapes(adapter_sizes(settings, sizes, topology), topology)
    adapter = sum(torch.Size(shape).numel() for shape in shapes.values())
    others = sum(_count(info) for name in ("text_encoder", "vae") for info in _infos(folder / name))
    learning, frozen = adapter, transformer + others
    if settings.trains == "adapter+lora":
        learning += sizes.num_layers * _LORA_WEIGHTS * 2 * settings.lora_rank * sizes.width
    if settings.trains == "all":
        vae = sum(map(_count, _infos(folder / "vae")))
        learning, frozen = adapter + transformer + others - vae, vae
    frozen_bytes = 2 if config.precision == "bf16" and torch.cuda.is_available() else 4
    return memory_need(learning, frozen, frozen_bytes, bool(config.optimizer.ema), shards)


def check_memory(need: MemoryNeed, free: int | None, what: str) -> None:
    """Raises RuntimeError when `need` does not fit into `free` bytes (None: unknown), saying what to change."""
    if free is None or need.total <= free:
        return
    raise RuntimeError(
        f"Training {need.learning / 1e6:.0f} M and holding {need.frozen / 1e6:.0f} M frozen parameters needs about "
        f"{gib(need.total)} on each device without activations ({need.describe()}), {what} has {gib(free)} free. "
        "Train less (model.trains: adapter), leave out the average (optimizer.ema=0), inject fewer layers "
        "(model.sizes.interval), use precision: bf16, or spread it over devices with FSDP or DeepSpeed (accelerate "
        "config)."
    )


def free_memory(device: torch.device) -> int | None:
    """Free bytes of the device; on the CPU what the system could give, None where it does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return int(import_module("psutil").virtual_memory().available)
    except ImportError:
        return None


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: of the device, or of this process on the CPU (0 where it is not known)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        resource = import_module("resource")
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def gib(count: float) -> str:
    return f"{count / 2**30:.2f} GiB"


def _count(info: TensorInfo) -> int:
    return torch.Size(info.shape).numel()


def _infos(folder: Path) -> list[TensorInfo]:
    return list(open_checkpoint(folder).tensors.values())
