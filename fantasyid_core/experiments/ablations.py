"""The ablations of the paper's Table 3, each trained anew with as many steps as the whole model, and compared.

    python -m fantasyid_core.experiments.ablations tiny --out FOLDER steps=1000 stills=300 --portrait-steps 300

Each model first learns portraits with its own parts alone. An interrupted run continues with the same command. FOLDER
gets a folder for each model, scores.json, .md and .png, and table3.md with the paper's measures and the orderings of
its Table 3 that hold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..people.instruments.vertex_control import COARSE
from ..tinymodel.sampler import STEPS
from ..training.config import load_config
from ..training.loop import train
from .package import package
from .score_model import score
from .table3 import write_table3
from .train_portraits import PortraitTraining, train_portraits

ABLATIONS: dict[str, tuple[str, ...]] = {
    "whole": (),
    "without vertices": ("model.sizes.use_vertices=false",),
    "without face abstractor": ("model.sizes.use_face=false",),
    "without multi-view": ("identity.reference=own frame",),
    "one shared injection": ("model.sizes.shared_injection=true",),
}
"""The changes of the config that leave out one of the paper's parts, by its name in `table3.PAPER`."""

FEWEST = 8  # people, for the Frechet distance needs more frames than the probe's vectors have numbers


def run_ablations(
    config: str | Path, out: Path, changes: Sequence[str] = (), people: int = 50, seeds: int = 3, report=print,
    steps: int = STEPS, workers: int = 1, portraits: PortraitTraining | None = None,
    only: Sequence[str] = tuple(ABLATIONS),
) -> dict:  # fmt: skip
    """Trains, packages and scores those of `ABLATIONS` in `only`; returns the report of `experiments.report.compare`.

    portraits: how each learns them (None: not at all). Errors as `train`, and ValueError for unknown names. The
    paper's table needs all of them and at least FEWEST people; without, it is left out.
    """
    unknown = [name for name in only if name not in ABLATIONS]
    if unknown or not only:
        raise ValueError(f"Expected some of {', '.join(ABLATIONS)}, got {', '.join(unknown) or 'none'}.")
    folders = {name: train_one(name, config, out, changes, report, portraits) for name in only}
    found = score(folders, out, people, range(seeds), COARSE, report=report, steps=steps, workers=workers)
    if _in_table(people, only):
        write_table3(found, out)
    return found


def _in_table(people: int, only: Sequence[str]) -> bool:
    return people >= FEWEST and set(only) == set(ABLATIONS)


def train_one(
    name: str, config: str | Path, out: Path, changes: Sequence[str], report: Callable[[str], None] = print,
    portraits: PortraitTraining | None = None,
) -> Path:  # fmt: skip
    """The folder with the networks of one ablation. A finished run is not trained again; of other settings, refused."""
    run = out / name.replace(" ", "_")
    folder = run / "networks"
    path = run / "portraits.safetensors"
    learned = f"model.portraits={path if portraits else 'null'}"
    settings = load_config(config, [*changes, *ABLATIONS[name], f"output={run}", learned])
    if portraits and not path.is_file():  # what is there is what the run began with
        report(f"{name}: {portraits.steps} steps of portraits")
        train_portraits(settings, portraits, path, report)
    report(f"{name}: {settings.steps} steps")
    train(settings)
    package(run, folder)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: trained and scored; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.ablations")
    parser.add_argument("config", help="as for the command train")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="changes to the config, for all of them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=tuple(ABLATIONS), help=", ".join(ABLATIONS))
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3, help="how many noise seeds")
    parser.add_argument("--steps", type=int, default=STEPS, help="from noise to video")
    parser.add_argument("--workers", type=int, default=1, help="threads that score")
    parser.add_argument("--portrait-steps", type=int, default=300, help="of each before its videos; 0: none")
    arguments = parser.parse_intermixed_args(argv)
    say = lambda line: print(line, flush=True)  # noqa: E731
    try:
        portraits = PortraitTraining(steps=arguments.portrait_steps) if arguments.portrait_steps else None
        run_ablations(
            arguments.config, arguments.out, arguments.changes, arguments.people, arguments.seeds, say,
            arguments.steps, arguments.workers, portraits, arguments.only,
        )  # fmt: skip
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    names = ["scores.md"] + ["table3.md"] * _in_table(arguments.people, arguments.only)
    for name in names:
        print((arguments.out / name).read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
