"""Measures videos against reference pictures: likeness, motion, FID, and what pixels alone tell."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..options import AUTO, FORMER_DETECTORS, NAMED_DETECTORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", metavar="VIDEOS", nargs="+", help="folders with videos, or videos")
    parser.add_argument("references", metavar="REFS", help="folder with pictures named as the videos, or one picture")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        default="output/evaluation",
        help="folder for report, plots and contact sheet (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of Markdown")
    parser.add_argument(
        "--detector", choices=(AUTO, *NAMED_DETECTORS, *FORMER_DETECTORS), metavar="NAME", default=AUTO,
        help=f"which face detector: {', '.join((AUTO, *NAMED_DETECTORS))}",
    )  # fmt: skip
    parser.add_argument(
        "--models", metavar="FOLDER", action="append", default=[], help="a folder like ComfyUI's models"
    )
    parser.add_argument("--arcface", metavar="FILE", help="glintr100.onnx or w600k_r50.onnx, if not in a models folder")
    parser.add_argument("--inception", metavar="FILE", help="torchvision's weights of inception_v3, for FID")
    parser.add_argument(
        "--crops",
        metavar="N",
        type=int,
        default=8,
        help="number of faces of every video that count in FID (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1: no video could be measured (the report says why)."""
    from ..evaluation.evaluate import evaluate
    from ..evaluation.reportfiles import markdown, write_report

    found = evaluate(
        arguments.videos,
        arguments.references,
        arguments.detector,
        arguments.arcface,
        arguments.inception,
        arguments.models,
        arguments.crops,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if found is None:  # another process than the first of a launch
        return 0
    report, measured = found
    notes = write_report(report, measured, Path(arguments.out))
    print(json.dumps(report, indent=1, ensure_ascii=False) if arguments.json else markdown(report))
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0 if report["videos"] else 1
