"""Numbers of pictures from one form to another: floats in 0..1, bytes, and the codec's -1..1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

OVERSHOOT = 0.5


def as_uint8(values: torch.Tensor | np.ndarray, name: str) -> np.ndarray:
    """Floats in 0..1 of any shape as np.uint8, (x * 255).round(); uint8 comes back as it is.

    Raises ValueError, beginning with `name`, for NaN or infinite values and for another range or type.
    """
    import torch

    values = as_tensor(values, name)
    if values.dtype == torch.uint8:
        return values.numpy().copy()
    return rounded(checked(values, name))


def as_tensor(values: torch.Tensor | np.ndarray, name: str) -> torch.Tensor:
    """Floats or uint8 in main memory; ValueError for every other type."""
    import torch

    kind = values.dtype
    if not (kind in (np.uint8, torch.uint8) or getattr(kind, "is_floating_point", getattr(kind, "kind", "") == "f")):
        raise ValueError(f"{name} has type {kind}: expected floats in 0..1 or uint8 in 0..255.")
    if isinstance(values, torch.Tensor):
        return values.detach().cpu()
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused later
        return torch.tensor(values.astype(kind if kind == np.uint8 else np.float32))


def checked(values: torch.Tensor, name: str) -> torch.Tensor:
    """Floats as float32; ValueError when one is NaN, infinite or far from 0..1."""
    values = values.float()
    bad = int((~values.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{name} holds {bad} NaN or infinite values of {values.numel()}: expected floats in 0..1. "
            "The step that made it failed; a VAE or a model in half precision is the usual cause."
        )
    low, high = values.aminmax() if values.numel() else (0.0, 0.0)
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise ValueError(
            f"{name} holds values from {float(low):.4g} to {float(high):.4g}: expected floats in 0..1. "
            "Scale it first (divide 0..255 by 255, map -1..1 with x / 2 + 0.5)."
        )
    return values


def rounded(values: torch.Tensor) -> np.ndarray:
    import torch

    return (values.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def to_video(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [B,F,H,W,3] -> pixels float32 [B,3,F,H,W] in -1..1, as the codec takes them."""
    import torch

    return torch.from_numpy(np.array(pictures)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
