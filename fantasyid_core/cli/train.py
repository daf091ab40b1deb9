"""Trains an adapter, or a whole small model, as a config file says; goes on where it was interrupted.

On several devices: accelerate launch -m fantasyid_core train CONFIG (FSDP and DeepSpeed: accelerate config).
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or one that comes along: tiny, paper_5b")
    parser.add_argument(
        "--resume",
        default="auto",
        metavar="auto|PATH|none",
        help="the newest good checkpoint of the output folder if there is one (default), a checkpoint, or a new run",
    )
    parser.add_argument("--check", action="store_true", help="only check config, data and memory; nothing is trained")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="changes to the config: optimizer.lr=1e-4")


def run(arguments: argparse.Namespace) -> int:
    from ..host.diffusers_models import hush_libraries
    from ..training.config import load_config

    config = load_config(arguments.config, arguments.changes)
    from ..training.loop import check, train

    hush_libraries()
    if arguments.check:
        check(config, arguments.resume)
        return 0
    print(train(config, arguments.resume))
    return 0
