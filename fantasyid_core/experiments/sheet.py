"""A picture of true and decoded frames, one row above the other."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..files.writing import write_aside


def write_sheet(truth: Tensor, decoded: Tensor, path: Path, scale: int = 3) -> None:  # [N,3,T,H,W] in 0..1 each
    """A PNG with two rows per clip: the true frames, and the decoded ones below."""
    from PIL import Image

    rows = torch.stack([truth, decoded], 1).flatten(0, 1)  # [2N,3,T,H,W]
    rows = rows.permute(0, 3, 2, 4, 1).flatten(0, 1).flatten(1, 2)  # [2N*H,T*W,3]
    picture = Image.fromarray((rows * 255).round().clamp(0, 255).byte().numpy())
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    with write_aside(path) as aside:
        picture.save(aside)
