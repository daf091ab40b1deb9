"""Turns a release folder into ComfyUI's transformer file and a small file with the adapter's weights that are used.

The source is only read; memory stays below 2 GB however large it is.
"""

from __future__ import annotations

import argparse

from ..options import STORED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="release folder or file")
    parser.add_argument("target", metavar="DST", help="folder for the two files")
    parser.add_argument(
        "--dtype",
        choices=STORED,
        help="precision of the results; with fp8 only matrices, the rest in bf16 (default: the source's own)",
    )
    parser.add_argument("--topology", metavar="FILE", help="transform.pkl, if it is not beside the source")


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..tools.convert import convert
    from ..tools.inspection import size_text

    with tqdm(desc="converting", unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        result = convert(arguments.source, arguments.target, arguments.dtype, arguments.topology, advance)
    print(f"before       {size_text(result.source_bytes)}  {arguments.source}")
    print(f"transformer  {size_text(result.transformer_bytes)}  {result.transformer}")
    print(f"adapter      {size_text(result.adapter_bytes)}  {result.adapter}")
    print(f"the adapter's parameters: {result.live:,} live, {result.dead:,} dead (left out)")
    if result.has_topology is False:
        print("The adapter file holds no mesh topology: transform.pkl will be needed beside it.")
    return 0
