"""Measures what an identity costs, against the release's own formula in the same run.

Random weights of the real sizes; no model is needed. On a GPU the whole transformer is measured as well. Compare
ratios: seconds depend on the machine and on what else runs on it.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from ..running.packages import MissingPackage, lacks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--full", action="store_true", help="all tokens and layers, a block, and every mechanism (many minutes)"
    )
    parser.add_argument("--runs", type=int, metavar="N", help="pairs per figure (default: 5, with --full 3)")
    parser.add_argument("--consisid", action="store_true", help="ConsisID, against diffusers' own modules")
    parser.add_argument(
        "--mechanisms", action="store_true", help="caches, 8 bits and compiled blocks against the exact video"
    )
    parser.add_argument(
        "--gpu", action="store_true", help="within ten minutes: the identity's share, small cards, seconds per video"
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1; without it the GPU where there is one")
    parser.add_argument("--photo", action="store_true", help="from a photo to its landmarks and its 3D face")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of tables")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the scaling too (needs matplotlib)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.consisid:
        return _run_consisid(arguments)
    if arguments.mechanisms:
        return _run_mechanisms(arguments)
    if arguments.gpu:
        return _run_gpu(arguments)
    if arguments.photo:
        return _run_photo(arguments)
    from ..tools.bench import run_bench

    plot = None if arguments.plot is None else _pyplot()
    report = run_bench(arguments.full, arguments.runs, device=_device(arguments), progress=_tell)
    _print(report, arguments, tables)
    if plot is not None:
        from ..tools.bench_plot import save_plot

        save_plot(plot, report, Path(arguments.plot))
    return 0


def _device(arguments: argparse.Namespace):
    from ..machine.device import named_device

    return named_device(arguments.device)


def _tell(name: str) -> None:
    print(f"{name} ...", file=sys.stderr, flush=True)


def _print(report: dict, arguments: argparse.Namespace, as_tables) -> None:
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(as_tables(report)))


def _run_consisid(arguments: argparse.Namespace) -> int:
    from ..tools.bench_consisid import run_consisid_bench
    from ..tools.bench_consisid import tables as consisid_tables

    if arguments.plot is not None:
        raise ValueError("The plot shows how FantasyID's identity scales; leave out --plot, or --consisid.")
    runs = 5 if arguments.runs is None else arguments.runs
    report = run_consisid_bench(arguments.full, runs, device=_device(arguments), progress=_tell)
    _print(report, arguments, consisid_tables)
    return 0


def _run_mechanisms(arguments: argparse.Namespace) -> int:
    from ..tools.bench_mechanisms import run_mechanism_bench
    from ..tools.bench_mechanisms import tables as mechanism_tables

    if arguments.plot is not None or arguments.full:
        raise ValueError("--mechanisms has one table and one size per machine; leave out --plot and --full.")
    runs = 2 if arguments.runs is None else arguments.runs
    report = run_mechanism_bench(runs, _device(arguments), progress=_tell)
    _print(report, arguments, mechanism_tables)
    return 0


def _run_gpu(arguments: argparse.Namespace) -> int:
    from ..tools.bench_gpu import run_gpu_bench
    from ..tools.bench_gpu import tables as gpu_tables

    if arguments.plot is not None or arguments.full or arguments.runs is not None:
        raise ValueError("--gpu chooses what it measures in ten minutes; leave out --plot, --full and --runs.")
    report = run_gpu_bench(_device(arguments), arguments.device is not None, progress=_tell)
    _print(report, arguments, gpu_tables)
    return 0


def _run_photo(arguments: argparse.Namespace) -> int:
    from ..tools.bench_photo import run_photo_bench
    from ..tools.bench_photo import tables as photo_tables

    if arguments.plot is not None or arguments.full or arguments.device is not None:
        raise ValueError("--photo has one table, one size and the processor; leave out --plot, --full and --device.")
    runs = 10 if arguments.runs is None else arguments.runs
    _print(run_photo_bench(runs, progress=_tell), arguments, photo_tables)
    return 0


def tables(report: dict) -> list[str]:
    """The report of `run_bench` as lines of Markdown."""
    from ..tools.processor import machine_line

    machine, settings, memory, video = (report[name] for name in ("machine", "settings", "memory", "video"))
    lines = [
        f"{machine_line(machine)}; {settings['dtype']}, {settings['tokens']} of {settings['of']} video tokens x "
        f"{settings['width']}, {settings['identity tokens']} identity tokens, {settings['runs']} runs in turn.",
        *_table("Once per person or run", ("", "ms min", "ms median"), _seconds(report["identity"])),
        *_table(
            "Injection of one layer",
            ("", "ms min", "ms median", "times as fast as the release", "as with K and V kept"),
            [
                (*row, f"{each['ratio']:.2f}", f"{each['ratio to kept']:.2f}")
                for row, each in zip(_seconds(report["injection"]), report["injection"].values(), strict=True)
            ],
        ),
        *_table(
            f"Memory of {settings['layers']} layers",
            ("", "MiB", "of the adapter"),
            [
                (name, f"{value / 2**20:.0f}", f"{value / memory['adapter']:.0%}")
                for name, value in memory.items()
                if name == "adapter" or name.startswith("people")
            ],
        ),
        "",
        f"Activations beside the result, both halves of guidance, all {settings['of']} tokens: "
        f"{memory['activations'] / 2**20:.0f} MiB (less with a memory budget).",
        *_table(
            "By video tokens",
            ("tokens", "ms median", "times as fast as K and V kept"),
            [(row["tokens"], f"{1e3 * row['median']:.0f}", f"{row['ratio']:.2f}") for row in report["by tokens"]],
        ),
        *_table(
            "By people",
            ("people", "form", "cost of one on the whole picture"),
            [(row["people"], row["form"], f"{row['cost']:.2f}") for row in report["by people"]],
        ),
        *_table(
            "By layers",
            ("layers", "ms median", "ms per layer"),
            [
                (row["layers"], f"{1e3 * row['median']:.0f}", f"{1e3 * row['median'] / row['layers']:.0f}")
                for row in report["by layers"]
            ],
        ),
        *_table(
            "Identity work per video of 50 steps",
            ("", "release", "here"),
            [(name, *(f"{each[who]:.4g}" for who in ("release", "here"))) for name, each in list(video.items())[:3]],
        ),
    ]
    return lines + _transformer_lines(report.get("transformer")) + _full_lines(report)


def _full_lines(report: dict) -> list[str]:
    from ..tools.bench_block import tables as block_tables
    from ..tools.bench_mechanisms import tables as mechanism_tables

    lines = block_tables(report["block"]) if "block" in report else []
    if "sampling" in report:
        lines += ["", "### Sampling under every mechanism", "", *mechanism_tables(report["sampling"])]
    return lines


def _transformer_lines(times: dict | None) -> list[str]:
    if times is None:
        return []
    if "skipped" in times:
        return ["", f"The whole transformer was not measured: {times['skipped']['reason']}."]
    rows = [
        (*row, f"{1 / each['ratio'] - 1:+.1%}", f"{each['peak'] / 2**30:.1f}")
        for row, each in zip(_seconds(times), times.values(), strict=True)
    ]
    return _table("One step of the transformer", ("", "ms min", "ms median", "to plain", "GiB at peak"), rows)


def _seconds(times: dict) -> list[tuple[str, str, str]]:
    return [(name, f"{1e3 * each['min']:.1f}", f"{1e3 * each['median']:.1f}") for name, each in times.items()]


def _table(title: str, head: tuple, rows: list[tuple]) -> list[str]:
    cells = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return ["", f"### {title}", "", *("| " + " | ".join(map(str, row)) + " |" for row in cells)]


def _pyplot():
    """matplotlib's pyplot without a window; RuntimeError when it is not installed."""
    try:
        # Optional, so not an import statement.
        matplotlib = import_module("matplotlib")
        matplotlib.use("Agg")
        return import_module("matplotlib.pyplot")
    except ImportError as error:
        raise MissingPackage(f"{lacks('The plot', ['matplotlib'])} (or leave out --plot).") from error
