"""The sizes of a model's networks, from the headers of its files; no weight is read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import TransformerConfig
from ..files.checkpoint import Checkpoint, open_checkpoint, read_config
from ..host.diffusers.mechanisms import STAYS_WHOLE
from ..weights.adapter import live_keys
from ..weights.transformer import transformer_config, transformer_keys

_PER_TOKEN = 14
"""Hidden states of a block that are alive at once, in widths: norms, q, k, v, the four widths of the feed-forward."""
_PER_PIXEL = 8
"""Feature maps of the VAE's first width that are alive at once at full resolution, with what its convolutions keep."""
_VAE_FRAMES = 8  # that it decodes at once
_TILE = 0.25  # share of the picture in one tile


@dataclass(frozen=True)
class Network:
    """Numbers of weights, and the bytes that they have in the file. kept: of these, what no 8-bit storage touches."""

    weights: int
    stored: int
    kept: int = 0

    def bytes(self, dtype: torch.dtype, eight_bits: bool = False) -> int:
        """In memory with this dtype, the weights that may be in 8 bits being so if asked for."""
        return self.kept * dtype.itemsize + (self.weights - self.kept) * (1 if eight_bits else dtype.itemsize)

    def is_mapped(self, dtype: torch.dtype) -> bool:
        """Whether the weights stay in the file: they have the dtype that is wanted."""
        return self.stored == self.weights * dtype.itemsize


@dataclass(frozen=True)
class ModelSizes:
    """The networks of a release folder. injection: the layers; folded: what stays of them for one person."""

    transformer: Network
    injection: Network
    identity: Network
    text_encoder: Network
    vae: Network
    face_encoder: Network
    folded: int
    config: TransformerConfig
    vae_width: int

    def sampling_work(self, dtype: torch.dtype, halves: int = 2) -> int:
        """Bytes of activations in a step with `halves` halves of guidance."""
        tokens = self.config.video_tokens + self.config.max_text_seq_length
        return halves * tokens * self.config.width * _PER_TOKEN * dtype.itemsize

    def decoding_work(self, dtype: torch.dtype, tiling: bool = False) -> int:
        """Bytes of activations while the VAE decodes."""
        pixels = 64 * self.config.sample_height * self.config.sample_width * (_TILE if tiling else 1)
        return int(pixels * _VAE_FRAMES * self.vae_width * _PER_PIXEL * dtype.itemsize)


def model_sizes(folder: str | os.PathLike) -> ModelSizes:
    """Sizes of the release folder `folder`; parts that are not there count nothing. Raises as the readers do."""
    folder = Path(folder)
    checkpoint = open_checkpoint(folder)
    keys, live = transformer_keys(checkpoint), live_keys(checkpoint)
    config = transformer_config(checkpoint)
    layers = [key for key, own in live.items() if own.startswith("layers.")]
    kept = [key for key, name in keys.items() if stays_whole(name)]
    # to_kv goes, the rest of a layer is folded with one person's tokens into a little more than half.
    folded = sum(checkpoint.tensors[key].bytes // checkpoint.tensors[key].dtype.itemsize for key in layers)
    return ModelSizes(
        transformer=_network(checkpoint, keys, kept),
        injection=_network(checkpoint, layers),
        identity=_network(checkpoint, [key for key in live if key not in set(layers)]),
        text_encoder=_network_in(folder / "text_encoder"),
        vae=_network_in(folder / "vae"),
        face_encoder=_network_in(folder / "face_encoder"),
        folded=int(folded * 0.54),
        config=config,
        vae_width=_vae_width(folder),
    )


def stays_whole(name: str) -> bool:
    """Whether a tensor of the transformer (diffusers' names) keeps its precision when the others are in 8 bits.

    Norms and embeddings; what `norm1.linear` computes from the timestep is a matrix like the others, as in `convert`.
    """
    return any(part in name for part in STAYS_WHOLE) or ("norm" in name and ".linear." not in name)


def _network(checkpoint: Checkpoint, keys, kept=()) -> Network:
    def count(names) -> int:
        return sum(checkpoint.tensors[key].bytes // checkpoint.tensors[key].dtype.itemsize for key in names)

    return Network(count(keys), sum(checkpoint.tensors[key].bytes for key in keys), count(kept))


def _network_in(folder: Path) -> Network:
    try:
        checkpoint = open_checkpoint(folder)
    except (OSError, ValueError):
        return Network(0, 0)
    return _network(checkpoint, list(checkpoint))


def _vae_width(folder: Path) -> int:
    try:
        return int(read_config(folder / "vae").get("block_out_channels", [128])[0])
    except (OSError, ValueError, TypeError, LookupError, json.JSONDecodeError):
        return 128
