"""Loads weights that were trained on portraits before a tiny run; `experiments.train_portraits` makes them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..files.checkpoint import Checkpoint, open_checkpoint
from ..files.network import load_strictly
from ..identity.adapter import IdentityAdapter
from ..shape.topology.topology import Topology
from ..weights.adapter import TOPOLOGY_PREFIX
from .models import TrainedModels

_MAKE_IT = "Make it with python -m fantasyid_core.experiments.train_portraits"


def load_portraits(models: TrainedModels, path: str | Path, topology=None) -> None:
    """Gives networks what `train_portraits` taught, and the adapter the mesh topology that it was taught with.

    topology: the one that the config names, if it does; it has to be that of the file. Raises ValueError for another
    one and for a file of other networks, FileNotFoundError.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path} (model.portraits). {_MAKE_IT}, or set it to null.")
    checkpoint = open_checkpoint(path)
    models.adapter = IdentityAdapter(models.adapter.config, _topology(checkpoint, models, path, topology))
    for part, network in taught(models).items():
        own = (name for name in checkpoint if name.startswith(f"{part}."))
        tensors = {name.removeprefix(f"{part}."): checkpoint.read(name) for name in own}
        try:
            load_strictly(network, tensors, f"{path} ({part})")
        except ValueError as error:
            raise ValueError(f"{error} {_MAKE_IT} and the sizes of this config.") from error


def _topology(checkpoint: Checkpoint, models: TrainedModels, path: str | Path, named) -> Topology:
    stored = {key: checkpoint.read(key) for key in checkpoint if key.startswith(TOPOLOGY_PREFIX)}
    if not stored:
        raise ValueError(
            f"{path} is of a version that did not keep the mesh topology that its adapter was taught with, and another "
            f"one would make its tokens wrong. {_MAKE_IT}."
        )
    topology, ours = Topology.from_tensors(stored), models.adapter.topology
    if topology.vertex_counts != ours.vertex_counts or (named and topology.fingerprint != ours.fingerprint):
        raise ValueError(
            f"{path} was taught on another mesh topology ({_named(topology)}) than the config's ({_named(ours)}). "
            "Leave "
            "model.topology out, or train portraits anew."
        )
    return topology


def _named(topology: Topology) -> str:
    return f"{' -> '.join(map(str, topology.vertex_counts))} vertices, {topology.fingerprint}"


def taught(models: TrainedModels) -> dict[str, nn.Module]:
    """The networks that portraits teach: all but the one that reads prompts."""
    return {name: part for name, part in models.parts.items() if name != "text_encoder"}
