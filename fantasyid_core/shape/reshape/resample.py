"""Fetches pixels from between pixels, by OpenCV on a CPU or by torch on any device: both give the same picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from ...face.align import opencv
from ..edit.warp import BLUR

Resample = Callable[[np.ndarray, np.ndarray, np.ndarray, bool], tuple[np.ndarray, np.ndarray | None]]
"""(picture [H,W,3] of bytes or of float32 in 0..1, x [h,w], y [h,w], whether a softer picture is wanted as well)
-> ([h,w,3], the same of a picture blurred by `BLUR` or None), of the picture's type."""

RADIUS = 4  # of the blur, in pixels


def with_opencv(picture: np.ndarray, x: np.ndarray, y: np.ndarray, softer: bool) -> tuple:
    cv2 = opencv()
    sharp = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if sharp.dtype != np.uint8:
        sharp = sharp.clip(0, 1)  # cubic interpolation overshoots at edges
    if not softer:
        return sharp, None
    blurred = cv2.GaussianBlur(picture, (0, 0), BLUR)
    return sharp, cv2.remap(blurred, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def with_torch(device: str | torch.device) -> Resample:
    """On this device, in float32."""

    def resample(picture: np.ndarray, x: np.ndarray, y: np.ndarray, softer: bool) -> tuple:
        most = 255 if picture.dtype == np.uint8 else 1
        planes = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float()
        places = torch.from_numpy(np.stack([x, y], axis=-1)).to(device)
        sides = places.new_tensor(picture.shape[1::-1]).sub(1).clamp(min=1)
        grid = (2 * places / sides - 1)[None]

        def sampled(planes: Tensor, mode: str) -> np.ndarray:
            got = grid_sample(planes, grid, mode, padding_mode="border", align_corners=True)
            got = got.clamp(0, most)[0].permute(1, 2, 0)
            return (got.round() if most == 255 else got).cpu().numpy().astype(picture.dtype)

        return sampled(planes, "bicubic"), sampled(_blurred(planes), "bilinear") if softer else None

    return resample


def resample_on(device: str | torch.device) -> Resample:
    """The faster one of both for this device."""
    return with_opencv if torch.device(device).type == "cpu" else with_torch(device)


def _blurred(planes: Tensor) -> Tensor:  # [1,3,H,W]
    from torchvision.transforms.functional import gaussian_blur

    # torchvision mirrors at the edges, where the picture's last pixels go on here.
    wide = gaussian_blur(pad(planes, (RADIUS,) * 4, "replicate"), 2 * RADIUS + 1, BLUR)
    return wide[..., RADIUS:-RADIUS, RADIUS:-RADIUS]
