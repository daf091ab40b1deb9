"""FantasyID-Tiny as the host's own types: MODEL, CLIP and VAE that stock nodes take, beside adapter and face encoder.

The host recognises networks by the sizes in their files, and among CogVideoX's it knows only the 5B model's VAE and T5.
Therefore its classes are made here around the project's small networks. All of them are in float32, a few megabytes
each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ...face.align import FaceCrop
from ...weights.adapter import load_adapter
from .condition import WITHOUT_PICTURE
from .model import load_model

if TYPE_CHECKING:
    from ...identity.adapter import IdentityAdapter
    from ...tinymodel.models import TinyModels

TOKENS = "fantasyid_tiny"
_BYTES_PER_VALUE = 600  # of working memory per pixel of a video, with much to spare


class HostedTiny(NamedTuple):
    """The outputs of Load Model for the small model."""

    model: object
    adapter: IdentityAdapter
    clip: object
    vae: object
    encoder: TinyHostedEncoder


@dataclass(frozen=True, eq=False)
class TinyHostedEncoder:
    """The small face encoder in the place of `encode.HostedFaceEncoder`."""

    patcher: object

    def encode(self, face: FaceCrop) -> Tensor:
        """Float32 features [1, P, C] of a face crop, on the encoder's device."""
        import comfy.model_management

        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model.encode(face.pixels()).float()


def load_tiny(folder: str | os.PathLike) -> HostedTiny:
    """The small model of a folder: transformer/, adapter.safetensors, and the three small networks' files.

    Raises FileNotFoundError and ValueError as the loaders of the parts do.
    """
    from ...tinymodel.models import tiny_models

    folder = Path(folder)
    networks = tiny_models(folder)
    model = load_model(folder / "transformer", dtype=torch.float32)
    model.set_attachments(WITHOUT_PICTURE, True)
    return HostedTiny(model, load_adapter(folder / "adapter.safetensors"), *_hosted(networks, model))


def _hosted(networks: TinyModels, model) -> tuple[object, object, TinyHostedEncoder]:
    scale = model.model.latent_format.scale_factor
    return (
        host_text_encoder(networks.text_encoder),
        host_vae(networks.vae, scale),
        TinyHostedEncoder(_patcher(networks.face_encoder)),
    )


def not_in_release() -> tuple:
    """Placeholders for clip, vae and encoder when a release was loaded: the host stops the run at a node that uses
    them."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return tuple(
        ExecutionBlocker(
            f"FantasyID Load Model has this output for FantasyID-Tiny only. For other models connect {node} instead."
        )
        for node in ("Load CLIP (type cogvideox)", "Load VAE", "FantasyID Load Face Encoder")
    )


def host_vae(vae: nn.Module, scale: float):
    """`TinyVae` as the host's VAE. scale: what the MODEL's latents are divided by before they come here."""
    return _vae_class()(vae, scale)


def host_text_encoder(encoder: nn.Module):
    """`TextEncoder` as the host's CLIP: stock nodes tokenize and encode with it."""
    import comfy.sd

    clip = comfy.sd.CLIP(no_init=True)
    clip.cond_stage_model = _PromptModel(encoder)
    clip.tokenizer = _Words()
    clip.patcher = _patcher(clip.cond_stage_model)
    clip.layer_idx, clip.use_clip_schedule, clip.apply_hooks_to_conds, clip.tokenizer_options = None, False, None, {}
    return clip


def is_tiny_text(clip) -> bool:
    """Whether a CLIP is the small one, whose prompts are words and not T5's tokens."""
    return isinstance(getattr(clip, "cond_stage_model", None), _PromptModel)


class _Words:
    """The tokenizer. It passes the text on, because the encoder reads words."""

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_) -> dict:
        return {TOKENS: text}

    def state_dict(self) -> dict:
        return {}


class _PromptModel(nn.Module):
    """The interface that the host expects of a text encoder."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.dtypes = {torch.float32}

    def encode_token_weights(self, tokens: dict) -> tuple[Tensor, Tensor]:
        cond = self.encoder.encode([tokens[TOKENS]]).float()
        return cond.cpu(), cond.mean(dim=1).cpu()

    def reset_clip_options(self) -> None:
        pass  # there are none: layers and projections are those of the host's CLIP models

    def set_clip_options(self, _options: dict) -> None:
        pass


class _FirstStage(nn.Module):
    """Pixels in -1..1 [B,3,T,H,W] <-> latents as the host keeps them outside of models [B,C,L,h,w]."""

    def __init__(self, vae: nn.Module, scale: float):
        super().__init__()
        self.vae, self.scale = vae, scale

    def encode(self, pixels: Tensor) -> Tensor:
        return self.vae.encode((pixels + 1) / 2) / self.scale

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents * self.scale) * 2 - 1

    _decode_batched = decode  # the name by which `vae.check_vae` knows CogVideoX's


@lru_cache(maxsize=1)
def _vae_class() -> type:
    import comfy.model_management
    import comfy.sd

    class TinyHostVae(comfy.sd.VAE):
        """The host's VAE without its search for what a file holds."""

        def __init__(self, vae: nn.Module, scale: float):
            side, frames = vae.config.patch, vae.config.group
            self.first_stage_model = _FirstStage(vae, scale).requires_grad_(False).eval()
            self.latent_channels, self.latent_dim, self.output_channels = vae.config.latent_channels, 3, 3
            self.downscale_ratio = (lambda count: max(1, (count + frames - 1) // frames), side, side)
            self.upscale_ratio = (lambda count: max(1, count * frames - frames + 1), side, side)
            self.downscale_index_formula = self.upscale_index_formula = (frames, side, side)
            self.memory_used_encode = lambda shape, dtype: _pixels(shape, 1, 1) * _BYTES_PER_VALUE
            self.memory_used_decode = lambda shape, dtype: _pixels(shape, frames, side) * _BYTES_PER_VALUE
            self.process_input = lambda image: image * 2.0 - 1.0
            self.process_output = lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0)
            self.working_dtypes, self.vae_dtype = [torch.float32], torch.float32
            self.device = comfy.model_management.vae_device()
            self.output_device = comfy.model_management.intermediate_device()
            self.pad_channel_value = self.extra_1d_channel = self.format_encoded = self.size = None
            self.disable_offload, self.not_video, self.crop_input, self.handles_tiling = False, False, True, False
            self.patcher = _patcher(self.first_stage_model, self.device)

    return TinyHostVae


def _pixels(shape, frames: int, side: int) -> int:
    return shape[2] * frames * shape[3] * side * shape[4] * side


def _patcher(module: nn.Module, device: torch.device | None = None):
    import comfy.model_management
    import comfy.model_patcher

    device = device or comfy.model_management.text_encoder_device()
    module.requires_grad_(False).eval()
    # The plain patcher: layers that are not the host's own cannot be loaded piece by piece.
    return comfy.model_patcher.ModelPatcher(
        module, load_device=device, offload_device=comfy.model_management.text_encoder_offload_device()
    )
