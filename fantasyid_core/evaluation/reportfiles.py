"""The report of an evaluation as files: report.json, report.md, sheet.png and plots."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np

from ..files.writing import write_aside
from ..running.packages import pip_command
from .measure import Measured

GAP, LABEL = 6, 16
PAPER, INK = (252, 252, 250), (56, 58, 64)
SHEET_ROWS = 60  # videos in the sheet; the report has all
PLOTS = 60


def write_report(report: dict, measured: list[Measured], folder: Path) -> list[str]:
    """Writes everything into `folder`; returns sentences about what was left out. Raises OSError when it cannot."""
    kept, notes = [each for each in measured if each.skipped is None], []
    data = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    for name, text in (("report.json", data), ("report.md", markdown(report))):
        with write_aside(folder / name) as aside:
            aside.write_text(text + "\n", encoding="utf-8", errors="replace")
    if kept:
        with write_aside(folder / "sheet.png") as aside:
            contact_sheet(kept[:SHEET_ROWS]).save(aside, "PNG")
    for number, each in enumerate(kept[:PLOTS]):
        if each.score is not None:
            name = re.sub(r"[^A-Za-z0-9]+", "_", each.name.rpartition(".")[0]).strip("_")[:60]
            _save_plot(each, folder / "plots" / f"{number:03d}_{name}.png")
    if len(kept) > min(SHEET_ROWS, PLOTS):
        notes.append(f"sheet.png and plots show the first {SHEET_ROWS} of {len(kept)} videos.")
    if kept and not _overview(report, folder / "plots" / "overview.png"):
        notes.append(f"plots/overview.png was not drawn: it needs matplotlib ({pip_command(['matplotlib'])}).")
    return notes


def markdown(report: dict) -> str:
    """report.md: a row per video, then mean +- spread over the videos."""
    names = [name for name in report["meaning"] if name != "FID"]
    lines = ["# Evaluation", "", "| " + " | ".join(["video", "frames", *names]) + " |"]
    lines.append("|" + " --- |" + " ---: |" * (len(names) + 1))
    for row in report["videos"]:
        cells = [_plain(row["video"]), str(row["frames"]), *(_number(row[name]) for name in names)]
        lines.append("| " + " | ".join(cells) + " |")
    means = [report["mean"][name] for name in names]
    cells = [_number(each["mean"]) + (f" ± {_number(each['spread'])}" if each["count"] else "") for each in means]
    lines.append("| " + " | ".join([f"**mean ± spread of {len(report['videos'])}**", "", *cells]) + " |")
    lines += ["", _fid_line(report["FID"])]
    sections = {
        "Not computed": [f"{name}: {reason}" for name, reason in report["unavailable"].items()],
        "Null for single videos": [
            f"{row['video']}: {name}: {why}"
            for row in report["videos"]
            for name, why in row["why_null"].items()
            if name not in report["unavailable"]
        ],
        "Skipped": [f"{each['name']}: {each['reason']}" for each in report["skipped"]],
        "Videos without a reference picture": report["videos_without_reference"],
        "Reference pictures without a video": report["references_without_video"],
        "Meaning": [f"{name}: {text}" for name, text in report["meaning"].items()],
    }
    for title, entries in sections.items():
        lines += ["", f"## {title}", "", *(f"- {_plain(entry)}" for entry in entries)] if entries else []
    return "\n".join(lines)


def contact_sheet(measured: list[Measured]):
    """A PIL picture: per video the reference and some frames."""
    from PIL import Image, ImageDraw, ImageFont

    rows = [[picture for picture in each.strip if picture is not None] for each in measured]
    wide = max(sum(picture.shape[1] + GAP for picture in row) for row in rows) + GAP
    tall = max(picture.shape[0] for row in rows for picture in row) + LABEL + GAP
    sheet = Image.new("RGB", (max(240, wide), tall * len(rows) + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (each, row) in enumerate(zip(measured, rows, strict=True)):
        x, y = GAP, GAP + place * tall
        label = f"{each.name}   " + "  ".join(f"{name} {_number(each.values[name])}" for name in ("RS", "IFS", "FM"))
        pen.text((x, y), _drawable(label), INK, font)
        for picture in row:
            sheet.paste(Image.fromarray(picture), (x, y + LABEL))
            x += picture.shape[1] + GAP
    return sheet


def _save_plot(each: Measured, path: Path) -> None:
    from PIL import Image

    with write_aside(path) as aside:
        Image.fromarray(each.score.plot(_drawable(each.name))).save(aside, "PNG")


def _overview(report: dict, path: Path) -> bool:
    """Draws the distribution of the measures over the videos; False without matplotlib."""
    try:
        matplotlib = import_module("matplotlib")
        matplotlib.use("Agg")
        pyplot = import_module("matplotlib.pyplot")
    except ImportError:
        return False
    names = [name for name, each in report["mean"].items() if each["count"]]
    figure, axes = pyplot.subplots(1, len(names), figsize=(1.6 * len(names), 3), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        values = [row[name] for row in report["videos"] if row[name] is not None]
        axis.plot(np.linspace(-0.2, 0.2, len(values)), values, "o", alpha=0.5, markersize=4)
        axis.axhline(report["mean"][name]["mean"], color="black", linewidth=1)
        axis.set(title=name, xticks=[], xlim=(-0.5, 0.5))
        axis.title.set_fontsize(8)
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110)
    pyplot.close(figure)
    return True


def _fid_line(distance: dict) -> str:
    if distance["value"] is None:
        return "FID of face crops: not computed, see below."
    note = f" {distance['note']}" if distance["note"] else ""
    return (
        f"FID of face crops: {distance['value']:.2f} ({distance['crops']} of videos, {distance['reference_crops']} of "
        f"references; {distance['network']}).{note}"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}" if abs(value) >= 100 else f"{value:.3f}"


def _drawable(text: str) -> str:
    """The text, with replacements for characters that the built-in font cannot draw."""
    return text.replace("–", "-").encode("latin-1", "replace").decode("latin-1")


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
