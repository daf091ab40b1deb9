"""The rule by which the golden outputs of the official code were made (../shared/reference/README.md)."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file


def seeded(key: str, shape) -> torch.Tensor:
    """Every tensor of the reference checkpoint is filled by this rule."""
    x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32)
    if len(shape) <= 1:
        x = x * np.float32(0.1) + np.float32(1.0 if key.endswith("weight") else 0.0)
    elif len(shape) == 3 and shape[0] == 1:
        x = x * np.float32(0.5)
    else:
        x = x * np.float32(np.prod(shape[1:]) ** -0.5)
    return torch.from_numpy(x)


def network_input(name: str, shape) -> torch.Tensor:
    """A seeded input of the reference run."""
    seed = zlib.crc32(("input." + name).encode())
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def reference_state(shared: Path) -> dict[str, torch.Tensor]:
    """The official two-layer reference checkpoint."""
    layout = json.loads((shared / "reference" / "release_layout.json").read_text())
    return {key: seeded(key, shape) for key, (_, shape) in layout.items()}


def golden(shared: Path) -> dict[str, torch.Tensor]:
    return load_file(shared / "reference" / "golden_release.safetensors")


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """|actual - expected| / |expected| in float64."""
    actual, expected = actual.double(), expected.double()
    return float((actual - expected).norm() / expected.norm())
