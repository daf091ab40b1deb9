"""Files of FantasyID-Tiny's small networks: safetensors with the sizes in the metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..files.checkpoint import open_checkpoint
from ..files.writing import write_aside
from .vae import TinyVae, VaeConfig

SHIPPED = Path(__file__).with_name("weights")
SHIPPED_VAE = SHIPPED / "vae.safetensors"
METADATA_KEY = "fantasyid"
_KEPT = ("latents_mean", "latents_std")  # few numbers on which all latents depend: float32 in every file


def save_vae(vae: TinyVae, path: str | os.PathLike, dtype: torch.dtype = torch.bfloat16) -> None:
    """Writes the VAE as .safetensors, sizes in the metadata. Raises OSError; an older file is then unchanged."""
    save_network(vae, path, "tiny_vae", dtype)


def load_vae(path: str | os.PathLike | None = None, dtype: torch.dtype = torch.float32) -> TinyVae:
    """The VAE of a file that `save_vae` wrote, by default the one that comes along; frozen, in evaluation mode.

    Raises FileNotFoundError, and ValueError for damaged files and those of other networks.
    """
    return load_network(TinyVae, VaeConfig, path or SHIPPED_VAE, "tiny_vae", dtype)


def save_network(network: nn.Module, path: str | os.PathLike, kind: str, dtype: torch.dtype = torch.bfloat16) -> None:
    """Writes a network that has a `config` dataclass."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {
        name: value.detach().to(torch.float32 if name in _KEPT else dtype).contiguous()
        for name, value in network.state_dict().items()
    }
    # One key alone: safetensors writes several in any order, and equal networks shall be equal files.
    metadata = {METADATA_KEY: json.dumps({"kind": kind, **asdict(network.config)})}
    with write_aside(path) as aside:
        try:
            save_file(tensors, aside, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


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
    wrong = [f"{key} is missing" for key in own if key not in tensors]
    wrong += [f"{key} is unknown" for key in tensors if key not in own]
    wrong += [
        f"{key} is {list(tensors[key].shape)} instead of {list(own[key].shape)}"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    wrong += [f"{key} holds NaN or infinity" for key in own if key in tensors and not tensors[key].isfinite().all()]
    if wrong:
        raise ValueError(f"{name} does not fit the network: {'; '.join(wrong[:5])}. Get the file again.")
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in tensors.items()})


def _sizes(metadata: Mapping[str, str], path, kind: str, config: type) -> dict:
    try:
        described = json.loads(metadata.get(METADATA_KEY, "{}"))
    except json.JSONDecodeError:
        described = {}
    found = described.pop("kind", None)
    known = set(config.__dataclass_fields__)
    if found != kind or set(described) - known:
        raise ValueError(
            f"Expected {path} to be a {kind} file of this project, got {found or 'a file that does not say what it is'}"
            ". Choose the file that its trainer wrote."
        )
    return {key: tuple(value) if isinstance(value, list) else value for key, value in described.items()}
