"""Says what a model folder or file holds, what is missing, and how much memory it needs.

Exit code 0 when everything that is required is there, else 1. No weight is read.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="DIR", help="release folder, or one file of a model")


def run(arguments: argparse.Namespace) -> int:
    from ..tools.inspection import inspect_model

    report = inspect_model(arguments.model)
    print("\n".join(report.lines()))
    return 0 if report.usable else 1
