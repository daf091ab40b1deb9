"""Muon: momentum with orthogonalised updates, so that all directions of a matrix learn at the same rate.

After Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024): u = g + b m with m <- b m + g;
five Newton-Schulz steps X <- a X + (b A + c A A) X, A = X X^T, bring the singular values of u / |u| near 1. A
convolution's kernel counts as the matrix [out, in * height * width]. At the VAE's size it learns in half the steps
that Adam takes.

PyTorch has Muon, too (`torch.optim.Muon`, from 2.9 on), but it refuses kernels, takes matrices one by one, and computes
in bfloat16 alone. On a processor with instructions for bfloat16 it is 3 to 7 times as fast as this one (60 matrices of
192 x 192 and 768 x 192: 67 ms to 234 ms; AMD EPYC, one thread), on one without them 17 times as slow (4068 ms to
228 ms; the same processor, held to AVX2). This one is equally fast on both, and its momenta are those that saved
trainings hold.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """For parameters of two or more dimensions; the others need another optimizer."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.01):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            learns = [parameter for parameter in group["params"] if parameter.grad is not None]
            apply_muon(learns, self.state, group["lr"], group["momentum"], group["decay"])


def apply_muon(parameters: list[nn.Parameter], states: dict, lr: float, momentum: float, decay: float) -> None:
    """One step of Muon for parameters with gradients; `states` keeps the momentum of each.

    Those of one shape are made orthogonal together: many small products cost more than a large one.
    """
    together: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
    for parameter in parameters:
        state = states[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        kept = state["momentum"].mul_(momentum).add_(parameter.grad)
        ahead = (parameter.grad + momentum * kept).flatten(1)
        together.setdefault(tuple(ahead.shape), []).append((parameter, ahead))
    for (rows, columns), pairs in together.items():
        gain = max(1.0, rows / columns) ** 0.5  # equal change of the output whatever the shape
        updates = orthogonal(torch.stack([ahead for _, ahead in pairs]))
        for (parameter, _), update in zip(pairs, updates, strict=True):
            parameter.mul_(1 - lr * decay)
            parameter.add_(update.reshape(parameter.shape), alpha=-lr * gain)


def orthogonal(matrices: Tensor) -> Tensor:  # [...,M,N]
    """Nearly U V^T of each matrix' decomposition U S V^T: singular values of about 0.7 to 1.2, zeros stay zeros."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if tall else matrices
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    # Every step multiplies from the left by a polynomial of X X^T, so all five are taken in that small space.
    gram = wide @ wide.mT
    total = identity = torch.eye(wide.shape[-2], dtype=wide.dtype, device=wide.device)
    first, third, fifth = _QUINTIC
    for _ in range(_STEPS):
        factor = first * identity + third * gram + fifth * gram @ gram
        gram = factor @ gram @ factor
        total = factor @ total
    return wide.mT @ total.mT if tall else total @ wide
