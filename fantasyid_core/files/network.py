"""Files of this project's own small networks: safetensors with the sizes in the metadata, and the one strict load."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor, nn

from .checkpoint import open_checkpoint
from .strict import mismatch, not_finite
from .tensorfile import write_tensors
from .writing import write_aside

METADATA_KEY = "fantasyid"
_KEPT = ("latents_mean", "latents_std")  # few numbers on which all latents depend: float32 in every file


def save_network(network: nn.Module, path: str | os.PathLike, kind: str, dtype: torch.dtype = torch.bfloat16) -> None:
    """Writes a network that has a `config` dataclass."""
    tensors = {
        name: value.detach().to(torch.float32 if name in _KEPT else dtype).contiguous()
        for name, value in network.state_dict().items()
    }
    metadata = {METADATA_KEY: json.dumps({"kind": kind, **asdict(network.config)})}
    with write_aside(path) as aside:
        write_tensors(aside, tensors, metadata)


def kind_of(path: str | os.PathLike) -> str | None:
    """The kind of network that `save_network` wrote there; None for other files. FileNotFoundError without one."""
    return _described(open_checkpoint(path).metadata).get("kind")


def load_network(make: type, config: type, path: str | os.PathLike, kind: str, dtype: torch.dtype) -> nn.Module:
    """Reads what `save_network` wrote; errors as `load_vae`."""
    checkpoint = open_checkpoint(path)
    sizes = _sizes(checkpoint.metadata, path, kind, config)
    network = make(config(**sizes))
    load_strictly(network, {name: checkpoint.read(name) for name in checkpoint}, str(path))
    return network.to(dtype).requires_grad_(False).eval()


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Copies tensors into a network; ValueError with the first five that are missing, unknown or misshapen."""
    own = network.state_dict()
    wrong = mismatch(tensors, {key: tuple(value.shape) for key, value in own.items()}) or not_finite(tensors)
    if wrong:
        raise ValueError(f"{name} does not fit the network: {wrong}. Get the file again.")
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in tensors.items()})


def _sizes(metadata: Mapping[str, str], path, kind: str, config: type) -> dict:
    described = _described(metadata)
    found = described.pop("kind", None)
    known = set(config.__dataclass_fields__)
    if found != kind or set(described) - known:
        raise ValueError(
            f"Expected {path} to be a {kind} file of this project, got {found or 'a file that does not say what it is'}"
            ". Choose the file that its trainer wrote."
        )
    return {key: tuple(value) if isinstance(value, list) else value for key, value in described.items()}


def _described(metadata: Mapping[str, str]) -> dict:
    try:
        described = json.loads(metadata.get(METADATA_KEY, "{}"))
    except json.JSONDecodeError:
        return {}
    return described if isinstance(described, dict) else {}
