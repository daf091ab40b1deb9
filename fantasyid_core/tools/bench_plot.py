"""Draws a report of `bench`: how the injection scales, and with `--full` the block and the mechanisms."""

from __future__ import annotations

from pathlib import Path

from ..files.writing import write_aside


def save_plot(pyplot, report: dict, path: Path) -> None:
    """Draws what is in the report into a PNG file. pyplot: matplotlib's."""
    panels = [_tokens, _people, _layers]
    panels += [_block] if "block" in report else []
    panels += [_mechanisms] if "sampling" in report else []
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4.3 * len(panels), 4), layout="constrained")
    for panel, axis in zip(panels, axes, strict=True):
        panel(axis, report)
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=120)
    pyplot.close(figure)


def _tokens(axis, report: dict) -> None:
    rows = report["by tokens"]
    axis.plot([row["tokens"] for row in rows], [row["median"] for row in rows], "o-")
    axis.set(title="One injected layer", xlabel="video tokens", ylabel="seconds", xlim=(0, None), ylim=(0, None))


def _people(axis, report: dict) -> None:
    axis.barh([row["people"] for row in report["by people"]], [row["cost"] for row in report["by people"]])
    axis.set(title="People", xlabel="times the cost of one")


def _layers(axis, report: dict) -> None:
    rows = report["by layers"]
    axis.plot([row["layers"] for row in rows], [row["median"] for row in rows], "o-")
    axis.set(title="Injected layers", xlabel="layers", ylabel="seconds", xlim=(0, None), ylim=(0, None))


def _block(axis, report: dict) -> None:
    rows = {name: row["seconds"] for name, row in report["block"]["rows"].items() if "skipped" not in row}
    axis.barh(list(rows)[::-1], list(rows.values())[::-1])
    axis.set(title="One block, all tokens", xlabel="seconds")


def _mechanisms(axis, report: dict) -> None:
    for name, row in report["sampling"]["mechanisms"].items():
        axis.plot(row["ratio"], row["difference"], "o")
        axis.annotate(name, (row["ratio"], row["difference"]), fontsize=7)
    axis.set(title="Mechanisms", xlabel="times as fast as exact", ylabel="difference to exact")
