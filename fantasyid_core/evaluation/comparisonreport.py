"""The result of a comparison as files: report.json, sheet.png, and report.html with the videos side by side."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np

from ..files.writing import write_aside
from .comparison import VIDEOS, Plan, Take, video_path
from .frechet import fid
from .measure import Measured
from .pairedtest import paired_difference, spread_of_people
from .pairing import APART
from .reportfiles import SHEET_ROWS, contact_sheet

MEASURES = ("RS", "IFS", "FM")
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#333}"
    "table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.pair{display:flex;gap:12px}figure{margin:0;flex:1}"
    "video{width:100%;background:#eee}figcaption{color:#666}"
)


def summarise(plan: Plan, evaluated: Sequence[tuple[dict, list[Measured]]]) -> dict:
    """Means with spread of each model, FID, and the differences with a paired test, as plain data."""
    models = [_model(name, *each) for name, each in zip(plan.names, evaluated, strict=True)]
    values = [[_by_pair(measured, name) for name in MEASURES] for _, measured in evaluated]
    differences = {name: paired_difference(*(each[place] for each in values)) for place, name in enumerate(MEASURES)}
    takes = [take for take in plan.takes() if take.model == 0]
    return {
        "models": models, "difference": {"of": f"{plan.names[0]} - {plan.names[1]}", **differences},
        "people": [person.name for person in plan.people], "prompts": list(plan.prompts), "seeds": list(plan.seeds),
        "videos": [_row(plan, take, evaluated) for take in takes],
    }  # fmt: skip


def write_comparison(plan: Plan, out: Path, report: dict, evaluated: Sequence[tuple[dict, list[Measured]]]) -> None:
    """Writes the three files into `out`; the videos lie there already. Raises OSError when it cannot."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    for name, content in (("report.json", text + "\n"), ("report.html", page(plan, out, report))):
        with write_aside(out / name) as aside:
            aside.write_text(content, encoding="utf-8")
    rows = _interleaved(plan, evaluated)
    if rows:
        with write_aside(out / "sheet.png") as aside:
            contact_sheet(rows[: 2 * SHEET_ROWS]).save(aside, "PNG")


def table(report: dict) -> list[str]:
    """The measures of both models and their difference as lines of Markdown."""
    first, second = report["models"]
    lines = [f"| | {first['name']} | {second['name']} | difference [95 %] | p |", "| --- | ---: | ---: | ---: | ---: |"]
    for name in MEASURES:
        cells = [_spread(model["mean"][name]) for model in (first, second)]
        lines.append(f"| {name} | {' | '.join(cells)} | {' | '.join(_difference(report['difference'][name]))} |")
    cells = [_distance(model["FID"]) for model in (first, second)]
    return [*lines, f"| FID | {' | '.join(cells)} | | |"]


def page(plan: Plan, out: Path, report: dict) -> str:
    """report.html: the table, then every pair of videos."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(report)]
    head, *body = rows[:1] + rows[2:]
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    unit = report["difference"]["RS"]["unit"]
    pairs = "\n".join(_pair(plan, out, take) for take in plan.takes() if take.model == 0)
    missing = "".join(
        f"<p>{escape(model['name'])}: {escape(name)} was not computed: {escape(why)}</p>"
        for model in report["models"]
        for name, why in model["unavailable"].items()
    )
    return (
        f"<!doctype html>\n<meta charset='utf-8'>\n<title>{escape(' and '.join(plan.names))}</title>\n"
        f"<style>{_STYLE}</style>\n<h1>{escape(' and '.join(plan.names))}</h1>\n"
        f"<p>{len(plan.people)} people, {len(plan.prompts)} prompts, {len(plan.seeds)} seeds; the same people, prompts "
        f"and noise for both. Differences: {escape(report['difference']['of'])}, a {unit} is a pair.</p>\n"
        f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>\n{missing}\n{pairs}\n"
    )


def _pair(plan: Plan, out: Path, take: Take) -> str:
    figures = "".join(_figure(plan, out, take._replace(model=model)) for model in range(len(plan.models)))
    title = f"{take.person.name}, seed {take.seed}: {plan.prompts[take.prompt]}"
    return f"<h3>{escape(title)}</h3><div class='pair'>{figures}</div>"


def _figure(plan: Plan, out: Path, take: Take) -> str:
    source = escape(video_path(plan, out, take).relative_to(out).as_posix().replace(" ", "%20"), quote=True)
    name = escape(plan.names[take.model])
    return f"<figure><video src='{source}' controls loop muted></video><figcaption>{name}</figcaption></figure>"


def _model(name: str, report: dict, measured: list[Measured]) -> dict:
    people: dict[str, list[np.ndarray]] = {}
    for each in measured:
        if each.features is not None:
            people.setdefault(each.name.split(APART)[0], []).append(each.features)
    theirs = {path: row for each in measured for path, row in each.reference_features.items()}
    interval = None
    if report["FID"]["value"] is not None:
        references = np.concatenate([theirs[path] for path in sorted(theirs)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are few features is said of the value itself
            interval = spread_of_people(
                [np.concatenate(each) for each in people.values()], lambda drawn: fid(np.concatenate(drawn), references)
            )
    distance = {**report["FID"], "interval": interval}
    mean = {measure: report["mean"][measure] for measure in MEASURES}
    return {
        "name": name, "mean": mean, "FID": distance, "unavailable": report["unavailable"], "skipped": report["skipped"]
    }  # fmt: skip


def _stem(each: Measured) -> str:
    return Path(each.name).stem


def _by_pair(measured: list[Measured], name: str) -> dict[tuple[str, str], float | None]:
    kept = [each for each in measured if each.skipped is None]
    return {tuple(_stem(each).split(APART, 1)): each.values.get(name) for each in kept}


def _row(plan: Plan, take: Take, evaluated) -> dict:
    row = {"person": take.person.name, "prompt": take.prompt, "seed": take.seed}
    for name, (_, measured) in zip(plan.names, evaluated, strict=True):
        found = next((each for each in measured if _stem(each) == take.name), None)
        values = {} if found is None else {measure: found.values.get(measure) for measure in MEASURES}
        row[name] = {"video": f"{VIDEOS}/{name}/{take.name}.mp4", **values, "skipped": found and found.skipped}
    return row


def _interleaved(plan: Plan, evaluated) -> list[Measured]:
    """The measures with the model's name; videos that belong together follow each other."""
    by_name = [{_stem(each): each for each in measured} for _, measured in evaluated]
    rows = []
    for take in plan.takes():
        each = by_name[take.model].get(take.name)
        if each is not None and each.skipped is None:
            rows.append(replace(each, name=f"{plan.names[take.model]}: {take.name}"))
    return rows


def _spread(summary: dict) -> str:
    return "–" if summary["mean"] is None else f"{summary['mean']:.3f} ± {summary['spread']:.3f}"


def _difference(found: dict) -> tuple[str, str]:
    if found["mean"] is None:
        return "–", "–"
    inside = "" if found["interval"] is None else f" [{found['interval'][0]:+.3f}, {found['interval'][1]:+.3f}]"
    return f"{found['mean']:+.3f}{inside}", "–" if found["p"] is None else f"{found['p']:.3g}"


def _distance(found: dict) -> str:
    if found["value"] is None:
        return "–"
    inside = "" if found["interval"] is None else f" [{found['interval'][0]:.1f}, {found['interval'][1]:.1f}]"
    return f"{found['value']:.1f}{inside}"
