"""Builds the networks that a config asks for, and makes the trained parts require gradients."""

from __future__ import annotations

import torch

from .config import ModelSettings, TrainingConfig
from .models import TrainedModels
from .preset import build_preset
from .release import build_release


def build_models(config: TrainingConfig) -> TrainedModels:
    """The networks of a run, seeded; frozen ones in the run's precision, those that learn in float32.

    Raises FileNotFoundError or ValueError saying what the folder lacks, or which parts do not fit together.
    """
    settings = config.model
    dtype = torch.bfloat16 if config.precision == "bf16" and torch.cuda.is_available() else torch.float32
    torch.manual_seed(config.seed)
    models = build_preset(settings, dtype, config.seed) if settings.kind == "tiny" else build_release(settings, dtype)
    _choose_what_learns(models, settings)
    return models


def _choose_what_learns(models: TrainedModels, settings: ModelSettings) -> None:
    learns = ("adapter",) if settings.trains.startswith("adapter") else tuple(models.parts)
    if not models.adapter.config.use_face:
        learns = tuple(name for name in learns if name != "face_encoder")  # nothing reads it
    for name, part in models.parts.items():
        part.requires_grad_(name in learns).train(name in learns)
        if name in learns:
            part.float()
    if settings.trains == "adapter+lora":
        from .lora import add_lora

        add_lora(models.transformer, settings.lora_rank, settings.lora_alpha)
    if settings.gradient_checkpointing:
        models.transformer.enable_gradient_checkpointing()
