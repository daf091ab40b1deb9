"""What portraits taught the networks of a tiny run before it saw a video (`experiments.train_portraits` makes the file)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..files.checkpoint import open_checkpoint
from ..files.network import load_strictly
from .models import TrainedModels

_MAKE_IT = "Make it with python -m fantasyid_core.experiments.train_portraits"


def load_portraits(models: TrainedModels, path: str | Path) -> None:
    """Gives networks what `train_portraits` taught. Raises ValueError for a file of others, FileNotFoundError."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path} (model.portraits). {_MAKE_IT}, or set it to null.")
    checkpoint = open_checkpoint(path)
    for part, network in taught(models).items():
        own = (name for name in checkpoint if name.startswith(f"{part}."))
        tensors = {name.removeprefix(f"{part}."): checkpoint.read(name) for name in own}
        try:
            load_strictly(network, tensors, f"{path} ({part})")
        except ValueError as error:
            raise ValueError(f"{error} {_MAKE_IT} and the sizes of this config.") from error


def taught(models: TrainedModels) -> dict[str, nn.Module]:
    """The networks that portraits teach: all but the one that reads prompts."""
    return {name: part for name, part in models.parts.items() if name != "text_encoder"}
