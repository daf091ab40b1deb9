"""LoRAs for CogVideoX on the host's MODEL, by the host's own weight patches.

The host reads LoRAs in its own naming only; files of diffusers, PEFT and kohya are renamed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ...weights.lora import Lora, read_lora
from .corrections import check_family

_MODEL = "diffusion_model."


@dataclass(frozen=True)
class LoraReport:
    """Which weights a LoRA changed, and which of its names were not used.

    applied: the host's names of the changed weights, such as blocks.0.q. unused: names in the file that this
    model has no use for, such as a text encoder's. ranks: the ranks that occur. scales: alpha / rank, likewise.
    """

    name: str
    strength: float
    applied: tuple[str, ...]
    unused: tuple[str, ...]
    ranks: tuple[int, ...]
    scales: tuple[float, ...]

    def describe(self) -> str:
        """One or two sentences for the user."""
        ranks, scales = ("/".join(f"{value:g}" for value in values) for values in (self.ranks, self.scales))
        text = f"{self.name}: {len(self.applied)} weights changed (rank {ranks}, scale {scales} x {self.strength:g})."
        if self.unused:
            text += f" {len(self.unused)} names are not for this model: {', '.join(self.unused[:3])}."
        return text


def load_lora(model, source, strength: float = 1.0):
    """(clone of `model` with the LoRA, LoraReport).

    source: .safetensors, .bin or .pt file, or a state dict. strength: 1 as trained, 0 leaves every bit of the
    model. `model` itself is not changed. Raises ValueError or FileNotFoundError as `read_lora`, and ValueError
    for another family of models or a strength that is not finite.
    """
    import comfy.lora

    check_family(model.model.diffusion_model)
    if not math.isfinite(strength):
        raise ValueError(f"Expected a finite LoRA strength (1 is as trained), got {strength}.")
    lora = read_lora(source, _weight_shapes(model))
    patched = model.clone()
    if strength != 0:
        targets = {layer.module: f"{_MODEL}{layer.module}.weight" for layer in lora.layers}
        patches = comfy.lora.load_lora(_host_names(lora), targets, log_missing=False)
        added = patched.add_patches(patches, strength)
        if set(added) != set(targets.values()):
            missing = sorted(set(targets.values()) - set(added))
            raise RuntimeError(f"The host took {len(added)} of {len(targets)} LoRA weights, not {missing[:3]}.")
    return patched, _report(lora, strength)


def _weight_shapes(model) -> dict[str, tuple[int, ...]]:
    """The host's name of every module with a weight -> the weight's shape."""
    return {
        key.removeprefix(_MODEL).removesuffix(".weight"): tuple(value.shape)
        for key, value in model.model.state_dict().items()
        if key.startswith(_MODEL) and key.endswith(".weight")
    }


def _host_names(lora: Lora) -> dict[str, torch.Tensor]:
    state = {}
    for layer in lora.layers:
        state[f"{layer.module}.lora_down.weight"] = layer.down
        state[f"{layer.module}.lora_up.weight"] = layer.up
        if layer.alpha is not None:
            state[f"{layer.module}.alpha"] = torch.tensor(layer.alpha)
    return state


def _report(lora: Lora, strength: float) -> LoraReport:
    ranks = [len(layer.down) for layer in lora.layers]
    scales = [1.0 if layer.alpha is None else layer.alpha / len(layer.down) for layer in lora.layers]
    applied = tuple(layer.module for layer in lora.layers) if strength != 0 else ()
    return LoraReport(lora.name, strength, applied, lora.unused, tuple(sorted(set(ranks))), tuple(sorted(set(scales))))
