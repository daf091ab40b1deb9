"""Trains an adapter, or a whole small model, as a config file says. An interrupted run continues where it stopped.

On several devices: accelerate launch -m fantasyid_core train CONFIG (FSDP and DeepSpeed: accelerate config).
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", help="a YAML file, or the name of one that comes along: tiny, paper_5b"
    )
    _add_options(parser)
    # Options may stand between the changes, which argparse allows only in a second pass.
    parser.add_argument(
        "changes", nargs=argparse.REMAINDER, metavar="key=value", help="changes to the config: optimizer.lr=1e-4"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resume",
        default="auto",
        metavar="auto|PATH|none",
        help="the newest good checkpoint of the output folder if there is one (default), a checkpoint, or a new run",
    )
    parser.add_argument("--check", action="store_true", help="check config, data and memory, and train nothing")


def run(arguments: argparse.Namespace) -> int:
    rest = argparse.ArgumentParser(prog=f"python -m fantasyid_core train {arguments.config}")
    _add_options(rest)
    rest.add_argument("changes", nargs="*", metavar="key=value")
    given = argparse.Namespace(resume=arguments.resume, check=arguments.check)
    rest.parse_intermixed_args(arguments.changes, given)
    _train(arguments.config, given)
    return 0


def _train(name: str, given: argparse.Namespace) -> None:
    from ..host.diffusers.others import hush_libraries
    from ..training.config import load_config

    config = load_config(name, given.changes)
    from ..training.loop import check, train

    hush_libraries()
    if given.check:
        check(config, given.resume)
    else:
        print(train(config, given.resume))
