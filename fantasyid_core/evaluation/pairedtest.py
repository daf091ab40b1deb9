"""A paired test of whether one model is better than another on the same people, prompts and noise.

Videos of one person resemble each other, so each person counts once, with the mean of their videos. With a single
person the videos themselves are the pairs, and the result says nothing about other people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

CONFIDENCE = 0.95
ENOUGH = 2  # people from which on a person is the unit
DRAWS = 9999
Numbers = Mapping[tuple[str, str], float | None]
"""(person, rest of the video's name) -> value."""


def paired_difference(first: Numbers, second: Numbers) -> dict:
    """mean of first - second over pairs that both have, its interval and p by flipping signs; None where not defined.

    unit: "person" or "video". p: two-sided, exact for few pairs, else of `DRAWS` random flips, the same every time.
    """
    from scipy.stats import bootstrap, permutation_test

    unit, differences = _differences(first, second)
    report = {"unit": unit, "pairs": len(differences), "mean": None, "interval": None, "p": None}
    if not len(differences):
        return report
    report["mean"] = float(differences.mean())
    if len(differences) < 2 or not np.ptp(differences):
        return report
    kept = {"n_resamples": DRAWS, "vectorized": True}
    inside = bootstrap((differences,), np.mean, confidence_level=CONFIDENCE, method="percentile", rng=_draws(), **kept)
    report["interval"] = [float(inside.confidence_interval.low), float(inside.confidence_interval.high)]
    pair = (differences, np.zeros_like(differences))
    flipped = permutation_test(pair, _mean_difference, permutation_type="samples", rng=_draws(), **kept)
    report["p"] = float(flipped.pvalue)
    return report


def _mean_difference(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    return (a - b).mean(axis=axis)


def _draws() -> np.random.Generator:
    return np.random.default_rng(0)


def _differences(first: Numbers, second: Numbers) -> tuple[str, np.ndarray]:
    both = [key for key in first if first[key] is not None and second.get(key) is not None]
    each = {key: first[key] - second[key] for key in both}
    people: dict[str, list[float]] = {}
    for (person, _), value in each.items():
        people.setdefault(person, []).append(value)
    if len(people) >= ENOUGH:
        return "person", np.array([np.mean(values) for values in people.values()])
    return "video", np.array(list(each.values()), np.float64)


def spread_of_people(values: Sequence[np.ndarray], measure, draws: int = 20) -> list[float] | None:
    """The interval of `measure(list of the people's arrays)` when people are drawn anew; None for fewer than two."""
    if len(values) < ENOUGH:
        return None
    rng, found = _draws(), []
    for _ in range(draws):
        found.append(measure([values[index] for index in rng.integers(len(values), size=len(values))]))
    edge = (1 - CONFIDENCE) / 2
    return [float(value) for value in np.quantile(found, (edge, 1 - edge))]
