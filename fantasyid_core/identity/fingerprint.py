"""Fingerprints of adapters: only the adapter that made an identity's tokens can use them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .adapter import IdentityAdapter

# Not in the fingerprint of the older variants, so that identities which were saved before there was another one stay
# valid.
_OF_PAPER = ("spiral_widths", "shape_components", "grid", "use_face", "use_vertices", "shared_injection")
_OF_CONSISID = (
    "identity_states", "vector_width", "vector_tokens", "extractor_depth", "extractor_heads", "extractor_head_dim",
    "local_face_scale",
)  # fmt: skip


def adapter_fingerprint(adapter: IdentityAdapter) -> str:
    """The adapter's fingerprint: sixteen hex digits, equal for one adapter in every precision."""
    # Signs survive every rounding, even the underflow to zero of 8 bits.
    matrices = (adapter.encoder.telling_matrix, adapter.layers[0].to_kv.weight)
    signs = torch.cat([torch.signbit(matrix.detach().float().flatten()[:4096]).cpu() for matrix in matrices])
    left_out: set[str] = set()
    left_out.update(() if adapter.config.is_paper else _OF_PAPER)
    left_out.update(() if adapter.config.is_consisid else _OF_CONSISID)
    config = {name: value for name, value in asdict(adapter.config).items() if name not in left_out}
    config = repr(sorted(config.items()))
    return hashlib.sha256(config.encode() + bytes(signs.tolist())).hexdigest()[:16]
