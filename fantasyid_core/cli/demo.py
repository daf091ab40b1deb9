"""Makes short videos of three people who do not exist, as they are and with edited faces, with FantasyID-Tiny.

It needs nothing but what comes along: this project draws the people and their 3D faces, and the model is its own.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

from .generate import check_output

# Of the people that the model never saw, in their order: the first with a beard, the first with open hair and neither
# beard nor glasses, the first with hanging hair and glasses. Chosen by their looks, not by how well they come out.
CAST = (1, 5, 8)
NOTICE = (
    "FantasyID-Tiny is a very small model of drawn people, 64 x 64 pixels: it shows how the method behaves, not what "
    "FantasyID looks like with the 5B model. Its pictures are soft, and they follow the sliders only roughly."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="output/demo", metavar="FOLDER", help="default: %(default)s")
    parser.add_argument(
        "--people", nargs="+", type=int, default=list(CAST), metavar="NUMBER",
        help="which of the people that the model never saw; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        help="folder that `python -m fantasyid_core.experiments.package` wrote; default: FantasyID-Tiny",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default: %(default)s)")
    parser.add_argument(
        "--steps", type=int, default=1, help="number of steps from noise to video (default: %(default)s)"
    )
    parser.add_argument(
        "--cfg", type=float, default=1.0, help="guidance by the prompt; 1 is none (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.out)
    check_arguments(arguments)
    check_output(folder / "demo.mp4")
    from ..host.diffusers.others import hush_libraries
    from ..tinymodel.sampler import TinySampler, load_networks
    from ..tools.demo import make_cast, make_takes, score_takes

    hush_libraries()
    started = time.perf_counter()
    cast = make_cast(arguments.people)
    print(f"{len(cast)} people drawn, with their 3D faces of {len(cast[0].shape.vertices)} vertices", flush=True)
    sampler = TinySampler(load_networks(arguments.model), steps=arguments.steps, cfg=arguments.cfg)
    sampling = time.perf_counter()
    takes = make_takes(cast, sampler, arguments.seed)
    sampling = time.perf_counter() - sampling
    print(f"{len(takes)} videos of {arguments.steps} steps made in {sampling:.1f} s", flush=True)
    rows = score_takes(cast, takes)
    write(folder, cast, takes, rows, arguments, sampling)
    print(summary(rows))
    seconds = time.perf_counter() - started
    print(f"{NOTICE}\n{folder / 'demo.html'}, demo.mp4, sheet.png, photo.png and report.json: {seconds:.0f} s in all")
    return 0


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raises ValueError for values that cannot work."""
    if len(set(arguments.people)) != len(arguments.people) or not 1 <= len(arguments.people) <= 6:
        raise ValueError(f"Expected 1 to 6 different people, got {arguments.people}.")
    if not all(0 <= number < 10**9 for number in arguments.people):
        raise ValueError(f"Expected numbers of people from 0 to 999999999, got {arguments.people}.")
    if not 0 <= arguments.seed < 2**63:
        raise ValueError(f"Expected a seed of 0 to 2^63 - 1, got {arguments.seed}.")
    if not 1 <= arguments.steps <= 1000:
        raise ValueError(f"Expected 1 to 1000 steps, got {arguments.steps}.")
    if not 1 <= arguments.cfg < math.inf:
        raise ValueError(f"Expected a guidance of at least 1, got {arguments.cfg}.")


def write(folder: Path, cast, takes, rows: list[dict], arguments: argparse.Namespace, seconds: float) -> None:
    """demo.html with its videos, demo.mp4, sheet.png, photo.png, report.json; only whole files replace others."""
    from PIL import Image

    from ..files.writing import write_aside
    from ..tools.demo import MEANING
    from ..tools.demopage import write_page
    from ..tools.demophoto import below, photo_panels, photo_sheet
    from ..tools.demosheet import contact_sheet, side_by_side
    from ..videofile import save_video

    save_video(side_by_side(cast, takes), folder / "demo.mp4", 8, crf=14)
    photo = photo_sheet(photo_panels())
    for name, picture in (("photo.png", photo), ("sheet.png", below(contact_sheet(cast, takes, rows), photo))):
        with write_aside(folder / name) as aside:
            Image.fromarray(picture).save(aside, format="PNG")
    write_page(folder, cast, takes, rows, NOTICE)
    settings = {name: getattr(arguments, name) for name in ("people", "seed", "steps", "cfg")}
    report = {"settings": settings, "sampling_seconds": seconds, "meaning": MEANING, "videos": rows}
    with write_aside(folder / "report.json") as aside:
        aside.write_text(json.dumps(finite(report), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def finite(value):
    """The same without NaN, which is no JSON: a measure that is not defined becomes null."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


COLUMNS = {
    "likeness": "{:.2f}", "rank": "{}", "skin_error": "{:.3f}", "yaw": "{:.2f}", "change": "{:.2f}",
    "face_width": "{:+.2f}", "jaw_width": "{:+.2f}",
}  # fmt: skip


def summary(rows: list[dict]) -> str:
    """A table of the scores that tell most, a line per video."""
    lines = [f"{'person':>11} {'variant':<22}" + "".join(f"{name:>14}" for name in COLUMNS)]
    for row in rows:
        cells = "".join(f"{form.format(row[name]):>14}" for name, form in COLUMNS.items())
        lines.append(f"{row['person']:>11} {row['variant']:<22}{cells}")
    return "\n".join(lines)
