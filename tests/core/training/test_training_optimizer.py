"""The optimiser of a run: Muon for matrices, AdamW for the rest, each as it is by itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fantasyid_core.training.config import OptimizerSettings
from fantasyid_core.training.muon import Muon
from fantasyid_core.training.optimizer import MuonAdamW, make_optimizer, split


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.transformer_blocks = nn.ModuleDict({"hidden": nn.Linear(24, 32), "mix": nn.Conv2d(32, 16, 3)})
        self.outside = nn.Linear(24, 24)
        self.face_encoder = nn.Linear(24, 24)
        self.alone = nn.Conv2d(32, 32, 3, groups=32)
        self.narrow = nn.Linear(32, 4)
        self.embedding = nn.Embedding(40, 24)
        self.queries = nn.Parameter(torch.randn(1, 20, 24))


def with_gradients(network, step):
    generator = torch.Generator().manual_seed(step)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_muon_takes_matrices_and_kernels_that_mix_channels():
    network = Network()
    names = {id(value): name for name, value in network.named_parameters()}
    every = [f"transformer_blocks.{name}.weight" for name in ("hidden", "mix")]
    for within, expected in (("transformer_blocks.", every), ("", [*every, "outside.weight", "face_encoder.weight"])):
        parts = split(network.named_parameters(), within)
        matrices, others = ([names[id(value)] for value in part] for part in parts)
        assert matrices == expected and set(others) == set(names.values()) - set(matrices)


def test_each_half_is_what_it_is_by_itself():
    network = Network()
    settings = OptimizerSettings(kind="muon", lr=1e-2, muon_lr=2e-2, encoder_lr=1e-3, weight_decay=0.1)
    apart = copy.deepcopy(network)
    both = make_optimizer(network, settings)
    assert isinstance(both, MuonAdamW)
    matrices, others = split(apart.named_parameters(), "transformer_blocks.")
    encoder = list(apart.face_encoder.parameters())
    others = [value for value in others if not any(value is each for each in encoder)]
    muon = Muon(matrices, lr=0.02, momentum=0.95, decay=0.1)
    groups = [{"params": others}, {"params": encoder}]
    adam = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for step in range(4):
        rate = 1e-2 / (1 + step)
        for group in both.param_groups:
            group["lr"] = rate * group["pace"]  # as the loop does
        muon.param_groups[0]["lr"] = 2 * rate
        adam.param_groups[0]["lr"], adam.param_groups[1]["lr"] = rate, rate / 10
        for module in (network, apart):
            with_gradients(module, step)
        both.step(), muon.step(), adam.step()
    for (name, ours), theirs in zip(network.named_parameters(), apart.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7), name


def test_adamw_alone_is_pytorchs(tmp_path):
    assert isinstance(make_optimizer(Network(), OptimizerSettings()), torch.optim.AdamW)


def test_what_is_frozen_is_left_out():
    network = Network().requires_grad_(False)
    network.transformer_blocks["hidden"].requires_grad_(True)
    optimizer = make_optimizer(network, OptimizerSettings(kind="muon", lr=1e-3))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def test_muon_refuses_weights_that_are_spread():
    with pytest.raises(ValueError, match="Set optimizer.kind to adamw"):
        make_optimizer(Network(), OptimizerSettings(kind="muon"), is_spread=True)
    with pytest.raises(ValueError, match="expected one of 'adamw', 'muon'"):
        OptimizerSettings(kind="adam")
