"""The host's CogVideoX VAE as the official pipeline uses it: one encoded crop, an exact decode."""

from __future__ import annotations

import torch
from torch import Tensor

from ...config import PIXELS_PER_LATENT, TransformerConfig
from .listening import module_listening

_OVERLAP = 8  # latent pixels that neighbouring tiles share


def encode_crop(vae, image: Tensor, sizes: TransformerConfig) -> Tensor:
    """The face crop [1, H, W, 3] in 0..1 -> unscaled latent of one frame, [1, C, 1, h, w].

    As official: Lanczos stretch to the video's size; the host scales the latent once and pads with zero frames.
    """
    import comfy.utils

    check_vae(vae, sizes)
    height, width = picture_size(vae, sizes)
    stretched = comfy.utils.common_upscale(image[..., :3].movedim(-1, 1), width, height, "lanczos", "disabled")
    with module_listening(vae.first_stage_model):
        return vae.encode(stretched.movedim(1, -1))


def picture_size(vae, sizes: TransformerConfig) -> tuple[int, int]:
    """Height and width in pixels of a video of `sizes`, as `vae` encodes it."""
    side = vae.spacial_compression_encode()  # pixels per latent
    return sizes.sample_height * side, sizes.sample_width * side


def encode_frames(vae, frames: Tensor) -> Tensor:
    """Frames [T, H, W, 3] in 0..1, T at most 15 -> unscaled latents [1, C, T', h, w], equal to diffusers' encode."""
    check_vae(vae)
    first_stage = vae.first_stage_model
    with module_listening(first_stage):
        if not hasattr(first_stage, "encoder"):  # FantasyID-Tiny's
            return vae.encode(frames)
        pixels = vae.process_input(frames[..., :3].movedim(-1, 0)[None])  # [1, 3, T, H, W]
        _load(vae, vae.memory_used_encode(pixels.shape, vae.vae_dtype))
        # The host's own encode takes the odd frame apart; diffusers' takes up to 15 frames at once.
        found, _ = first_stage.encoder(pixels.to(vae.device, vae.vae_dtype))
        return found.chunk(2, dim=1)[0].to(vae.output_device, torch.float32)


def decode_video(vae, latents: Tensor, tile: int = 0) -> Tensor:
    """Latents [1, C, T, h, w] -> frames [T', H, W, 3] in 0..1, equal to diffusers' decode.

    tile: 0 decodes the whole picture (exact); otherwise the side of a tile in pixels, at least 128, which needs
    less memory and blends the seams. Raises ValueError for other shapes or tiles.
    """
    check_vae(vae)
    if latents.ndim != 5 or latents.shape[1] != vae.latent_channels:
        raise ValueError(
            f"Expected video latents [B, {vae.latent_channels}, T, h, w] for this VAE, got {list(latents.shape)}. "
            "Connect the latent of FantasyID Sampler, and the VAE that belongs to its model."
        )
    if not torch.isfinite(latents).all():
        raise ValueError(
            "Expected the latent of a video, got one with numbers that are not finite (NaN or infinite): what made it "
            "failed. A model in fp16 is the usual cause; load it in bf16 or fp32."
        )
    if tile and tile < 128:
        raise ValueError(f"Expected a tile of 0 (whole picture) or at least 128 pixels, got {tile}.")
    side = tile // PIXELS_PER_LATENT
    part = latents if not tile else latents[..., :side, :side]
    _load(vae, vae.memory_used_decode(part.shape, vae.vae_dtype))
    decoder = getattr(vae.first_stage_model, "decoder", None)
    with module_listening(vae.first_stage_model, decoder, _decoder_calls(vae, latents, side)):
        frames = [_decode(vae, latents[i : i + 1], side) for i in range(latents.shape[0])]
    return _finite(torch.cat(frames).movedim(1, -1), vae)


def _finite(video: Tensor, vae) -> Tensor:
    """The very same frames; ValueError when a number of them is not finite."""
    if not torch.isfinite(video).all():
        raise ValueError(
            f"The VAE gave numbers that are not finite (NaN or infinite) in {str(vae.vae_dtype).split('.')[-1]}, so "
            "the video would be black. Start ComfyUI with --fp32-vae, or with --bf16-vae where the graphics card knows "
            "it."
        )
    return video


def _decoder_calls(vae, latents: Tensor, tile: int) -> int:
    count, _, frames, height, width = latents.shape
    tiles = len(_starts(height, tile)) * len(_starts(width, tile)) if tile else 1
    return count * tiles * max(frames // getattr(vae.first_stage_model, "num_latent_frames_batch_size", 2), 1)


def check_vae(vae, sizes: TransformerConfig | None = None) -> None:
    """Raises ValueError unless `vae` is CogVideoX's, and has the channels of a model of `sizes`."""
    if not hasattr(getattr(vae, "first_stage_model", None), "_decode_batched"):
        raise ValueError(
            f"Expected the CogVideoX VAE, got {type(getattr(vae, 'first_stage_model', vae)).__name__}. "
            "Load vae/diffusion_pytorch_model.safetensors of the model with the host's VAE loader."
        )
    if sizes is not None and vae.latent_channels != sizes.out_channels:
        raise ValueError(
            f"Expected the VAE of the connected model, with {sizes.out_channels} latent channels, got one with "
            f"{vae.latent_channels}: it belongs to another model. Load vae/diffusion_pytorch_model.safetensors of the "
            "model with the host's VAE loader; for FantasyID-Tiny take the VAE that FantasyID Load Model gives out."
        )


def _load(vae, memory: int) -> None:
    import comfy.model_management

    comfy.model_management.load_models_gpu([vae.patcher], memory_required=memory, force_full_load=vae.disable_offload)


def _decode(vae, latents: Tensor, tile: int) -> Tensor:  # [1, C, T, h, w] -> [T', 3, H, W]
    latents = latents.to(vae.device, vae.vae_dtype)
    # The host's own decode normalises over the whole clip; in batches of two latent frames it is the official one.
    if tile and tile < max(latents.shape[-2:]):
        video = _decode_tiled(vae.first_stage_model._decode_batched, latents, tile, vae.output_device)
    else:
        video = vae.first_stage_model._decode_batched(latents)
    video = video.to(device=vae.output_device, dtype=torch.float32)
    return vae.process_output(video)[0].movedim(1, 0)


def _decode_tiled(decode, latents: Tensor, tile: int, device) -> Tensor:
    """Tiles of the whole clip, blended linearly where they overlap."""
    height, width = latents.shape[-2:]
    total = weight = None
    for top in _starts(height, tile):
        for left in _starts(width, tile):
            part = decode(latents[..., top : top + tile, left : left + tile]).to(device, torch.float32)
            if total is None:
                scale = part.shape[-1] // min(tile, width)
                total = part.new_zeros(*part.shape[:-2], height * scale, width * scale)
                weight = part.new_zeros(height * scale, width * scale)
            ramp = _ramp(part.shape[-2:], _OVERLAP * scale).to(part)
            rows = slice(top * scale, top * scale + part.shape[-2])
            columns = slice(left * scale, left * scale + part.shape[-1])
            total[..., rows, columns] += part * ramp
            weight[rows, columns] += ramp
    return total / weight


def _starts(size: int, tile: int) -> list[int]:
    """Where tiles begin, so that neighbours overlap and the last one ends at the border."""
    if size <= tile:
        return [0]
    return sorted({*range(0, size - tile, tile - _OVERLAP), size - tile})


def _ramp(shape, overlap: int) -> Tensor:
    """Weights of a tile, falling towards its borders."""
    rows, columns = (torch.minimum(torch.arange(n), torch.arange(n).flip(0)).add(1).clamp(max=overlap) for n in shape)
    return rows[:, None].float() * columns[None, :].float()
