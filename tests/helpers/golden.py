"""Golden outputs of the official code, and the rule by which they were made (tests/data/official/README.md)."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

OFFICIAL = Path(__file__).parents[1] / "data" / "official"
TRANSFORMER_SIZES = {"sample_height": 8, "sample_width": 12, "sample_frames": 9, "max_text_seq_length": 16}


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


def official_layout() -> dict[str, list[int]]:
    """Every key of the official two-layer state dict, and its shape for the project's own head."""
    return json.loads(gzip.decompress((OFFICIAL / "layout.json.gz").read_bytes()))


def official_state() -> dict[str, torch.Tensor]:
    """The official two-layer checkpoint. What its forward never reads is zero and takes no memory."""
    from fantasyid_core.files.keymaps import is_dead

    dead = torch.zeros(())
    return {key: dead.expand(shape) if is_dead(key) else seeded(key, shape) for key, shape in official_layout().items()}


def official_outputs() -> dict[str, torch.Tensor]:
    """What the official code computed: name -> tensor."""
    return load_file(OFFICIAL / "own_head.safetensors")


def official_topology(golden: dict[str, torch.Tensor]):
    """The mesh pyramid that the official code read, with the spirals that this project computes for it."""
    from fantasyid_core.shape import Topology
    from fantasyid_core.shape.topology.spiral import spiral_indices

    vertices = golden["mesh.template"]
    tensors = {"faces": golden["mesh.faces.0"].long(), "template": vertices}
    for level in (0, 1):
        faces, kept = golden[f"mesh.faces.{level}"].long(), golden[f"mesh.down.{level}"].long()
        columns, weights = golden[f"mesh.up.{level}.columns"].long(), golden[f"mesh.up.{level}.weights"]
        fine, coarse = len(columns), len(kept)
        rows = torch.arange(fine).repeat_interleave(3)
        tensors |= {
            f"spirals.{level}": torch.from_numpy(spiral_indices(faces.numpy(), vertices.numpy(), 9)),
            f"down.{level}.indices": torch.stack([torch.arange(coarse), kept]),
            f"down.{level}.values": torch.ones(coarse),
            f"down.{level}.shape": torch.tensor([coarse, fine]),
            f"up.{level}.indices": torch.stack([rows, columns.flatten()]),
            f"up.{level}.values": weights.flatten(),
            f"up.{level}.shape": torch.tensor([fine, coarse]),
        }
        vertices = vertices[kept]
    return Topology.from_tensors({f"topology.{key}": tensor for key, tensor in tensors.items()})


def without_second_layer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The checkpoint with one injected layer for its two blocks: interval 2."""
    return {key: value for key, value in state.items() if not key.startswith("layer_attention.1.")}


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """|actual - expected| / |expected| in float64."""
    actual, expected = actual.double(), expected.double()
    return float((actual - expected).norm() / expected.norm())
