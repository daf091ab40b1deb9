"""Fingerprints of video models, because an adapter works only with the video model that it was trained with.

FantasyID's and ConsisID's video models have equal shapes, so shapes cannot tell them apart. The fingerprint is made of
the signs of weights: signs survive every rounding, even the underflow of eight bits, so a model has one fingerprint in
every precision. The weights are of layers that LoRAs leave alone and that another training of the same base changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from ..files.checkpoint import Checkpoint
from ..files.keymaps import host_name

TOLD_BY = ("patch_embed.proj.weight", "proj_out.weight", "norm_out.linear.weight")  # diffusers' names
_COUNT = 16384  # numbers of each


def transformer_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits of the weights named in `TOLD_BY`; "" when one is missing, or is not held as numbers."""
    chosen = [weights[name] for name in TOLD_BY if name in weights]
    if len(chosen) < len(TOLD_BY) or any(not value.is_floating_point() or value.is_meta for value in chosen):
        return ""
    signs = torch.cat([torch.signbit(value.detach().flatten()[:_COUNT].float()).cpu() for value in chosen])
    return hashlib.sha256(bytes(signs.tolist())).hexdigest()[:16]


def checkpoint_fingerprint(checkpoint: Checkpoint) -> str:
    """Of the video model in a checkpoint, in either naming; "" without one."""
    either = {
        name: [key for key in (name, host_name(name)) if key is not None and key in checkpoint] for name in TOLD_BY
    }
    if not all(either.values()):
        return ""
    keys = {name: found[0] for name, found in either.items()}
    return transformer_fingerprint({name: checkpoint.read(key) for name, key in keys.items()})


def check_transformer(wanted: str, found: str) -> None:
    """Raises ValueError when an adapter made for one video model is put on another; "" is not known and fits."""
    if wanted and found and wanted != found:
        raise ValueError(
            f"The adapter belongs to the video model {wanted}, this one is {found}: it has the same sizes, but was "
            "trained otherwise (FantasyID's and ConsisID's models are such a pair), so the person would not come out "
            "right. Use the model and the adapter of one release."
        )
