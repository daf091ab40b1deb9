"""Telling adapters apart: identities hold tokens that only the adapter which made them can read."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .model import IdentityAdapter


def adapter_fingerprint(adapter: IdentityAdapter) -> str:
    """Sixteen hex digits that tell adapters apart; the same for one adapter in every precision."""
    # Signs survive every rounding, even the underflow to zero of 8 bits.
    matrices = (adapter.encoder.face_abstractor.projection, adapter.layers[0].to_kv.weight)
    signs = torch.cat([torch.signbit(matrix.detach().float().flatten()[:4096]).cpu() for matrix in matrices])
    config = repr(sorted(asdict(adapter.config).items()))
    return hashlib.sha256(config.encode() + bytes(signs.tolist())).hexdigest()[:16]
