"""Renames EVA-CLIP's parameters from the official file to timm's names."""

from __future__ import annotations

# Prefixes under which the image tower is published, in the order in which they are tried.
PREFIXES = ("module.visual.trunk.", "visual.trunk.", "module.visual.", "visual.", "module.", "")
# Part of an official name -> the same part of timm's.
_RENAMED = (
    (".attn.inner_attn_ln.", ".attn.norm."),
    (".attn.q_bias", ".attn.q_proj.bias"),
    (".attn.v_bias", ".attn.v_proj.bias"),
    (".mlp.ffn_ln.", ".mlp.norm."),
    (".mlp.w1.", ".mlp.fc1_g."),
    (".mlp.w2.", ".mlp.fc1_x."),
    (".mlp.w3.", ".mlp.fc2."),
)


def rename_key(name: str) -> str:
    """An official parameter name below `visual.` -> timm's name; timm's names stay as they are."""
    for official, timm in _RENAMED:
        name = name.replace(official, timm)
    return name
