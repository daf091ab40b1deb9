"""FantasyID on diffusers: `model` (its CogVideoX), `attach` (the identity), `others` (VAE, T5, schedule)."""

from .attach import Attachment, attach
from .model import build_transformer, load_transformer, rotary_table, transformer_sizes

__all__ = ["Attachment", "attach", "build_transformer", "load_transformer", "rotary_table", "transformer_sizes"]
