"""The shipped weights: read once, kept for each device."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from .full_range import FullRange
from .mesh import FaceMesh
from .short_range import ShortRange

FOLDER = Path(__file__).parent / "weights"
KEPT = 31 * 2**20  # bytes
NETWORKS = {"short_range": ShortRange, "full_range": FullRange, "mesh": FaceMesh}


@lru_cache(maxsize=12)
def load_network(name: str, device: str | torch.device = "cpu", operations=torch.nn) -> torch.nn.Module:
    """Network `short_range`, `full_range` or `mesh` with its weights, in float32, for inference.

    Raises FileNotFoundError when the weights are not beside this module.
    """
    from safetensors.torch import load_file

    _keep_freed_memory()
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. It comes with the pack: install the pack again.")
    network = NETWORKS[name](operations)
    network.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    network = network.to(device, memory_format=torch.channels_last)  # a third faster on processors
    return network.eval().requires_grad_(False)


def _keep_freed_memory() -> None:
    """Makes glibc keep up to twice `KEPT` of what is freed, instead of handing it back to the system each time.

    It does so for blocks as large as the largest of at most 32 MiB that was ever freed. Without it, the features of
    one look at a photo were 10,000 new pages of memory, which took a third of the time. The block is never written to.
    """
    torch.empty(KEPT, dtype=torch.uint8)
