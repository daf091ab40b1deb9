"""A weight per injected layer as a readable string: `0-7:1.2, 8-20:0.8`.

    3:0              layer 3
    0-7:1.2          layers 0 to 7
    0-20:0.2..1.0    a straight line from layer 0 to layer 20
    *:0.5            the layers that no number names; `*:0.2..1.0` is a line over all layers, as is a preset
    structure first  a preset by its name, see `PRESETS`

Entries are separated by commas, semicolons or new lines; later ones override earlier ones, and numbers
override `*` and presets. Layers that nothing names have weight 1. Layers count from 0, in the order of the
model's depth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .schedule import between, schedule_weight
from .typed_text import Scanner

PRESETS = {
    "all": [(0.0, 1.0)],
    "structure first": [(0.5, 1.0), (1.0, 0.3)],
    "detail first": [(0.0, 0.3), (0.5, 1.0)],
    "ramp up": [(0.0, 0.2), (1.0, 1.0)],
    "ramp down": [(0.0, 1.0), (1.0, 0.2)],
    "middle": [(0.0, 0.3), (0.5, 1.0), (1.0, 0.3)],
    "ends": [(0.0, 1.0), (0.5, 0.3), (1.0, 1.0)],
    "first half": [(0.5, 1.0), (0.5, 0.0)],
    "second half": [(0.5, 0.0), (0.5, 1.0)],
}
"""Preset name -> points (depth from 0, the first injected layer, to 1, the last one; weight)."""

_DECIMALS = 9  # of weights between the ends of a line, so that they read well
_ENTRY = "a layer such as 3, a range such as 0-7, * for the rest, or one of the presets " + ", ".join(PRESETS)


def parse_layer_weights(text: str, count: int) -> list[float]:
    """The weight of each of `count` injected layers; ones for an empty string. Grammar: see the module.

    Raises ValueError with the position of the mistake: malformed entries, layers that do not exist, a range
    that runs backwards, numbers that are not finite, unknown presets.
    """
    _check_count(count)
    scan = Scanner(text, "Layer weights")
    rest, named = [1.0] * count, {}
    while not scan.at_end:
        rest = _read_entry(scan, count, named) or rest
        scan.end_entry()
    return [named.get(layer, weight) for layer, weight in enumerate(rest)]


def _read_entry(scan: Scanner, count: int, named: dict[int, float]) -> list[float] | None:
    """Reads one entry into `named`, or returns what it says of all layers."""
    start = scan.position
    preset = scan.name()
    if preset is not None:
        return _preset(preset, count) if preset in PRESETS else scan.fail(_ENTRY, start)
    if scan.take(r"\*") is not None:
        return _read_weights(scan, count)
    first = _read_layer(scan, count, _ENTRY)
    last = first
    if scan.take("[-–]") is not None:
        start = scan.position
        last = _read_layer(scan, count, "the last layer of the range")
        if last < first:
            scan.fail(f"a last layer from {first} on", start)
    named.update(zip(range(first, last + 1), _read_weights(scan, last - first + 1), strict=True))
    return None


def _read_layer(scan: Scanner, count: int, expected: str) -> int:
    start = scan.position
    digits = scan.take(r"[0-9]+")
    if digits is None:
        scan.fail(expected)
    if int(digits[:9]) >= count or len(digits) > 9:
        scan.fail(f"a layer from 0 to {count - 1} (the model has {count} injected layers)", start)
    return int(digits)


def _read_weights(scan: Scanner, count: int) -> list[float]:
    if scan.take(":") is None:
        scan.fail("':' and a weight")
    low = scan.number("a weight such as 0.8")
    if scan.take(r"\.\.|…") is None:
        return [low] * count
    return _line(low, scan.number("the weight at the end of the line"), count)


def _line(low: float, high: float, count: int) -> list[float]:
    """`count` weights on a straight line, exact at both ends; its middle for a single layer."""
    inner = [round(between(low, high, depth), _DECIMALS) for depth in _depths(count)]
    return inner if count == 1 else [low, *inner[1:-1], high]


def _preset(name: str, count: int) -> list[float]:
    return [round(schedule_weight(PRESETS[name], depth), _DECIMALS) for depth in _depths(count)]


def _depths(count: int) -> list[float]:
    return [0.5] if count == 1 else [layer / (count - 1) for layer in range(count)]


def layer_weight_presets(count: int) -> dict[str, list[float]]:
    """Preset name -> the weight of each of `count` layers.

    structure first: the first half in full, then falling to 0.3; detail first: its mirror; middle, ends: full
    there and 0.3 elsewhere; ramps: from 0.2 to 1; halves: the other half off.
    """
    _check_count(count)
    return {name: _preset(name, count) for name in PRESETS}


def _check_count(count: int) -> None:
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"Expected the number of injected layers, at least 1, got {count!r}.")


def check_strength(strength: float) -> None:
    """Raises ValueError unless `strength` is a finite number."""
    if not math.isfinite(strength):
        raise ValueError(f"Identity strength must be a finite number (1 is the trained strength), got {strength}.")


def check_layer_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """`weights` as a list of `count` floats (ones for None); ValueError for another length or a NaN."""
    if weights is None:
        return [1.0] * count
    weights = [float(weight) for weight in weights]
    if len(weights) != count:
        raise ValueError(f"Expected {count} layer weights, one per injected layer, got {len(weights)}.")
    if not all(map(math.isfinite, weights)):
        raise ValueError(f"Layer weights must be finite numbers, got {weights}.")
    return weights
