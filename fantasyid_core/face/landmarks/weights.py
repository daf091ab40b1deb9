"""The shipped weights: read once, kept for each device."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from .full_range import FullRange
from .mesh import FaceMesh
from .short_range import ShortRange

FOLDER = Path(__file__).parent / "weights"
NETWORKS = {"short_range": ShortRange, "full_range": FullRange, "mesh": FaceMesh}


@lru_cache(maxsize=12)
def load_network(name: str, device: str | torch.device = "cpu", operations=torch.nn) -> torch.nn.Module:
    """Network `short_range`, `full_range` or `mesh` with its weights, in float32, for inference.

    Raises FileNotFoundError when the weights are not beside this module.
    """
    from safetensors.torch import load_file

    path = FOLDER / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. It comes with the pack: install the pack again.")
    network = NETWORKS[name](operations)
    network.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    network = network.to(device, memory_format=torch.channels_last)  # a third faster on processors
    return network.eval().requires_grad_(False)
