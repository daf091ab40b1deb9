"""Scores small models on people that none of them has seen: tables, and pictures.

    python -m fantasyid_core.experiments.score_model --out FOLDER                    the one that comes along
    python -m fantasyid_core.experiments.score_model full=DIR "no face=DIR" --out FOLDER      several, side by side

The tables also have every measure for the true renders and for the codec's reconstructions of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..files.writing import write_aside
from ..people.instruments.subjects import Sampler, Subject, TrueRenderer, held_out_people, through_codec
from ..people.instruments.vertex_control import COARSE, FINE, SEEDS
from ..tinymodel.loading import SHIPPED, load_vae
from ..tinymodel.models import TinyCodec
from ..tinymodel.sampler import STEPS, TinySampler, load_networks
from .report import CODEC, TRUE, compare, write_report

MODEL = "FantasyID-Tiny"
SHEET_PEOPLE = 6
_GAP = 2
_SHOWN = (0, 4, 8)  # frames of a clip


class Team:
    """Runs several copies of a sampler, each on its own thread, because networks this small do not use two cores."""

    def __init__(self, members: Sequence[TinySampler]):
        self._members = members

    def __call__(self, *request) -> np.ndarray:
        return self._members[0](*request)

    def many(self, requests: Sequence[tuple]) -> np.ndarray:
        size = -(-len(requests) // len(self._members))
        parts = [requests[at : at + size] for at in range(0, len(requests), size)]
        with ThreadPoolExecutor(len(parts)) as pool:
            return np.concatenate(list(pool.map(lambda member, part: member.many(part), self._members, parts)))


def samplers_of(folders: dict[str, Path], steps: int = STEPS, workers: int = 1) -> dict[str, Sampler]:
    """A sampler for the networks of each folder."""
    return {
        name: Team([TinySampler(load_networks(folder), steps) for _ in range(workers)])
        for name, folder in folders.items()
    }


def sheet(samplers: dict[str, Sampler], people: Sequence[Subject]) -> np.ndarray:
    """A row per person: the reference, then three frames of every sampler's clip; uint8 [H,W,3]."""
    rows = []
    for subject in people:
        clips = [sample(subject.vertices, subject.references, subject.prompt, 0) for sample in samplers.values()]
        blocks = [subject.references[0], *(np.concatenate([clip[at] for at in _SHOWN], 1) for clip in clips)]
        rows.append(_beside(blocks, 1))
    return _beside(rows, 0)


def _beside(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)


def write_sheet(picture: np.ndarray, path: Path, scale: int = 3) -> None:
    """A PNG, every pixel a block of scale x scale."""
    from PIL import Image

    height, width, _ = picture.shape
    with write_aside(path) as aside:
        large = Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        large.save(aside, format="PNG")


def score(
    folders: dict[str, Path], out: Path, people: int = 50, seeds: Sequence[int] = SEEDS,
    parameters: Sequence[str] = COARSE + FINE, values: Sequence[float] = (-0.8, 0.0, 0.8), report=print,
    steps: int = STEPS, workers: int = 1,
) -> dict:  # fmt: skip
    """Measures, and writes <out>/scores.json, scores.md and scores.png; returns the report. Errors as `compare`."""
    if workers < 1:
        raise ValueError(f"Expected at least 1 worker, got {workers}. Give the number of cores.")
    subjects, started = held_out_people(people), time.perf_counter()
    true, models = TrueRenderer(subjects), samplers_of(folders, steps, workers)
    beside = {CODEC: through_codec(true, TinyCodec(load_vae())), TRUE: true}
    told = _Sparse(report)
    found = compare({**models, **beside}, subjects, parameters, values, seeds, progress=told)
    found |= {"seconds": time.perf_counter() - started, "steps": steps}
    write_report(found, out, "scores")
    write_sheet(sheet({**models, TRUE: true}, subjects[:SHEET_PEOPLE]), out / "scores.png")
    return found


class _Sparse:
    """Passes a line on every half minute."""

    def __init__(self, report):
        self._report, self._last = report, 0.0

    def __call__(self, line: str) -> None:
        if time.monotonic() - self._last > 30:
            self._last = time.monotonic()
            self._report(line)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.score_model")
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER", help="default: the model that comes along")
    parser.add_argument("--out", type=Path, required=True, help="where scores.json, .md and .png go")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many")
    parser.add_argument("--steps", type=int, default=STEPS, help="from noise to video")
    parser.add_argument("--workers", type=int, default=1, help="threads; best with OMP_NUM_THREADS=1")
    parser.add_argument("--parameters", nargs="+", default=COARSE + FINE)
    parser.add_argument("--values", nargs="+", type=float, default=(-0.8, 0.0, 0.8))
    arguments = parser.parse_intermixed_args(argv)
    pairs = [each.partition("=") for each in arguments.models or [f"{MODEL}={SHIPPED}"]]
    try:
        if not all(equals for _, equals, _ in pairs):
            raise ValueError(f"Expected NAME=FOLDER, got {' '.join(arguments.models)}.")
        folders = {name: Path(folder) for name, _, folder in pairs}
        score(
            folders, arguments.out, arguments.people, range(arguments.seeds), arguments.parameters, arguments.values,
            lambda line: print(line, flush=True), arguments.steps, arguments.workers,
        )  # fmt: skip
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print((arguments.out / "scores.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
