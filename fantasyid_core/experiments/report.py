"""Measures a model, the codec and the true renders with the same instruments; writes JSON and a Markdown table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files.writing import write_aside
from ..people.instruments.probe import READABLE, Probe, load_probe
from ..people.instruments.resemblance import measure_clips
from ..people.instruments.subjects import Sampler, Subject, TrueRenderer
from ..people.instruments.vertex_control import COARSE, FINE, SEEDS, VALUES, measure_control, measure_leak

TRUE = "true"
CODEC = "codec"
LEAKS = ("face_width", "jaw_width", "chin_length")
_AT_LEAST, _AT_MOST, _WITHIN = ">=", "<=", "within"
CLIP_TARGETS = {
    "retrieval": (_AT_LEAST, 0.75),
    "skin_error": (_AT_MOST, 0.03),
    "hair_correlation": (_AT_LEAST, 0.9),
    "yaw_direction": (_AT_LEAST, 0.95),
    "last_minus_first": (_AT_LEAST, 0.6),
    "copied_pose": (_AT_MOST, 0.2),
    "psnr_below_codec": (_AT_MOST, 2.5),
}
LEAK_TARGET, SKIN_SHIFT_TARGET = 0.1, 0.03
STEERED = 0.5  # of the true slope, from which on it means something that nothing else moves


def compare(
    samplers: Mapping[str, Sampler],
    people: Sequence[Subject],
    parameters: Sequence[str] = COARSE + FINE,
    values: Sequence[float] = VALUES,
    seeds: Sequence[int] = SEEDS,
    probe: Probe | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict:
    """Every measure of every sampler, one number per seed, with mean and spread (standard deviation) over the seeds.

    samplers: "model" and what is to stand beside it; with the name "codec" PSNR is compared with its. The true
    renderer is added as "true": slopes are told as shares of its.
    """
    probe, samplers = probe or load_probe(), {**samplers}
    samplers.setdefault(TRUE, TrueRenderer(people))
    leaks = [name for name in LEAKS if name in parameters]
    control, leak, clips = {}, {}, {}
    for name, sample in samplers.items():
        told = lambda what, name=name: lambda done, count: progress(f"{name}: {what} {done} of {count}")  # noqa: E731
        control[name] = measure_control(sample, people, parameters, values, seeds, probe, told("control"))
        leak[name] = measure_leak(sample, people, leaks, values, seeds, probe, told("leak")) if leaks else {}
        clips[name] = measure_clips(sample, people, seeds, probe, told("clips"))
    about = {"people": len(people), "seeds": list(seeds), "values": list(values), "columns": list(samplers)}
    return about | {"rows": [*_control_rows(control), *_leak_rows(leak, control), *_clip_rows(clips)]}


def write_report(report: dict, folder: Path, name: str = "heads") -> None:
    """<folder>/<name>.json and .md. Raises OSError when they cannot be written."""
    data = json.dumps(report, indent=1, allow_nan=False)
    for suffix, text in ((".json", data), (".md", markdown(report))):
        with write_aside(Path(folder) / f"{name}{suffix}") as aside:
            aside.write_text(text + "\n", encoding="utf-8")


def markdown(report: dict) -> str:
    """A row per measure, a column per sampler; whether the first one meets the target stands last."""
    columns = report["columns"]
    lines = [
        f"{report['people']} held-out people; mean ± spread over the noise seeds "
        f"{', '.join(map(str, report['seeds']))}.",
        "",
        "| measure | " + " | ".join(columns) + f" | target | {columns[0]} |",
        "| --- |" + " ---: |" * len(columns) + " --- | --- |",
    ]
    for row in report["rows"]:
        cells = [_cell(row[column]) for column in columns]
        lines.append(f"| {row['measure']} | " + " | ".join(cells) + f" | {row['target']} | {row['verdict']} |")
    lines += [
        "",
        f"Unreadable: on true renders the probe reads it at less than {READABLE:g}, so it proves nothing.",
        f"Not steered: the slider moves the shape by less than {STEERED:g} of the true slope, so it is no merit that "
        "nothing else moves.",
    ]
    return "\n".join(lines)


def _control_rows(control: dict) -> list[dict]:
    rows = []
    for name in control[TRUE]:
        # Not the mean over people: it is high for any trace of the effect, because the true values have no noise.
        readable = np.mean(control[TRUE][name]["pooled"]) >= READABLE
        coarse, fine = (name.removesuffix(" outline") in names for names in (COARSE, FINE))
        wanted = (_AT_LEAST, 0.97) if coarse else (_AT_LEAST, 0.6) if fine else None
        each = {column: control[column][name] for column in control}
        rows.append(_row(f"{name}: correlation", {c: v["correlation"] for c, v in each.items()}, wanted, readable))
        rows.append(_row(f"{name}: pooled correlation", {c: v["pooled"] for c, v in each.items()}, None, readable))
        shares = {column: _shares(v["slope"], control[TRUE][name]["slope"]) for column, v in each.items()}
        wanted = (_WITHIN, (0.85, 1.15)) if coarse else None
        rows.append(_row(f"{name}: slope / true", shares, wanted, readable))
        if "skin_shift" in each[TRUE]:
            shifts = {column: v["skin_shift"] for column, v in each.items()}
            row = _row(f"{name}: shift of the skin colour", shifts, (_AT_MOST, SKIN_SHIFT_TARGET))
            rows.append(_only_if_steered(row, shares))
    return rows


def _leak_rows(leak: dict, control: dict) -> list[dict]:
    rows = []
    for name in leak[TRUE]:
        readable = np.mean(control[TRUE][name]["pooled"]) >= READABLE
        shares = {
            column: [abs(each) for each in _shares(leak[column][name]["slope"], control[TRUE][name]["slope"])]
            for column in leak
        }
        row = _row(f"{name}: leak of the picture, |slope| / true", shares, (_AT_MOST, LEAK_TARGET), readable)
        steered = {column: _shares(v[name]["slope"], control[TRUE][name]["slope"]) for column, v in control.items()}
        rows.append(_only_if_steered(row, steered))
    return rows


def _clip_rows(clips: dict) -> list[dict]:
    rows = []
    for name in clips[TRUE]:
        part = name.partition("_")[0]
        readable = np.mean(clips[TRUE].get(f"{part}_correlation", [1.0])) >= READABLE
        rows.append(_row(name, {c: clips[c][name] for c in clips}, CLIP_TARGETS.get(name), readable))
    if CODEC in clips:
        for name in ("psnr", "psnr_head"):
            below = {c: [b - a for a, b in zip(clips[c][name], clips[CODEC][name], strict=True)] for c in clips}
            rows.append(_row(f"{name}_below_codec", below, CLIP_TARGETS.get(f"{name}_below_codec")))
    return rows


def _shares(ours: list[float], true: list[float]) -> list[float]:
    whole = float(np.mean(true))
    return [each / whole if whole else math.nan for each in ours]


def _row(measure: str, columns: dict[str, list[float]], target: tuple | None, readable: bool = True) -> dict:
    cells = {column: _summary(values) for column, values in columns.items()}
    first = next(iter(cells.values()))["mean"]
    verdict = "unreadable" if not readable else "" if target is None else "met" if _meets(first, *target) else "MISSED"
    told = "" if target is None else _target(*target)
    return {"measure": measure, **cells, "target": told, "readable": bool(readable), "verdict": verdict}


def _only_if_steered(row: dict, shares: dict[str, list[float]]) -> dict:
    """Says "not steered" instead of "met" for side effects of a model whose vertices do not move the shape, either."""
    if row["verdict"] == "met" and not np.mean(next(iter(shares.values()))) >= STEERED:
        return row | {"verdict": "not steered"}
    return row


def _meets(value: float | None, how: str, bound) -> bool:
    if value is None:
        return False
    return value >= bound if how == _AT_LEAST else value <= bound if how == _AT_MOST else bound[0] <= value <= bound[1]


def _target(how: str, bound) -> str:
    return f"{bound[0]:g} to {bound[1]:g}" if how == _WITHIN else f"{how} {bound:g}"


def _summary(values: list[float]) -> dict:
    known = all(map(math.isfinite, values))
    return {
        "mean": float(np.mean(values)) if known else None,
        "spread": float(np.std(values)) if known else None,
        "seeds": [value if math.isfinite(value) else None for value in values],
    }


def _cell(cell: dict) -> str:
    return "–" if cell["mean"] is None else f"{cell['mean']:.3f} ± {cell['spread']:.3f}"
