"""FantasyID on ComfyUI's own CogVideoX: model loading, identity injection, exact sampling and decoding.

The host's model is used as it is, with three corrections that its CogVideoX 1.0 support lacks
(`corrections`), and is never changed by an attached identity (`attachment`).
"""

from .attachment import SIDE_BY_SIDE, attach, attach_controlled, describe_cost, encoder_patcher
from .model import load_model
from .preview import preview_map
from .prompt import encode_prompt
from .sampler import initial_noise, sample
from .vae import decode_video, encode_crop

__all__ = [
    "SIDE_BY_SIDE",
    "attach",
    "attach_controlled",
    "decode_video",
    "describe_cost",
    "encode_crop",
    "encode_prompt",
    "encoder_patcher",
    "initial_noise",
    "load_model",
    "preview_map",
    "sample",
]
