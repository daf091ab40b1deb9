"""LoRA on the video transformer's attention, through the package peft; read and written in diffusers' names."""

from __future__ import annotations

from importlib import import_module

from torch import Tensor, nn

from ..running.packages import MissingPackage, lacks

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")  # of every attention, as the official LoRA trainer has them
_PREFIX = "transformer."


def add_lora(transformer: nn.Module, rank: int, alpha: float) -> None:
    """Adds trainable LoRA layers to a frozen transformer, in float32. RuntimeError without peft."""
    peft = _peft()
    settings = peft.LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights=True, target_modules=list(TARGETS))
    transformer.add_adapter(settings)
    for name, parameter in transformer.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def lora_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of peft's layers under diffusers' names, as `weights.lora.read_lora` and diffusers read them."""
    return {
        _PREFIX + name.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B."): value
        for name, value in state.items()
        if ".lora_" in name
    }


def _peft():
    try:
        return import_module("peft")
    except ImportError as error:
        raise MissingPackage(lacks("model.trains: adapter+lora", ["peft"])) from error
