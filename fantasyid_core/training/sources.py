"""The sources of clips that a config asks for, with their caches filled."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .batches import ClipSource
from .config import TrainingConfig
from .index_source import IndexSource
from .latents import LatentRows
from .models import TrainedModels
from .people_source import PeopleSource


def build_sources(
    config: TrainingConfig, models: TrainedModels, device: torch.device, say: Callable[[str], None]
) -> tuple[ClipSource, ClipSource]:
    """The clips to train on and those kept for validation; renders and encodes what the caches lack.

    Only one process per machine may call it at a time. say(text) is told what takes long. Raises FileNotFoundError,
    ValueError or OSError as the sources do.
    """
    if config.data.kind == "heads":
        training, held_out = (PeopleSource(config.data, config.identity, held_out=which) for which in (False, True))
        for source in (training, held_out):
            source.build(lambda done, count: say(f"rendering clips: {done} of {count}"))
    else:
        sizes = models.sizes
        video = sizes.sample_frames, *sizes.picture_size
        vertices = models.adapter.config.vertex_counts[0]
        training, held_out = (
            IndexSource(config.data, config.identity, video, vertices, held_out=which) for which in (False, True)
        )
        if training.too_short:
            say(f"{training.too_short} clips are shorter than {sizes.sample_frames} frames and left out")
        if training.without_shape:
            say(f"{training.without_shape} clips have no 3D face and are left out")
    check_vertices(training, models)
    if config.data.latents == "cached":
        latents = LatentRows(training, models.codec, config.data.cache)
        latents.build(device, lambda done, count: say(f"encoding clips: {done} of {count}"))
        training.use_latents(latents)
    return training, held_out


def check_vertices(source: ClipSource, models: TrainedModels) -> None:
    """Raises ValueError unless the clips' shapes are of the adapter's mesh."""
    found = source.vertices([0]).shape[1]
    expected = models.adapter.config.vertex_counts[0]
    if found != expected:
        raise ValueError(
            f"The clips have shapes of {found} vertices, the adapter's mesh has {expected}. Use the topology of the "
            "clips' mesh (model.topology), or clips made with that mesh."
        )
