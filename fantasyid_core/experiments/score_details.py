"""Scores of what a viewer sees first, for several models beside true renders, sharp and blurred, and the codec's.

    python -m fantasyid_core.experiments.score_details OUT                                the model that comes along
    python -m fantasyid_core.experiments.score_details OUT shipped=DIR sharper=DIR --people 50 --seeds 3

OUT receives details.json and details.md: glasses, beards, sharpness, hair, PSNR, and the sliders of the editor.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files.writing import write_aside
from ..people.instruments.comparing import softened
from ..people.instruments.details import measure_details, measure_sliders
from ..people.instruments.subjects import BentRenderer, Sampler, Subject, TrueRenderer, held_out_people, through_codec
from ..shape.edit.edit import edit_shape
from ..tinymodel.loading import SHIPPED, load_vae
from ..tinymodel.models import TinyCodec
from ..tinymodel.sampler import STEPS, TinySampler, load_networks
from .clip_pairs import SLIDERS

BLUR = 1.2 / 64


def score_details(
    samplers: dict[str, Sampler], people: Sequence[Subject], seeds: Sequence[int], slider_people: int, report=print
) -> dict[str, dict]:
    """Model -> measures: means over the noise seeds; "sliders" of the first people and the first seed."""
    true, bent, codec = TrueRenderer(people), BentRenderer(people), TinyCodec(load_vae())
    still = {
        "through the VAE": lambda sample: through_codec(sample, codec),
        "true, blurred": blurred,
        "true": lambda it: it,
    }
    found = {}
    for name, sample in {**samplers, **{name: way(true) for name, way in still.items()}}.items():
        rows = [measure_details(sample, people, seed) for seed in (seeds if name in samplers else seeds[:1])]
        found[name] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        report(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in found[name].items()))
        if slider_people:
            follows = sample if name in samplers else still[name](bent)
            sliders = measure_sliders(follows, people[:slider_people], SLIDERS, edit_shape, seed=seeds[0])
            found[name]["sliders"] = {key: effect._asdict() for key, effect in sliders.items()}
            report(f"{name}: " + ", ".join(f"{key} {effect.slope:.2f}" for key, effect in sliders.items()))
    return found


def blurred(sample: Sampler) -> Sampler:
    """The frames of `sample`, soft as by a blur of `BLUR` of their side: right in all but their sharpness."""
    return lambda *request: softened(sample(*request), BLUR).round().astype(np.uint8)


def as_table(found: dict[str, dict]) -> str:
    """Markdown: a row per measure, a column per model; sliders as slope, slope of unsoftened pictures, correlation."""
    names = list(found)
    lines = ["| measure | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for key in (key for key in found[names[0]] if key != "sliders"):
        lines.append(f"| {key} | " + " | ".join(f"{found[name][key]:.3f}" for name in names) + " |")
    for slider in found[names[0]].get("sliders", {}):
        cells = []
        for name in names:
            cells.append("{slope:.2f}, {sharp_slope:.2f}, {correlation:.3f}".format(**found[name]["sliders"][slider]))
        lines.append(f"| slider {slider} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.score_details")
    parser.add_argument("out", type=Path, help="where details.json and details.md go")
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER", help="default: the model that comes along")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3, help="how many of the noise")
    parser.add_argument("--slider-people", type=int, default=24, help="0: no sliders")
    parser.add_argument("--steps", type=int, default=STEPS, help="from noise to video")
    arguments = parser.parse_intermixed_args(argv)
    pairs = [each.partition("=") for each in arguments.models or [f"shipped={SHIPPED}"]]
    say = lambda line: print(line, flush=True)  # noqa: E731
    try:
        if not all(equals for _, equals, _ in pairs) or arguments.seeds < 1:
            raise ValueError(f"Expected NAME=FOLDER and at least one seed, got {' '.join(arguments.models)}.")
        samplers = {name: TinySampler(load_networks(folder), arguments.steps) for name, _, folder in pairs}
        people = held_out_people(arguments.people)
        found = score_details(samplers, people, range(arguments.seeds), arguments.slider_people, say)
        with write_aside(arguments.out / "details.json") as aside:
            aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        with write_aside(arguments.out / "details.md") as aside:
            aside.write_text(as_table(found), encoding="utf-8")
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(as_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
