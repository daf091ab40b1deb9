"""The settings of a video beside the person and the model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from ..identity.steering.layer_weights import check_strength
from ..options import ATTENTIONS, CACHES, DPM, EXACT, NATIVE, OFFLOADS, PARALLELS, ROWS, SOLVERS, STORAGES
from ..sampling import make_steps
from ..weights.adapter import check_float

LATER = "added later"
"""Metadata of a field that counts in a video's fingerprint only when it is not the default, so that older videos keep
theirs."""


@dataclass(frozen=True)
class Settings:
    """The settings of a video beside its inputs. The model defines the size of the picture.

    device: None takes CUDA if there is one. dtype: None is bfloat16 on a GPU and for large models, else float32.
    offload: "none"; "model" keeps the VAE in main memory while the transformer samples, and the other way
    round; "sequential" lets every block visit the GPU only while it computes (slow, least memory). Without
    effect on the CPU. tiling: the VAE decodes tile by tile, with less memory and slightly visible seams.
    cache: what a step reuses from earlier steps, a word of `options.CACHES`. storage: how the transformer's matrices
    are stored while it samples, a word of `options.STORAGES`. compile: compiles its blocks, once per run.
    parallel: what several processes divide among them, a word of `options.PARALLELS`. frames: number of frames of a
    video longer than the model's own, which it was not trained for (`sampling.windows`); None is the model's own.
    attention: what computes attention, a word of `options.ATTENTIONS`.
    """

    prompt: str
    negative: str = ""
    seed: int = 0
    steps: int = 50
    cfg: float = 6.0
    strength: float = 1.0
    solver: str = DPM
    device: str | None = None
    dtype: torch.dtype | None = None
    offload: str = "none"
    tiling: bool = False
    cache: str = EXACT
    storage: str = STORAGES[0]
    compile: bool = False
    parallel: str = ROWS
    frames: int | None = None
    attention: str = field(default=NATIVE, metadata={LATER: True})

    @property
    def machine(self) -> tuple:
        """The settings that decide which networks are loaded, and how."""
        return self.device, self.dtype, self.offload, self.tiling

    def __post_init__(self):
        make_steps(self.steps)
        check_strength(self.strength)
        check_float(self.dtype)
        if not math.isfinite(self.cfg) or self.cfg < 1:
            raise ValueError(f"Guidance must be a finite number of at least 1 (official: 6), got {self.cfg}.")
        choices = (
            ("solver", SOLVERS),
            ("offload mode", OFFLOADS),
            ("cache", CACHES),
            ("storage", STORAGES),
            ("parallel", PARALLELS),
            ("attention", ATTENTIONS),
        )
        for what, known in choices:
            value = getattr(self, what.split()[0])
            if value not in known:
                raise ValueError(f"Expected a {what} among {', '.join(known)}, got {value!r}.")
        if self.parallel != ROWS and self.cache not in (EXACT, "pyramid", "taylor"):
            raise ValueError(
                f"The cache {self.cache} looks at all tokens and both halves of guidance, which no process has with "
                f"parallel {self.parallel}. Take exact, pyramid or taylor, or share out rows."
            )
        if self.frames and self.cache != EXACT:
            raise ValueError(
                f"The cache {self.cache} would mix up the windows of a longer video: expected cache exact with frames "
                f"{self.frames}, or the model's own length."
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"Expected a seed of 0 to 2^63 - 1, got {self.seed}.")
