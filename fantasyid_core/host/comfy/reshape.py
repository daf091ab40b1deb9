"""A finished video as the host's IMAGE, reshaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from ...files.pixels import rounded
from ...running.progress import counted
from ...shape.reshape.report import ReshapeReport
from ...shape.reshape.request import NOTHING, ReshapeRequest, reshape_as_asked
from ...shape.reshape.shown import shown_in

UNSEEN = (
    "How much of the edit the video shows was not measured: no face was found in its frames, or no slider of the edit "
    "has a quantity that can be measured. Connect frames that show the face, and a 3D face after an edit."
)


class Reshaped(NamedTuple):
    """images: float32 [T,H,W,3]. mask: float32 [T,H,W]. shown: one frame before and after, np.uint8 [H,W,3] each.
    lines: for people."""

    images: torch.Tensor
    mask: torch.Tensor
    shown: list[np.ndarray]
    lines: list[str]


def reshape_images(images: torch.Tensor, request: ReshapeRequest) -> Reshaped:
    """The host's IMAGE, float [T,H,W,3] in 0..1, reshaped as it was asked for, on the host's device.

    Frames that are not changed are the same bit for bit. Raises as `reshape_as_asked`.
    """
    import comfy.model_management

    request = replace(request, device=str(comfy.model_management.get_torch_device()))
    frames, report = images.detach().cpu().float(), ReshapeReport()
    made, mask = torch.empty_like(frames), torch.zeros(frames.shape[:3])
    for number, each in enumerate(counted(reshape_as_asked(frames.numpy(), request, report=report), len(frames))):
        made[number] = torch.from_numpy(np.ascontiguousarray(each.picture))
        mask[number] = torch.from_numpy(each.mask)
    number = _shown(mask)
    lines = report.sentences() if request.edited or request.after is not None else [NOTHING]
    return Reshaped(made, mask, [rounded(each[number]) for each in (frames, made)], lines)


def edit_shown(images: torch.Tensor, before, after, folders: Sequence[str]) -> list[str]:
    """How much of an edit the host's IMAGE shows, for people; nothing without both 3D faces.

    Raises ValueError for one of them alone, and as `shown_in`.
    """
    import comfy.model_management

    if before is None and after is None:
        return []
    device = str(comfy.model_management.get_torch_device())
    request = ReshapeRequest(before=before, after=after, folders=tuple(folders), device=device)
    frames = images.detach().cpu().float().numpy()
    return [each.sentence() for each in shown_in(frames, request)] or [UNSEEN]


def _shown(mask: torch.Tensor) -> int:
    """The frame that is shown: of those that were changed the one nearest to the middle of the video."""
    changed = mask.flatten(1).any(dim=1).nonzero().flatten()
    middle = len(mask) // 2
    return int(changed[(changed - middle).abs().argmin()]) if len(changed) else middle
