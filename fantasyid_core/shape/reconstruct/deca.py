"""DECA's coarse encoder: a picture of a face -> the numbers of FLAME, of its camera and of its light.

Feng et al. 2021 (arXiv 2012.04012), section 4.1: ResNet-50, then a linear layer to 1024, ReLU, a linear layer
to 236. Written from the paper and the names of the published weights; these are the user's own file.
The encoder sees RGB in 0..1 as it is, without ImageNet's mean and deviation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...files.checkpoint import load_pickle
from ...files.strict import first_five, mismatch, not_finite
from ...files.wrongfile import what_instead
from ...modelfiles import missing_file, origin

SIZE = 224
"""Pixels along the side of the square that DECA sees."""

PARAMETERS = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}
"""What the 236 numbers are, in their order, and how many there are of each."""

FEATURES, HIDDEN = 2048, 1024
COUNTER = "num_batches_tracked"  # of training; not needed
PART = "E_flame"  # of the file; the others belong to DECA's wrinkles and to its training
MAX_BYTES = 4 * 2**30  # the official file has 434 MB
OVERSHOOT = 0.01  # how far pixels may leave 0..1
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class Deca(nn.Module):
    """`deca(pixels)` -> named numbers; `load_deca` makes it."""

    def __init__(self):
        from torchvision.models import resnet50

        super().__init__()
        self.encoder = resnet50(weights=None)
        self.encoder.fc = nn.Identity()
        self.layers = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, sum(PARAMETERS.values())))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:  # [B, 3, 224, 224] RGB in 0..1
        """One tensor [B, count] for each name of `PARAMETERS`, in the dtype and on the device of the weights.

        shape, texture, expression: coefficients in standard deviations. pose: axis-angle in radians, global
        (3), jaw (3). camera: scale, x, y (see `camera.project`). light: nine spherical harmonics, each red,
        green, blue.

        Raises ValueError for another size, for values outside 0..1, and for NaN.
        """
        _check_pixels(pixels)
        weight = self.encoder.conv1.weight
        numbers = self.layers(self.encoder(pixels.to(weight.device, weight.dtype)))  # [B, 236]
        return dict(zip(PARAMETERS, numbers.split(tuple(PARAMETERS.values()), dim=1), strict=True))


@torch.inference_mode(False)  # hosts load inside inference mode; training must be able to use the result
def load_deca(path: str | os.PathLike, dtype: torch.dtype = torch.float32) -> Deca:
    """Reads DECA's encoder from the official `deca_model.tar`, a PyTorch file in spite of its name.

    Of the file only "E_flame" is used. It is read with `weights_only`, so no code in it runs. `dtype` is
    float32, float64, bfloat16 or float16.

    Raises FileNotFoundError saying where to register; ValueError for another or a damaged file, and for
    missing, unknown, wrongly shaped, NaN or infinite weights (the first five are named).
    """
    if dtype not in DTYPES:
        raise ValueError(f"Expected one of {DTYPES} as DECA's dtype, got {dtype}. Use torch.float32.")
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}. {missing_file('deca')}")
    if path.is_dir() or path.stat().st_size > MAX_BYTES:
        found = "a folder" if path.is_dir() else f"{path.stat().st_size / 2**30:.1f} GB"
        raise _unusable(path, f"expected one file of about 434 MB, got {found}")
    state = _encoder_state(path)
    with torch.device("meta"):  # no memory for what is replaced at once
        deca = Deca()
    _check_state(path, state, {name: tuple(value.shape) for name, value in deca.state_dict().items()})
    own = {name: value.to(dtype, copy=True) for name, value in state.items()}
    counters = {name: torch.tensor(0) for name in deca.state_dict() if name.endswith(COUNTER)}
    deca.load_state_dict(own | counters, assign=True)
    return deca.eval().requires_grad_(False)


def _encoder_state(path: Path) -> dict[str, Any]:
    instead = what_instead(path, PART.encode())
    if instead:
        raise _unusable(path, f"it is {instead}")
    try:
        loaded = load_pickle(path)
    except ValueError as error:  # it names the file and the fault
        raise ValueError(f"{error} To replace it, {origin('deca')}.") from error
    part = loaded.get(PART) if isinstance(loaded, Mapping) else None
    if not isinstance(part, Mapping):
        held = first_five(map(str, loaded)) if isinstance(loaded, Mapping) else type(loaded).__name__
        raise _unusable(path, f"expected weights under '{PART}', got {held or 'nothing'}")
    return {str(name): value for name, value in part.items() if not str(name).endswith(COUNTER)}


def _check_state(path: Path, state: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
    expected = {name: shape for name, shape in expected.items() if not name.endswith(COUNTER)}
    wrong = mismatch(state, expected, "of its weights") or not_finite(state, "of its weights")
    impossible = [] if wrong else [n for n in expected if n.endswith("running_var") and bool((state[n] < 0).any())]
    if wrong or impossible:
        raise _unusable(path, wrong or f"variances below 0 are impossible: {first_five(impossible)}")


def _check_pixels(pixels: Tensor) -> None:
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (3, SIZE, SIZE) or not len(pixels):
        raise ValueError(
            f"Expected pictures [B, 3, {SIZE}, {SIZE}] for DECA, got {list(pixels.shape)}. Cut the face out and "
            f"scale it to {SIZE} x {SIZE} pixels, without alpha."
        )
    if not pixels.is_floating_point():
        raise ValueError(f"Expected floats in 0..1 for DECA, got {pixels.dtype}. Divide 8-bit pixels by 255.")
    low, high = pixels.min().item(), pixels.max().item()
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):  # written so that NaN is refused too
        raise ValueError(
            f"Expected pictures in 0..1 for DECA, got {low:g}..{high:g}. Divide 8-bit pixels by 255; do not "
            "normalise them."
        )


def _unusable(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path} is not a usable DECA model: {reason}. To replace it, {origin('deca')}.")
