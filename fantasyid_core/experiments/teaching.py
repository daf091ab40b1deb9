"""Trains a network with a readout; the training can be stopped at any moment.

The state is one file: weights, their average, the optimiser's moments and the step. The batch of a step follows from
the seed and the step alone, so a resumed training equals an uninterrupted one."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..files.checkpoint import load_pickle
from ..files.writing import write_aside
from ..training.config import OptimizerSettings
from ..training.optimizer import MuonAdamW, split

_RAMP = 10  # early averages forget their random start


@dataclass(frozen=True)
class TeachingSettings:
    """steps of `batch` pictures. The rate rises over `warmup` steps and falls to nothing over the last share `fall`."""

    steps: int = 3000
    batch: int = 64
    lr: float = 1e-3
    muon_lr: float = 0.02
    warmup: int = 100
    fall: float = 0.4
    average: float = 0.998
    save_every: int = 200
    seed: int = 0

    def __post_init__(self):
        if self.batch < 2 or self.batch % 2 or self.steps < 1 or self.save_every < 1 or not 0 < self.fall <= 1:
            raise ValueError(f"Expected an even batch, steps and save_every from 1 on, fall in 0..1, got {self}.")

    def rate(self, step: int) -> float:
        """Share of the full learning rate."""
        return min(1.0, (step + 1) / self.warmup, max(0.01, (self.steps - step) / (self.fall * self.steps)))


class PlainAttention(TorchFunctionMode):
    """Attention as two products and a softmax: for few tokens on one core a third of the fused kernel's time."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.scaled_dot_product_attention:
            return self._attend(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    @staticmethod
    def _attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
        if attn_mask is not None or dropout_p or is_causal:
            raise ValueError("Expected attention without mask and dropout, which the small networks have none of.")
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        return torch.softmax(query @ key.transpose(-1, -2) * scale, -1) @ value


@contextmanager
def fast_on_cpu():
    """bfloat16 and `PlainAttention`: on one core about one and a half times as fast as float32 as it is."""
    with torch.autocast("cpu", torch.bfloat16), PlainAttention():
        yield


class Teaching:
    """`network` on its way; `slow` names (prefixes) learn at a share of the rate, by AdamW."""

    def __init__(
        self, network: nn.Module, settings: TeachingSettings, path: Path, slow: dict[str, float] | None = None
    ):
        self.network, self.settings, self.path = network, settings, Path(path)
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.step = 0
        learns = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
        self._optimizers = list(_optimizers(learns, settings, slow or {}))
        if self.path.is_file():
            self._read()

    def learn(self, loss: Callable[[int], dict[str, Tensor]], total: Callable, look, report=print) -> None:
        """Takes the steps that are left. loss(step): what it costs, by name; look(step): called where state is kept."""
        settings, seen, since = self.settings, [], time.monotonic()
        while self.step < settings.steps:
            losses = loss(self.step)
            total(losses).backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            for optimizer, pace in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = settings.lr * settings.rate(self.step) * group.get("pace", 1.0) * pace
                optimizer.step()
                optimizer.zero_grad()
            self._follow()
            self.step += 1
            seen.append({name: value.item() for name, value in losses.items()})
            if self.step % settings.save_every == 0 or self.step == settings.steps:
                self._write()
                means = ", ".join(f"{name} {sum(each[name] for each in seen) / len(seen):.3f}" for name in seen[0])
                pace = (time.monotonic() - since) / len(seen)
                report(f"step {self.step} of {settings.steps}, {pace:.2f} s each: {means}")
                look(self.step)
                seen, since = [], time.monotonic()

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.settings.average, (1 + self.step) / (_RAMP + self.step))
        for average, own in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(own, 1 - decay)

    def _write(self) -> None:
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
        }
        with write_aside(self.path) as aside, aside.open("wb") as stream:
            torch.save(state, stream)

    def _read(self) -> None:
        state = load_pickle(self.path, mapped=False)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            for (optimizer, _), each in zip(self._optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(each)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"{self.path} is the state of another network ({str(error).splitlines()[0]}). Choose another folder."
            ) from error
        self.step = state["step"]


def _optimizers(learns: list, settings: TeachingSettings, slow: dict[str, float]):
    """Pairs of an optimiser and its pace: those of `slow`, then Muon for the matrices of all else."""
    rates = OptimizerSettings(kind="muon", lr=settings.lr, muon_lr=settings.muon_lr, beta2=0.98)
    for prefix, pace in slow.items():
        named = [value for name, value in learns if name.startswith(prefix)]
        yield MuonAdamW([], named, rates), pace
    matrices, others = split((name, value) for name, value in learns if not name.startswith(tuple(slow)))
    yield MuonAdamW(matrices, others, rates), 1.0
