"""The optimiser of a run: AdamW for all trained weights, or Muon for the matrices of the transformer's blocks.

Muon has its own learning rate. The encoders of texts, pictures and vertices may have one, too. All rates follow the
same schedule. As long as the transformer ignores the identity tokens, the gradients of the identity branch are little
more than noise, and both optimisers normalise the size of updates. With the full rate the branch then loses what it has
learned about the person; with a tenth of it, it does not. Muon needs whole matrices, so AdamW takes the weights that
are sharded over devices (FSDP, DeepSpeed)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from .config import OptimizerSettings
from .muon import apply_muon

_BLOCKS = "transformer_blocks."
_ENCODERS = ("text_encoder.", "face_encoder.", "adapter.encoder.")
_SMALLEST = 16  # a matrix of fewer rows or columns has few directions to balance
# Embeddings, added tables, and the maps between tokens and pixels: none maps hidden widths to each other.
_NO_MATRICES = ("embedding", "position", "patch_embed", "proj_out", "projection", "lora_")


class MuonAdamW(torch.optim.Optimizer):
    """Groups with `matrices` True are Muon's, the others PyTorch's AdamW's."""

    def __init__(self, matrices: list, others: list, settings: OptimizerSettings, encoders: list | None = None):
        common = {"weight_decay": settings.weight_decay}
        adam = {"matrices": False, "betas": (settings.beta1, settings.beta2), "eps": settings.eps, **common}
        slower = (settings.encoder_lr or settings.lr) / settings.lr
        groups = [
            {"params": matrices, "matrices": True, "pace": settings.muon_lr / settings.lr, **common},
            {"params": others, "pace": 1.0, **adam},
            {"params": encoders or [], "pace": slower, **adam},
        ]
        super().__init__([group for group in groups if group["params"]], {"lr": settings.lr})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            if group["matrices"]:
                learns = [parameter for parameter in group["params"] if parameter.grad is not None]
                apply_muon(learns, self.state, group["lr"], 0.95, group["weight_decay"])
            else:
                self._step_adamw(group)

    def _step_adamw(self, group: dict) -> None:
        chosen = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay")}
        adamw = torch.optim.AdamW(group["params"], **chosen, fused=True)
        adamw.state = self.state  # made anew for every step, it has no state of its own that could part from ours
        adamw.step()


def make_optimizer(network: nn.Module, settings: OptimizerSettings, is_spread: bool = False) -> torch.optim.Optimizer:
    """For all parameters of `network` that require gradients. is_spread: weights are divided over devices.

    Raises ValueError for Muon on weights that are spread.
    """
    learns = {name: value for name, value in network.named_parameters() if value.requires_grad}
    with_muon = settings.kind == "muon"
    if with_muon and is_spread:
        raise ValueError(
            "optimizer.kind: muon needs every matrix whole, but this run divides the weights over devices. Set "
            "optimizer.kind to adamw, or train without FSDP and DeepSpeed."
        )
    if with_muon or settings.encoder_lr:
        encoders = {name: value for name, value in learns.items() if name.startswith(_ENCODERS)}
        rest = [(name, value) for name, value in learns.items() if name not in encoders]
        matrices, others = split(rest, _BLOCKS) if with_muon else ([], [value for _, value in rest])
        return MuonAdamW(matrices, others, settings, list(encoders.values()))
    return torch.optim.AdamW(
        learns.values(),
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def split(named: Iterable[tuple[str, nn.Parameter]], within: str = "") -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Muon's matrices (and kernels that mix channels), of those with `within` in their names; and all else."""
    parts: tuple[list, list] = [], []
    for name, value in named:
        parts[not (within in name and _is_matrix(name, value))].append(value)
    return parts


def _is_matrix(name: str, value: nn.Parameter) -> bool:
    if value.ndim not in (2, 3, 4) or any(part in name for part in _NO_MATRICES):
        return False
    return value.shape[1] > 1 and min(value.shape[0], value[0].numel()) >= _SMALLEST
