"""The probe: a small network that predicts the true parameters of a drawn person from one picture.

It predicts all shape parameters, the pose, the opening of the mouth and four colours, and gives a vector that is
similar for pictures of one person. `experiments.train_probe` trains it on true renders of training people only. What it
cannot read from true renders of held-out people (`readability`) proves nothing about pictures that a model made."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..headshape import SHAPE_NAMES

if TYPE_CHECKING:
    from ..person import Person

SIDE = 64
POSE_NAMES = ("yaw", "pitch", "roll")
COLOUR_PARTS = ("skin", "hair", "iris", "lips")
COLOUR_NAMES = tuple(f"{part} {channel}" for part in COLOUR_PARTS for channel in "rgb")
MOVING_NAMES = (*POSE_NAMES, "mouth_open")
NAMES = (*SHAPE_NAMES, *MOVING_NAMES, *COLOUR_NAMES)
"""What is read, in the order of every array of readings: shape -1..1, degrees, 0..1, sRGB 0..1."""

READABLE = 0.9
"""Correlation with the truth on true renders of held-out people from which a reading may support a claim."""

SHIPPED = Path(__file__).parent / "weights" / "probe.safetensors"
_KIND = "heads_probe"
_BATCH = 256


@dataclass(frozen=True)
class ProbeConfig:
    """widths: channels at 32, 16 and 8 pixels; squeeze: channels that the linear layers see of every place."""

    widths: tuple[int, int, int] = (32, 64, 128)
    squeeze: int = 24
    hidden: int = 256
    embed: int = 64

    @classmethod
    def tiny(cls, **changes) -> ProbeConfig:
        return replace(cls((4, 8, 8), 4, 16, 8), **changes)


class Probe(nn.Module):
    """Pictures [N,3,64,64] in 0..1 -> standardised readings [N,K] and vectors [N,E] of length 1.

    No pooling over places: where things are is what shape means. `mean` and `deviation` are the training people's.
    """

    def __init__(self, config: ProbeConfig | None = None):
        super().__init__()
        self.config = config = config or ProbeConfig()
        fine, middle, coarse = config.widths
        self.stem = nn.Conv2d(12, fine, 3, padding=1)
        self.halve = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(middle, middle, 3, padding=1)
        self.halve_again = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse = nn.ModuleList(nn.Conv2d(coarse, coarse, 3, padding=1) for _ in range(2))
        self.squeeze = nn.Conv2d(coarse, config.squeeze, 1)
        self.hidden = nn.Linear(config.squeeze * 64, config.hidden)
        self.readings = nn.Linear(config.hidden, len(NAMES))
        self.embed = nn.Linear(config.hidden, config.embed)
        self.register_buffer("mean", torch.zeros(len(NAMES)))
        self.register_buffer("deviation", torch.ones(len(NAMES)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.relu(self.stem(F.pixel_unshuffle(2 * pixels - 1, 2)))
        hidden = F.relu(self.halve(hidden))
        hidden = hidden + F.relu(self.middle(hidden))
        hidden = F.relu(self.halve_again(hidden))
        for conv in self.coarse:
            hidden = hidden + F.relu(conv(hidden))
        hidden = F.relu(self.hidden(self.squeeze(hidden).flatten(1)))
        return self.readings(hidden), F.normalize(self.embed(hidden), dim=1)


class Readings:
    """What the probe reads from pictures [..., 64, 64, 3]: values float64 [..., K], vectors float64 [..., E]."""

    def __init__(self, values: np.ndarray, vectors: np.ndarray):
        self.values, self.vectors = values, vectors

    def of(self, name: str) -> np.ndarray:
        """One reading [...]. Raises ValueError for unknown names."""
        return self.values[..., index_of(name)]

    def colour(self, part: str) -> np.ndarray:
        """sRGB [..., 3] of one of `COLOUR_PARTS`."""
        first = index_of(f"{part} r")
        return self.values[..., first : first + 3]


def index_of(name: str) -> int:
    if name not in NAMES:
        raise ValueError(f"The probe does not read {name!r}. It reads: {', '.join(NAMES)}.")
    return NAMES.index(name)


@torch.no_grad()
def read(probe: Probe, pictures: np.ndarray) -> Readings:  # uint8 [...,64,64,3]
    """Every picture on its own. Raises ValueError for other pictures."""
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.shape[-3:] != (SIDE, SIDE, 3) or not pictures.size:
        raise ValueError(
            f"Expected pictures uint8 [...,{SIDE},{SIDE},3], got {pictures.dtype} {list(pictures.shape)}. Scale them "
            "to the size that the probe was trained with."
        )
    flat = pictures.reshape(-1, SIDE, SIDE, 3)
    parts = [probe(as_pixels(flat[at : at + _BATCH])) for at in range(0, len(flat), _BATCH)]
    values, vectors = (torch.cat(part) for part in zip(*parts, strict=True))
    values = values * probe.deviation + probe.mean
    lead = pictures.shape[:-3]
    return Readings(*(part.double().numpy().reshape(*lead, -1) for part in (values, vectors)))


def truth(person: Person, frames: np.ndarray) -> np.ndarray:  # [T,15] -> [T,K]
    """What the probe should read from renders of `person`, float64."""
    from .. import columns as col

    look = person.appearance
    colours = np.concatenate([getattr(look, {"hair": "hair_colour"}.get(part, part)) for part in COLOUR_PARTS])
    moving = np.asarray(frames, np.float64)[:, [col.YAW, col.PITCH, col.ROLL, col.MOUTH_OPEN]]
    still = lambda values: np.tile(values, (len(moving), 1))  # noqa: E731
    return np.concatenate([still(person.shape), moving, still(colours)], axis=1)


def as_pixels(pictures: np.ndarray) -> Tensor:  # uint8 [N,H,W,3] -> [N,3,H,W] in 0..1
    return (torch.from_numpy(np.ascontiguousarray(pictures)).float() / 255).permute(0, 3, 1, 2)


def save_probe(probe: Probe, path: str | os.PathLike) -> None:
    """A .safetensors in half precision. Raises OSError; an older file is then unchanged."""
    from ...files.network import save_network

    save_network(probe, path, _KIND, torch.float16)


def load_probe(path: str | os.PathLike | None = None) -> Probe:
    """The probe of a file that `save_probe` wrote, by default the shipped one; frozen.

    Raises FileNotFoundError, and ValueError for damaged files and those of other networks.
    """
    path = Path(path or SHIPPED)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no probe at {path}. Train it: python -m fantasyid_core.experiments.train_probe"
        )
    return _load(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, changed: int) -> Probe:
    from ...files.network import load_network

    return load_network(Probe, ProbeConfig, path, _KIND, torch.float32)
