"""Compares two models on the same people, prompts and noise: videos side by side, measures, and a paired test.

Stopped, it goes on with the same command. `accelerate launch -m fantasyid_core compare ...` shares the work over
processes.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path

from ..options import AUTO, DETECTORS, DTYPES
from .generate import add_sampling_arguments

PATIENCE = timedelta(days=7)
"""How long a process that is ready waits for the others, whose videos may take hours longer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", required=True, nargs=2, metavar=("A", "B"), help="folders of FantasyID or ConsisID")
    parser.add_argument(
        "--photos", required=True, metavar="DIR",
        help="anna.png, or anna__left.png and anna__right.png for several photos; anna.ply beside them is the 3D face",
    )  # fmt: skip
    parser.add_argument("--prompts", required=True, metavar="FILE", help="one prompt per line")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="videos per person and prompt (default: 1)")
    parser.add_argument("--out", default="output/comparison", metavar="DIR", help="default: %(default)s")
    add_sampling_arguments(parser)
    group = parser.add_argument_group("faces and measures")
    group.add_argument("--detector", choices=DETECTORS, default=AUTO, help="none: the centre square")
    group.add_argument("--models-folder", metavar="DIR", action="append", default=[], help="like ComfyUI's models")
    group.add_argument("--approximate", action="store_true", help="ConsisID: go on without its further networks")
    group.add_argument("--arcface", metavar="FILE", help="glintr100.onnx or w600k_r50.onnx, if not in a models folder")
    group.add_argument("--inception", metavar="FILE", help="torchvision's weights of inception_v3, for FID")
    group.add_argument("--crops", metavar="N", type=int, default=8, help="faces of every video that count in FID")


def run(arguments: argparse.Namespace) -> int:
    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    from ..evaluation.comparison import VIDEOS, begin, make_videos
    from ..evaluation.comparisonreport import summarise, table, write_comparison
    from ..evaluation.evaluate import evaluate
    from ..host.diffusers.others import hush_libraries

    hush_libraries()
    plan, out = plan_of(arguments), Path(arguments.out)
    # Without this, several processes on a machine without a GPU would not know of each other.
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu, timeout=PATIENCE)
    begin(plan, out)
    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    device = arguments.device or str(state.device)
    make_videos(plan, out, state.process_index, state.num_processes, device, say)
    state.wait_for_everyone()
    tools = (arguments.detector, arguments.arcface, arguments.inception, arguments.models_folder, arguments.crops)
    folders = [out / VIDEOS / name for name in plan.names]
    evaluated = [evaluate([folder], arguments.photos, *tools, progress=say) for folder in folders]
    if not state.is_main_process:
        return 0
    report = summarise(plan, evaluated)
    write_comparison(plan, out, report, evaluated)
    print("\n".join(table(report)))
    print(f"{out / 'report.html'}, report.json and sheet.png")
    return 0


def plan_of(arguments: argparse.Namespace):
    """The plan that the options describe; ValueError or FileNotFoundError for what cannot be compared."""
    import torch

    from ..evaluation.comparison import Plan, find_people, read_prompts
    from ..face.photo import FaceRequest

    if arguments.seeds < 1:
        raise ValueError(f"Expected at least one seed, got {arguments.seeds}.")
    names = ("negative", "steps", "cfg", "strength", "solver", "offload", "tiling")
    sampling = {name: getattr(arguments, name) for name in names}
    sampling["dtype"] = getattr(torch, DTYPES[arguments.dtype]) if arguments.dtype else None
    return Plan(
        tuple(map(Path, arguments.models)),
        find_people(arguments.photos),
        read_prompts(arguments.prompts),
        tuple(range(arguments.seed, arguments.seed + arguments.seeds)),
        sampling,
        FaceRequest(arguments.detector, folders=tuple(arguments.models_folder)),
        arguments.approximate,
    )
