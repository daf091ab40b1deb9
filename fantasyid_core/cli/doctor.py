"""Says what this machine has: model files, where they are, what is missing and what that disables.

Exit code 0 when all required model files are there and nothing is seen to be wrong with them, else 1.
"""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        action="append",
        default=[],
        metavar="DIR",
        help="ComfyUI's models folder, or a release folder; may be given several times (default: the folders of this "
        "machine: FANTASYID_MODELS, ComfyUI's)",
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON, for other programs")


def run(arguments: argparse.Namespace) -> int:
    from ..tools.diagnosis import diagnose

    diagnosis = diagnose(arguments.models)
    print(json.dumps(diagnosis.as_json(), indent=2) if arguments.json else "\n".join(diagnosis.lines()))
    return 0 if diagnosis.usable else 1
