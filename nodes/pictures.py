"""Shows pictures and a few lines of text on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np


def as_image(pictures: Sequence[np.ndarray]):
    """Pictures np.uint8 [H,W,3] of one size as the host's IMAGE, float32 [B,H,W,3] in 0..1."""
    import torch

    return torch.stack([torch.tensor(picture) for picture in pictures]).float() / 255


def preview_loop(cls, image, fps: float = 12.0) -> dict:
    """An IMAGE batch as one animated picture on the node that makes it: what `NodeOutput(ui=...)` takes."""
    saved = ui.ImageSaveHelper.save_animated_webp(
        image, "ComfyUI_temp_fantasyid", io.FolderType.temp, cls, fps, lossless=False, quality=90, method=4
    )
    return {"images": [saved], "animated": (True,)}


def preview(cls, image):
    """The host's preview of an IMAGE, on the node that makes it."""
    return ui.PreviewImage(image, cls=cls)


def say(cls, lines: Iterable[str]) -> None:
    """Shows lines of text on the node that is being run."""
    from ..fantasyid_core.host.comfy.notes import show_text

    if cls.hidden is not None and cls.hidden.unique_id:
        show_text("\n".join(line for line in lines if line), cls.hidden.unique_id)
