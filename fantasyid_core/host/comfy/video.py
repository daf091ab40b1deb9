"""The host's empty LATENT becomes a video, and the video's latent becomes frames."""

from __future__ import annotations

import torch
from torch import Tensor

from ...sampling.continuation import repeated_frames
from .condition import BEGIN, check_conditioned
from .corrections import check_latent, check_still, native_sizes
from .layers import KEY
from .preview import PREVIEW_KEY, progress_callback
from .sampler import check_text_of, sample
from .vae import decode_video


def sample_latent(model, positive, negative, latent: dict, watch=None, **settings) -> dict:
    """`sample` for the host's LATENT, with progress bar and live preview; settings: seed, steps, cfg, solver, frames.

    A latent of Video Conditioning that continues a video holds what the new one begins with.
    watch(step, clean) is called after every step with the clean latents that the model expects; what it raises
    ends the run.
    Raises ValueError for a latent that is not empty, holds several videos, or has another size, and for prompts that
    did not come through Video Conditioning.
    """
    samples, sizes = latent["samples"], native_sizes(model)
    check_latent(sizes, samples.shape)
    if samples.shape[0] != 1:
        raise ValueError(
            f"Expected the latent of one video, got {samples.shape[0]}. Queue the workflow once per video instead."
        )
    if samples.any() or "noise_mask" in latent:
        raise ValueError(
            "Expected the empty latent of FantasyID Video Conditioning, got one that holds a video or a mask. The "
            "sampler starts from noise; it cannot repaint a video, and continues one that Video Conditioning is given."
        )
    check_text_of(sizes, positive, negative)
    used = {"positive": positive} if settings["cfg"] == 1 else {"positive": positive, "negative": negative}
    check_conditioned(model, sizes, **used)
    if settings.get("frames", 0) > sizes.sample_frames:
        _check_for_windows(model, sizes)
    callback = progress_callback(model, settings["steps"], latent.get(PREVIEW_KEY), watch)
    video = sample(model, None, positive, negative, callback=callback, begin=latent.get(BEGIN), **settings)
    return {**latent, "samples": video}


def _check_for_windows(model, sizes) -> None:
    entries = model.get_attachment(KEY) or ()
    check_still(sizes, (entry.region.weights for entry in entries if entry.region is not None))
    options = model.model_options.get("transformer_options", {})
    if "easycache" in options:
        raise ValueError(
            "EasyCache and LazyCache would mix up the windows of a longer video. Take the caching node out, or set "
            "frames to 0."
        )


def decode_latent(vae, latent: dict, tile: int = 0, before: Tensor | None = None) -> Tensor:
    """The frames [T, H, W, 3] in 0..1 of the host's LATENT, see `decode_video`.

    before: the video that was continued, which then comes first; what both show is there once. Raises ValueError for
    a latent that continues no video.
    """
    frames = decode_video(vae, latent["samples"], tile)
    if before is None:
        return frames
    begin = latent.get(BEGIN)
    if begin is None:
        raise ValueError(
            "Expected the latent of a video that continues another, got one that does not. Connect the video to "
            "FantasyID Video Conditioning, too, or disconnect it here."
        )
    if before.shape[1:] != frames.shape[1:]:
        raise ValueError(
            f"Expected the video that was continued, of {frames.shape[2]} x {frames.shape[1]} pixels, got "
            f"{before.shape[2]} x {before.shape[1]}. Connect the one that Video Conditioning got."
        )
    return torch.cat([before.to(frames), frames[repeated_frames(begin.shape[2]) :]])
