"""The video while it is being sampled: a progress bar, and the middle frame as a picture."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from .vae import check_vae

PREVIEW_KEY = "fantasyid_preview"  # of a LATENT: the VAE's map from latent channels to RGB

_maps: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # first-stage model -> preview map
_CHART_LEVELS, _CHART_PATCH = 4, 32  # colours per channel, pixels per side of a patch


def progress_callback(model, steps: int, to_rgb: Tensor | None, watch=None):
    """callback(step, clean, x, total) that moves the host's progress bar, shows the middle frame, calls `watch`.

    No picture without `to_rgb` (see `preview_map`), nor when the user has switched live previews off.
    """
    import comfy.utils
    from comfy.cli_args import LatentPreviewMethod, args

    bar = comfy.utils.ProgressBar(steps)
    with_picture = to_rgb is not None and args.preview_method != LatentPreviewMethod.NoPreviews

    def on_step(step: int, clean: Tensor, x: Tensor, total: int) -> None:
        bar.update_absolute(step + 1, total, _preview(model, clean, to_rgb) if with_picture else None)
        if watch is not None:
            watch(step, clean)

    return on_step


def _preview(model, clean: Tensor, to_rgb: Tensor):
    import latent_preview
    from PIL import Image

    picture = preview_image(model.model.process_latent_out(clean), to_rgb)  # [h, w, 3]
    pixels = (picture * 255).round().to(torch.uint8).numpy()
    return "JPEG", Image.fromarray(pixels), latent_preview.MAX_PREVIEW_RESOLUTION


def preview_map(vae) -> Tensor:
    """[C + 1, 3]: latent channels and a one -> RGB in 0..1, fitted to an encoded colour chart once per VAE."""
    check_vae(vae)
    if vae.first_stage_model not in _maps:
        chart = _colour_chart()
        latent = vae.encode(chart)[0, :, 0].movedim(0, -1)  # [h, w, C]
        step = chart.shape[1] // latent.shape[0]
        middle = chart[0, step // 2 :: step, step // 2 :: step].reshape(-1, 3)
        known = torch.cat([latent.reshape(len(middle), -1), torch.ones(len(middle), 1)], dim=1)
        _maps[vae.first_stage_model] = torch.linalg.lstsq(known.double(), middle.double()).solution.float()
    return _maps[vae.first_stage_model]


def preview_image(latents: Tensor, to_rgb: Tensor) -> Tensor:
    """Middle frame of unscaled latents [B, C, T, h, w] -> [h, w, 3] in 0..1."""
    frame = latents[0, :, latents.shape[2] // 2].movedim(0, -1).float().cpu()
    return (frame @ to_rgb[:-1] + to_rgb[-1]).clamp(0, 1)


def _colour_chart() -> Tensor:
    """All colours of a coarse RGB grid as patches: [1, S, S, 3] in 0..1."""
    levels = torch.linspace(0, 1, _CHART_LEVELS)
    colours = torch.cartesian_prod(levels, levels, levels)
    side = round(len(colours) ** 0.5)
    chart = colours.reshape(side, side, 3)
    return chart.repeat_interleave(_CHART_PATCH, 0).repeat_interleave(_CHART_PATCH, 1).unsqueeze(0)
