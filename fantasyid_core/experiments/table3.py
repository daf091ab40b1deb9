"""The paper's Table 3 beside ours. People and networks differ, so only orderings can be compared, not numbers.

write_table3(report, folder)     # of `score` with a model of every name in PAPER
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from ..files.writing import write_aside
from ..people.instruments.paper_measures import NAMES as MEASURES

PAPER = {
    "whole": (0.57, 0.95, 0.61, 142.50),
    "without face abstractor": (0.55, 0.93, 0.49, 145.82),
    "without multi-view": (0.54, 0.98, 0.33, 130.77),
    "without vertices": (0.42, 0.90, 0.36, 172.51),
    "one shared injection": (0.33, 0.93, 0.22, 235.46),
}
"""Published values of MEASURES; "whole" from Table 2 (arXiv 2502.13995)."""

HOLDS, REVERSED, OPEN = "holds", "reversed", "too close to tell"
SURE = 2.0  # spreads over the noise seeds, of both together, from which on a difference is told


class Ordering(NamedTuple):
    """In the paper `larger` is larger than `smaller`; `here` says whether it is here."""

    measure: str
    larger: str
    smaller: str
    here: str


def orderings(report: dict) -> list[Ordering]:
    """Every two rows of the paper's table that differ, for every measure, as `report` (of `score`) has them.

    Raises ValueError when a model or a measure is missing.
    """
    cells = _cells(report)
    found = []
    for place, measure in enumerate(MEASURES):
        for pair in combinations(PAPER, 2):
            smaller, larger = sorted(pair, key=lambda name: PAPER[name][place])
            if PAPER[larger][place] > PAPER[smaller][place]:
                found.append(Ordering(measure, larger, smaller, _here(cells[measure], larger, smaller)))
    return found


def table3(report: dict) -> str:
    """Markdown: ours (the paper's) per model and measure, then how many orderings hold and which do not."""
    cells = _cells(report)
    lines = ["| model | " + " | ".join(f"{name} (paper)" for name in MEASURES) + " |", "| --- |" + " ---: |" * 4]
    for model, paper in PAPER.items():
        ours = [f"{cells[name][model]['mean']:.3f} ({theirs:g})" for name, theirs in zip(MEASURES, paper, strict=True)]
        lines.append(f"| {model} | {' | '.join(ours)} |")
    true = [f"{cells[name]['true']['mean']:.3f}" for name in MEASURES]
    lines += [f"| true renders | {' | '.join(true)} |", ""]
    for measure in MEASURES:
        lines += _told(measure, [each for each in orderings(report) if each.measure == measure])
    return "\n".join(lines)


def write_table3(report: dict, folder: Path) -> None:
    """<folder>/table3.md. Raises OSError when it cannot be written, ValueError as `orderings`."""
    text = table3(report)
    with write_aside(Path(folder) / "table3.md") as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def _told(measure: str, found: list[Ordering]) -> list[str]:
    holding = sum(each.here == HOLDS for each in found)
    lines = [f"- {measure}: {holding} of {len(found)} of the paper's orderings hold here."]
    for verdict in (REVERSED, OPEN):
        pairs = [f"{each.larger} > {each.smaller}" for each in found if each.here == verdict]
        lines += [f"  - {verdict}: {'; '.join(pairs)}"] if pairs else []
    return lines


def _here(cells: dict, larger: str, smaller: str) -> str:
    above, below = cells[larger], cells[smaller]
    apart = above["mean"] - below["mean"]
    if abs(apart) <= SURE * (above["spread"] ** 2 + below["spread"] ** 2) ** 0.5:
        return OPEN
    return HOLDS if apart > 0 else REVERSED


def _cells(report: dict) -> dict[str, dict]:
    rows = {row["measure"]: row for row in report["rows"] if row["measure"] in MEASURES}
    lacking = [name for name in MEASURES if name not in rows or rows[name]["true"]["mean"] is None]
    lacking += [name for name in PAPER if name not in report["columns"]]
    if lacking:
        raise ValueError(
            f"Expected a report with {', '.join((*MEASURES, *PAPER))}, got none of {', '.join(lacking)}. Score all "
            "ablations together, on at least 8 people."
        )
    return rows
