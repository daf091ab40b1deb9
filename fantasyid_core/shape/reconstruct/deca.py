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
from ...files.unpickle import DAMAGE
from ...files.wrongfile import what_instead
from ...modelfiles import missing_file, origin
from .resnet import COUNTER, FEATURES, ResNet50, folded_state, published_shapes

SIZE = 224
"""Pixels along the side of the square that DECA sees."""

PARAMETERS = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}
"""What the 236 numbers are, in their order, and how many there are of each."""

HIDDEN = 1024
PART = "E_flame"  # of the file; the others belong to DECA's wrinkles and to its training
TRUNK = "encoder."
MAX_BYTES = 4 * 2**30  # the official file has 434 MB
OVERSHOOT = 0.01  # how far pixels may leave 0..1
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class Deca(nn.Module):
    """`deca(pixels)` -> named numbers; `load_deca` makes it. `operations` as in ComfyUI (torch.nn by default)."""

    def __init__(self, operations=nn):
        super().__init__()
        self.encoder = ResNet50(operations)
        self.layers = nn.Sequential(
            operations.Linear(FEATURES, HIDDEN), nn.ReLU(), operations.Linear(HIDDEN, sum(PARAMETERS.values()))
        )

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

    def published_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of what the published file holds below "E_flame", counters of training left out."""
        trunk = {TRUNK + name: shape for name, shape in published_shapes(self.encoder).items()}
        return trunk | {f"layers.{name}": tuple(value.shape) for name, value in self.layers.named_parameters()}

    def load_published_state(self, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
        """Takes over copies of the published tensors, which must be those of `published_shapes`."""
        trunk = {name[len(TRUNK) :]: value for name, value in state.items() if name.startswith(TRUNK)}
        folded = {TRUNK + name: value for name, value in folded_state(self.encoder, trunk).items()}
        heads = {name: value for name, value in state.items() if not name.startswith(TRUNK)}
        own = {name: value.to(dtype, copy=True) for name, value in (folded | heads).items()}
        self.load_state_dict(own, assign=True)


@torch.inference_mode(False)  # hosts load inside inference mode; training must be able to use the result
def load_deca(path: str | os.PathLike, dtype: torch.dtype = torch.float32, operations=nn) -> Deca:
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
        deca = Deca(operations)
    expected = deca.published_shapes()
    _check_state(path, state, expected)
    deca.load_published_state({name: state[name] for name in expected}, dtype)
    return deca.eval().requires_grad_(False)


def _encoder_state(path: Path) -> dict[str, Any]:
    instead = what_instead(path, PART.encode())
    if instead:
        raise _unusable(path, f"it is {instead}")
    try:
        loaded = load_pickle(path)
    except ValueError as error:  # it names the file and the fault
        raise ValueError(f"{error} To replace it, {origin('deca')}.") from error
    except (*DAMAGE, RuntimeError, AssertionError, OSError) as error:
        raise _unusable(path, f"it is damaged ({type(error).__name__}: {error})") from error
    part = loaded.get(PART) if isinstance(loaded, Mapping) else None
    if not isinstance(part, Mapping):
        held = _first_five(map(str, loaded)) if isinstance(loaded, Mapping) else type(loaded).__name__
        raise _unusable(path, f"expected weights under '{PART}', got {held or 'nothing'}")
    return {str(name): value for name, value in part.items() if not str(name).endswith(COUNTER)}


def _check_state(path: Path, state: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
    missing = [name for name in expected if name not in state]
    unknown = [name for name in state if name not in expected]
    for problem, names in (("missing", missing), ("unknown", unknown)):
        if names:
            raise _unusable(path, f"{len(names)} of its {len(state)} weights are {problem}: {_first_five(names)}")
    wrong = [
        f"{name} {_described(state[name])} instead of {list(shape)}"
        for name, shape in expected.items()
        if not _is_float(state[name]) or tuple(state[name].shape) != shape
    ]
    if wrong:
        raise _unusable(path, f"{len(wrong)} weights have another shape: {_first_five(wrong)}")
    broken = [name for name in expected if not _is_sound(name, state[name])]
    if broken:
        raise _unusable(path, f"{len(broken)} weights are NaN, infinite or impossible: {_first_five(broken)}")


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _is_sound(name: str, value: Tensor) -> bool:
    finite = bool(torch.isfinite(value).all())
    return finite and not (name.endswith("running_var") and bool((value < 0).any()))


def _described(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


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


def _first_five(words) -> str:
    words = list(words)
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
