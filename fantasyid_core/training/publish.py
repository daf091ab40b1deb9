"""The result of a run as files that the rest of the project loads.

adapter.safetensors      the adapter, with its sizes and mesh inside; `load_adapter` reads it
lora.safetensors         LoRA of the transformer in diffusers' names; `weights.lora.read_lora` reads it
transformer/, text_encoder.safetensors, face_encoder.safetensors       where they were trained as well
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..files.tensorfile import write_tensors
from ..files.writing import write_aside
from ..identity.adapter import IdentityAdapter
from ..weights.adapter import save_adapter
from .lora import lora_names
from .models import TrainedModels
from .state import learned_weights

ADAPTER = "adapter.safetensors"


def publish(denoiser: nn.Module, models: TrainedModels, folder: Path, is_main: bool = True) -> Path:
    """Writes what has learned into `folder`, with the weights that `denoiser` has now; returns the adapter's path.

    Every process has to call it. Raises OSError when the folder cannot be written to.
    """
    weights = learned_weights(denoiser)
    path = folder / ADAPTER
    if not is_main:
        return path
    for name in models.parts:
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        if name == "adapter":
            _write_adapter(models.adapter, own, path)
        elif name == "transformer" and lora_names(own):
            _write(folder / "lora.safetensors", lora_names(own), {})
        elif name == "transformer" and own:
            _write_transformer(models, own, folder / "transformer")
        elif own:
            _write(folder / f"{name}.safetensors", own, {})
    return path


def _write_adapter(adapter: IdentityAdapter, own: dict[str, Tensor], path: Path) -> None:
    with torch.device("meta"):
        whole = IdentityAdapter(adapter.config, adapter.topology)
    frozen = {key: value.cpu() for key, value in adapter.state_dict().items() if key not in own}
    whole.load_state_dict({**frozen, **own}, strict=True, assign=True)
    save_adapter(whole, path)


def _write_transformer(models: TrainedModels, own: dict[str, Tensor], folder: Path) -> None:
    state = {key: own.get(key, value.cpu()) for key, value in models.transformer.state_dict().items()}
    _write(folder / "diffusion_pytorch_model.safetensors", state, {"format": "pt"})
    with write_aside(folder / "config.json") as aside:
        content = {"_class_name": "CogVideoXTransformer3DModel", **asdict(models.sizes)}
        flags = {"use_rotary_positional_embeddings": True, "use_learned_positional_embeddings": True}
        aside.write_text(json.dumps(content | flags, indent=2) + "\n", encoding="utf-8")


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    with write_aside(path) as aside:
        write_tensors(aside, tensors, metadata)
