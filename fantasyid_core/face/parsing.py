"""Face parsing: BiSeNet (Yu et al. 2018) labels the parts of a face, and all but face and hair become white.

This is ConsisID's input: skin, brows, eyes, glasses, nose, mouth, lips and hair stay; background, ears, neck and
clothes are white. facexlib's network with the user's parsing_bisenet.pth; facexlib's own loader is not used, because it
downloads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.checkpoint import open_file
from ..files.strict import mismatch, not_finite
from ..modelfiles import find_model_file, missing_file, origin
from ..running.packages import MissingPackage, lacks
from .align import check_image
from .detectors.networkfile import import_installed, missing_packages

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

KEY = "bisenet"
CLASSES = 19
REMOVED = (0, 7, 8, 9, 14, 15, 16, 18)
"""Background, both ears, earring, neck, necklace, clothes, hat."""

WHITE = 255
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
_GREY = (0.299, 0.587, 0.114)


class FaceParser:
    """Tells the parts of a face. `network`: normalised pixels [1,3,S,S] -> first of its results logits [1,19,S,S]."""

    def __init__(self, network: nn.Module):
        self.network = network

    def labels(self, crop: np.ndarray) -> np.ndarray:
        """The part that every pixel of a face crop (np.uint8 [S,S,3] RGB) belongs to, np.uint8 [S,S] in 0..18."""
        import torch

        check_image(crop)
        pixels = torch.tensor(crop).permute(2, 0, 1)[None].float() / 255  # HWC -> BCHW
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        with torch.inference_mode():
            return self.network((pixels - mean) / std)[0].argmax(1)[0].to(torch.uint8).numpy()

    def parse(self, crop: np.ndarray) -> np.ndarray:
        """The crop with all that is not face or hair white: np.uint8 [S,S,3] RGB."""
        return on_white(crop, self.labels(crop))


def on_white(crop: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A face crop np.uint8 [S,S,3] with the parts `REMOVED` by its labels [S,S] white."""
    return np.where(np.isin(labels, REMOVED)[..., None], np.uint8(WHITE), crop)


def grey_pixels(picture: np.ndarray) -> Tensor:
    """A picture np.uint8 [S,S,3] RGB as its brightness in three channels: float32 [1,3,S,S] in 0..1."""
    import torch

    pixels = torch.tensor(picture)[None].float() / 255  # [1,S,S,3]
    red, green, blue = (weight * channel for weight, channel in zip(_GREY, pixels.unbind(-1), strict=True))
    return (red + green + blue)[:, None].repeat(1, 3, 1, 1)


def load_parser(path: str | os.PathLike | None = None, folders: Iterable[str | os.PathLike] = ()) -> FaceParser:
    """BiSeNet from the user's parsing_bisenet.pth; a file that has not changed is read once.

    path: the file; without it, it is looked for in `folders` (ComfyUI's "models" folders, a release folder) or the
    usual places. Raises FileNotFoundError when there is no file, ValueError for another or a damaged one, RuntimeError
    when facexlib is missing.
    """
    found = find_model_file(KEY, folders) if path is None else Path(path)
    if found is None or not found.is_file():
        told = "" if path is None else f"There is no file {path}. "
        raise FileNotFoundError(f"{told}{missing_file(KEY)}")
    if missing_packages(("facexlib",)):
        raise MissingPackage(lacks("Telling the parts of a face", ["facexlib"]))
    found = found.resolve()
    return _load(found, found.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load(path: Path, changed: int) -> FaceParser:
    """`changed`, the file's time stamp, makes the cache forget a file that was replaced."""
    import torch

    build = import_installed("facexlib.parsing.bisenet", "facexlib").BiSeNet
    with torch.device("meta"):
        network = build(num_class=CLASSES)
    try:
        checkpoint = open_file(path)
    except ValueError as error:  # it names the file and the fault
        raise ValueError(f"{error} For the parts of a face, {origin(KEY)}.") from error
    expected = {name: tensor for name, tensor in network.state_dict().items() if _is_weight(name)}
    found = {name: checkpoint.tensors[name] for name in checkpoint if _is_weight(name)}
    wrong = mismatch(found, {name: tuple(tensor.shape) for name, tensor in expected.items()}, "of BiSeNet's tensors")
    if wrong:
        raise ValueError(
            f"{path} is another network: {wrong}. Expected facexlib's BiSeNet with {CLASSES} parts of a face; "
            f"{origin(KEY)}."
        )
    state = {name: checkpoint.read(name, torch.float32) for name in expected}
    if broken := not_finite(state):
        raise ValueError(f"{path}: {broken}. The file is damaged; {origin(KEY)}.")
    network.load_state_dict(state, strict=False, assign=True)  # the names were checked, apart from counters
    return FaceParser(_without_counters(network).eval().requires_grad_(False))


def _is_weight(name: str) -> bool:
    # Batch norms count their batches while training; files of before PyTorch 0.4.1 have no such counters.
    return not name.endswith("num_batches_tracked")


def _without_counters(network: torch.nn.Module) -> torch.nn.Module:
    for module in network.modules():
        if getattr(module, "num_batches_tracked", None) is not None:
            module.num_batches_tracked = None
    return network
