"""What an artist types into Apply Identity -> an identity attached to the model, and its weights as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ...identity.adapter import IdentityAdapter
from ...identity.steering.curves import draw_curve, draw_schedule
from ...identity.steering.layer_weights import parse_layer_weights
from ...identity.steering.schedule import parse_schedule
from ...options import EVERYWHERE, PLACES, SIDE_BY_SIDE
from .attachment import attach


@dataclass(frozen=True)
class Control:
    """The settings of one person; `attach` says what each means. layers: as `parse_layer_weights` reads it, ""
    for all; schedule: as `parse_schedule` reads it, "" for none. region: one of `PLACES`, without a mask only."""

    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    fade_in: float = 0.0
    fade_out: float = 0.0
    layers: str = ""
    schedule: str = ""
    face_weight: float = 1.0
    shape_weight: float = 1.0
    region: str = EVERYWHERE
    feather: float = 0.0
    identity_guidance: float = 1.0


class Applied(NamedTuple):
    """model: the patched clone. curves: the weights over layers and over steps, np.uint8 [96,512,3]. notes: what
    it costs."""

    model: object
    curves: np.ndarray
    notes: tuple[str, ...]


def apply_identity(
    model, adapter: IdentityAdapter, tokens: Tensor, control: Control, mask: Tensor | None = None
) -> Applied:
    """A clone of `model` that shows the person `tokens` as `control` says, where `mask` [frames, H, W] is 1.

    Raises ValueError for strings that cannot be read (with the place of the mistake), for a mask together with a
    region, and what `attach` raises.
    """
    weights = parse_layer_weights(control.layers.strip() or "all", adapter.config.injected_layers)
    schedule = parse_schedule(control.schedule) if control.schedule.strip() else None
    patched = attach(
        model,
        adapter,
        tokens,
        control.strength,
        control.start_percent,
        control.end_percent,
        weights,
        _place(control, mask),
        fade_in=control.fade_in,
        fade_out=control.fade_out,
        schedule=schedule,
        face_weight=control.face_weight,
        vertex_weight=control.shape_weight,
        feather=control.feather,
        identity_guidance=control.identity_guidance,
    )
    curves = [draw_curve(weights), draw_schedule(_over_steps(control, schedule))]
    return Applied(patched, np.concatenate(curves, axis=1), _notes(control))


def _place(control: Control, mask: Tensor | None):
    if control.region not in PLACES:
        raise ValueError(f"Expected a region among {', '.join(PLACES)}, got {control.region!r}.")
    if mask is None:
        return SIDE_BY_SIDE if control.region == SIDE_BY_SIDE else None
    if control.region == SIDE_BY_SIDE:
        raise ValueError(
            f"Expected a mask or the region {SIDE_BY_SIDE}, got both. Choose {EVERYWHERE}, or disconnect the mask."
        )
    return mask[0] if len(mask) == 1 else mask


def _over_steps(control: Control, schedule) -> list[tuple[float, float]]:
    """The weight over the sampling as points: start, end, fades and schedule together."""
    from ...identity.steering.timing import Timing

    timing = Timing(control.start_percent, control.end_percent, control.fade_in, control.fade_out, schedule)
    return [(progress, control.strength * timing.weight(progress)) for progress in np.linspace(0, 1, 65).tolist()]


def _notes(control: Control) -> tuple[str, ...]:
    if control.identity_guidance == 1:
        return ()
    return ("Identity guidance looks at the video without the person, too: every step takes 1.5 times as long.",)
