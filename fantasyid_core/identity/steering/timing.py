"""What an artist sets beside the strength: when a person acts, and how much its face and its shape count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...config import AdapterConfig
from ..folded import Person
from .schedule import check_schedule, schedule_weight

Schedule = Callable[[float], float] | Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Timing:
    """The weight over the sampling, as a function of its progress (0 is the first step, 1 the end).

    start, end: the part in which the person acts. fade_in, fade_out: how wide the straight ramps from and to zero
    are, inside that part; where they overlap the smaller weight counts. schedule: points (progress, weight) with
    straight lines between, or a function of the progress; it multiplies. Raises ValueError for values outside
    0..1, an end before the start, and schedules that are none.
    """

    start: float = 0.0
    end: float = 1.0
    fade_in: float = 0.0
    fade_out: float = 0.0
    schedule: Schedule | None = None

    def __post_init__(self):
        if not 0 <= self.start <= 1 or not 0 <= self.end <= 1:
            raise ValueError(f"Expected start and end between 0 and 1, got {self.start} and {self.end}.")
        if self.end < self.start:
            raise ValueError(
                f"Expected an end after the start, got start {self.start} and end {self.end}. Swap them."
            )
        if not 0 <= self.fade_in <= 1 or not 0 <= self.fade_out <= 1:
            raise ValueError(
                f"Expected fades between 0 and 1 of the sampling, got {self.fade_in} and {self.fade_out}."
            )
        if self.schedule is not None and not callable(self.schedule):
            object.__setattr__(self, "schedule", tuple(check_schedule(self.schedule)))

    def weight(self, progress: float) -> float:
        """The weight at `progress` in 0..1."""
        # A start at the very end is never reached, as in the host's own nodes.
        if not self.start <= progress <= self.end or self.start >= 1:
            return 0.0
        ramp = min(1.0, _ramp(progress - self.start, self.fade_in), _ramp(self.end - progress, self.fade_out))
        if ramp == 0 or self.schedule is None:
            return ramp
        return ramp * self._scheduled(progress)

    def _scheduled(self, progress: float) -> float:
        if not callable(self.schedule):
            return schedule_weight(self.schedule, progress)
        weight = float(self.schedule(progress))
        if not math.isfinite(weight):
            raise ValueError(
                f"Expected finite weights from the schedule, got {weight} at {progress:.3f} of the sampling."
            )
        return weight


def _ramp(way: float, width: float) -> float:
    return 1.0 if width == 0 else way / width


def make_person(
    config: AdapterConfig, tokens: Tensor, face_weight: float = 1.0, vertex_weight: float = 1.0
) -> Person | None:
    """The person of identity tokens [B, K*Nid, Cid], with how much the tokens of face and shape count.

    A weight w multiplies the group's share in the softmax, as if each of its tokens were there w times: 1 changes
    nothing, 0 takes the group out as if it had never been there, 2 doubles its say against the other group.
    Tokens of K concatenated references are weighted reference by reference. None when both weights are 0.
    Raises ValueError for negative or infinite weights, and for no tokens.
    """
    weights = (face_weight, vertex_weight)
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise ValueError(
            f"Expected weights of face and shape of 0 or more, got {face_weight} and {vertex_weight}. 0 takes a "
            "group out, 1 is as trained."
        )
    if tokens.shape[1] == 0:
        raise ValueError("Expected at least one identity token, got none. Encode the identity again.")
    if face_weight == vertex_weight:  # what both groups share is lost on the softmax
        return Person(tokens) if face_weight else None
    if tokens.shape[1] % config.id_tokens:
        raise ValueError(
            f"Expected {config.id_tokens} identity tokens per reference, got {tokens.shape[1]} in all. Encode the "
            "identity again with this adapter to weight its face and shape."
        )
    is_face = torch.arange(tokens.shape[1], device=tokens.device) % config.id_tokens < config.face_tokens
    kept = is_face if vertex_weight == 0 else ~is_face
    if 0 in weights:
        return Person(tokens[:, kept]) if kept.any() else None  # an adapter may have one group only
    ratio = torch.full(is_face.shape, math.log(vertex_weight / face_weight), device=tokens.device)
    return Person(tokens, ratio.masked_fill(is_face, 0.0))
