"""Files of FantasyID-Tiny's small networks: safetensors with the sizes in the metadata."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ..files.network import load_network, save_network
from .vae import TinyVae, VaeConfig

SHIPPED = Path(__file__).with_name("weights")
SHIPPED_VAE = SHIPPED / "vae.safetensors"


def save_vae(vae: TinyVae, path: str | os.PathLike, dtype: torch.dtype = torch.bfloat16) -> None:
    """Writes the VAE as .safetensors, sizes in the metadata. Raises OSError; an older file is then unchanged."""
    save_network(vae, path, "tiny_vae", dtype)


def load_vae(path: str | os.PathLike | None = None, dtype: torch.dtype = torch.float32) -> TinyVae:
    """The VAE of a file that `save_vae` wrote, by default the shipped one; frozen, in evaluation mode.

    Raises FileNotFoundError, and ValueError for damaged files and those of other networks.
    """
    return load_network(TinyVae, VaeConfig, path or SHIPPED_VAE, "tiny_vae", dtype)
