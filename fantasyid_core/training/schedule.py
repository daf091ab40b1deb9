"""The learning rate as a function of the step alone, so that a resumed run needs no state of it."""

from __future__ import annotations

import math

from .config import OptimizerSettings


def learning_rate(step: int, steps: int, settings: OptimizerSettings) -> float:
    """The learning rate of step `step` (0 is the first of `steps`).

    It rises linearly over `warmup` steps, then falls along a cosine from lr to final * lr; with several cycles the
    rest of the steps is divided into equal ones, each of which starts at lr again (Loshchilov and Hutter,
    arXiv 1608.03983, without growing periods).
    """
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    rest = max(1, steps - settings.warmup)
    place = min(1.0, (step - settings.warmup) / rest) * settings.cycles
    place = 1.0 if place >= settings.cycles else place % 1.0
    return settings.lr * (settings.final + (1 - settings.final) * (1 + math.cos(math.pi * place)) / 2)
