"""Inception-v3's features of pictures for FID, from a library and weights that the user has; nothing is downloaded.

FID values of different networks cannot be compared, so the report names the network that was used. The paper uses the
network of pytorch-fid and torch-fidelity (weights of 2015); torchvision's has weights of another training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..running.packages import pip_command

SIDE = 299
WIDTH = 2048
_BATCH = 8
_CACHED = {  # package -> file that it keeps in torch hub's folder
    "pytorch_fid": "pt_inception-2015-12-05-6726825d.pth",
    "torch_fidelity": "weights-inception-2015-12-05-6726825d.pth",
}
ADVICE = (
    "FID needs Inception-v3: give torchvision's weights (inception_v3_google-0cc3c7bd.pth) with --inception, or "
    "install pytorch-fid or torch-fidelity and let it fetch its weights once"
)


@dataclass(frozen=True)
class Inception:
    """name: of network and weights, for the report. features: pixels [N,3,299,299] in 0..1 -> [N,2048]."""

    name: str
    features: Callable[[Tensor], Tensor]
    device: torch.device

    @torch.no_grad()
    def embed(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Features float32 [N,2048] of pictures uint8 [H,W,3] of any sizes. Raises RuntimeError for others."""
        parts = [np.zeros((0, WIDTH), np.float32)]
        for at in range(0, len(pictures), _BATCH):
            pixels = torch.cat([_resized(picture) for picture in pictures[at : at + _BATCH]]).to(self.device)
            found = self.features(pixels).flatten(1).float().cpu().numpy()
            if found.shape != (len(pixels), WIDTH) or not np.isfinite(found).all():
                raise RuntimeError(
                    f"{self.name} gave features {list(found.shape)}, expected finite ones "
                    f"[{len(pixels)},{WIDTH}]. Its weights are damaged or of another network."
                )
            parts.append(found)
        return np.concatenate(parts)


def load_inception(path: str | os.PathLike | None = None, device: torch.device | str = "cpu") -> Inception:
    """Torchvision's network with the weights in `path`; without one, that of an installed package whose weights are
    on this machine already.

    Raises FileNotFoundError without any weights, ValueError for damaged ones and those of another network,
    RuntimeError when the package is missing.
    """
    device = torch.device(device)
    if path is not None:
        return Inception(f"torchvision inception_v3, {Path(path).name}", _torchvision(Path(path), device), device)
    for package, name in _CACHED.items():
        weights = Path(torch.hub.get_dir()) / "checkpoints" / name
        if weights.is_file() and (module := _installed(package)):
            return Inception(f"{package}, {name}", _OF_PACKAGE[package](module, weights, device), device)
    raise FileNotFoundError(f"No Inception weights were found. {ADVICE}.")


def _torchvision(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    from ..files.checkpoint import open_file
    from ..files.strict import mismatch

    try:
        make = import_module("torchvision.models").inception_v3
    except ImportError as error:
        raise RuntimeError(f"FID needs torchvision ({error}). Run: {pip_command(['torchvision'])}") from error
    network = make(weights=None, init_weights=False, aux_logits=True, transform_input=False)
    network.fc = torch.nn.Identity()
    checkpoint = open_file(path)
    wanted = {
        key: tuple(value.shape)
        for key, value in network.state_dict().items()
        if not key.startswith("AuxLogits.")
        and not key.endswith(".num_batches_tracked")  # older files lack the counters
    }
    found = {key: checkpoint.read(key, torch.float32) for key in checkpoint if key in wanted}
    wrong = mismatch(found, wanted)
    if wrong:
        raise ValueError(f"{path} is not torchvision's inception_v3: {wrong}. {ADVICE}.")
    network.load_state_dict(found, strict=False)
    network = network.to(device).eval()
    return lambda pixels: network(2 * pixels - 1)


def _pytorch_fid(module, weights: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    network = module.inception.InceptionV3([3], resize_input=False, normalize_input=True).to(device).eval()
    return lambda pixels: network(pixels)[0]


def _torch_fidelity(module, weights: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    make = module.feature_extractor_inceptionv3.FeatureExtractorInceptionV3
    network = make("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)).to(device).eval()
    return lambda pixels: network((255 * pixels).round().to(torch.uint8))[0]


_OF_PACKAGE = {"pytorch_fid": _pytorch_fid, "torch_fidelity": _torch_fidelity}
_PARTS = {"pytorch_fid": "inception", "torch_fidelity": "feature_extractor_inceptionv3"}


def _installed(package: str):
    try:
        import_module(f"{package}.{_PARTS[package]}")
        return import_module(package)
    except ImportError:
        return None


def _resized(picture: np.ndarray) -> Tensor:  # uint8 [H,W,3] -> [1,3,299,299] in 0..1
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    size = (SIDE, SIDE)
    return torch.nn.functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
