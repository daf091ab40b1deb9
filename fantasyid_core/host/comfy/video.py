"""The host's empty LATENT becomes a video."""

from __future__ import annotations

from .condition import check_conditioned
from .corrections import check_latent, native_sizes
from .preview import PREVIEW_KEY, progress_callback
from .sampler import check_text_of, sample


def sample_latent(model, positive, negative, latent: dict, watch=None, **settings) -> dict:
    """`sample` for the host's LATENT, with progress bar and live preview; settings: seed, steps, cfg, solver.

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
            "sampler starts from noise; it cannot continue or repaint a video."
        )
    check_text_of(sizes, positive, negative)
    used = {"positive": positive} if settings["cfg"] == 1 else {"positive": positive, "negative": negative}
    check_conditioned(model, sizes, **used)
    callback = progress_callback(model, settings["steps"], latent.get(PREVIEW_KEY), watch)
    video = sample(model, None, positive, negative, callback=callback, **settings)
    return {**latent, "samples": video}
