"""Telling adapters apart: identities hold tokens that only the adapter which made them can read."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .adapter import IdentityAdapter

# Not in the release's fingerprint, so that identities which were saved before there was the other variant stay valid.
_OF_PAPER = ("spiral_widths", "shape_components", "grid", "use_face", "use_vertices", "shared_injection")


def adapter_fingerprint(adapter: IdentityAdapter) -> str:
    """Sixteen hex digits that tell adapters apart; the same for one adapter in every precision."""
    # Signs survive every rounding, even the underflow to zero of 8 bits.
    matrices = (adapter.encoder.telling_matrix, adapter.layers[0].to_kv.weight)
    signs = torch.cat([torch.signbit(matrix.detach().float().flatten()[:4096]).cpu() for matrix in matrices])
    config = asdict(adapter.config)
    if not adapter.config.is_paper:
        config = {name: value for name, value in config.items() if name not in _OF_PAPER}
    config = repr(sorted(config.items()))
    return hashlib.sha256(config.encode() + bytes(signs.tolist())).hexdigest()[:16]
