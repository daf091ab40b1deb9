"""What the training of the VAE is told: a frozen dataclass whose field names are the keys of the YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from pathlib import Path

from ..tinymodel.vae import VaeConfig

CONFIGS = Path(__file__).with_name("configs")


@dataclass(frozen=True)
class VaeTraining:
    """people: how many, with one clip each. Steps learn from `crops` squares of `crop` pixels out of as many clips,
    the last `whole` (a share of the steps) from fewer whole pictures instead.

    muon_lr: of the convolutions; adam_lr: of all else. Both rise over `warmup` steps and fall along a cosine to 0.
    average: decay of the averaged weights, which are the result. noise: latents get noise of a deviation drawn from
    0..noise for every crop. loss = absolute x |error| + squared x error^2 + motion x (error of differences in time)^2
    + edges x |error of differences in space| + deviation x (second moments of the latent channels - 1)^2.
    """

    seed: int = 0
    people: int = 6000
    steps: int = 12000
    crops: int = 6
    crop: int = 32
    whole: float = 0.1
    muon_lr: float = 0.02
    adam_lr: float = 3e-4
    warmup: int = 50
    average: float = 0.998
    clip: float = 1.0
    noise: float = 0.1
    absolute: float = 0.2
    squared: float = 20.0
    motion: float = 8.0
    edges: float = 0.05
    deviation: float = 0.01
    checkpoint_minutes: float = 2.0
    output: str = "output/tiny_vae"
    vae: VaeConfig = field(default_factory=VaeConfig)

    def __post_init__(self):
        for name in ("people", "steps", "crops", "checkpoint_minutes", "muon_lr", "adam_lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a number above 0, got {getattr(self, name)}.")
        if self.crop % 8 or not 8 <= self.crop <= 64:
            raise ValueError(f"crop: expected 8 to 64 pixels, a multiple of 8, got {self.crop}.")
        for name in ("whole", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}.")


def load_settings(source: str | Path | Mapping) -> VaeTraining:
    """From a YAML file, the name of a config that comes along ("tiny_vae"), or a mapping.

    Raises FileNotFoundError, and ValueError for unknown keys (with the nearest known one) and impossible values.
    """
    return _build(VaeTraining, source if isinstance(source, Mapping) else _read(Path(source)), "")


def _read(path: Path) -> Mapping:
    shipped = CONFIGS / f"{path.name.removesuffix('.yaml')}.yaml"
    if not path.is_file() and len(path.parts) == 1:
        path = shipped
    if not path.is_file():
        raise FileNotFoundError(f"There is no config {path}. Give the path of a YAML file, or: tiny_vae.")
    try:
        yaml = import_module("yaml")  # its package has another name, pyyaml
    except ImportError as error:
        raise RuntimeError("Configs need the package pyyaml. Install it with: pip install pyyaml") from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a YAML file ({error}). Correct it, or copy tiny_vae.yaml.") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected keys and values, got {type(content).__name__}.")
    return content


def _build(kind: type, content: Mapping, place: str):
    known = {each.name: each for each in fields(kind)}
    values = {}
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
            raise ValueError(f"{place}{key} is no setting. {hint}")
        values[key] = _converted(known[key], value, f"{place}{key}")
    return kind(**values)


def _converted(setting, value, name: str):
    default = setting.default if setting.default_factory is not VaeConfig else VaeConfig()
    if is_dataclass(default):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name}: expected keys and values, got {value!r}.")
        return _build(type(default), value, f"{name}.")
    try:  # YAML reads 1e-4 as a word
        converted = type(default)(value)
    except (TypeError, ValueError):
        converted = None
    if converted is None or isinstance(value, bool) or (isinstance(default, int) and converted != value):
        raise ValueError(f"{name}: expected {type(default).__name__}, got {value!r}.")
    return converted
