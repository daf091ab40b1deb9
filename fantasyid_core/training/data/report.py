"""The report on what was made of each video: report.json and report.md."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from ...files.writing import write_aside
from .captions import Captions
from .finding import Video
from .settings import OF_THE_RUN, PrepareSettings
from .tools import Tools

FILES = ("report.json", "report.md")
LISTED = 200  # videos in report.md; report.json has all


def make_report(
    videos: list[Video], states: list[dict], captions: Captions, settings: PrepareSettings, tools: Tools
) -> dict:
    """The report; the same for the same videos and settings, whatever the number of workers."""
    clips = [clip for state in states for clip in state["clips"]]
    rejected = [fault for state in states for fault in state["rejected"]]
    kinds = Counter(fault["kind"] for fault in rejected)
    chosen = {name: value for name, value in asdict(settings).items() if name not in OF_THE_RUN}
    return {
        "videos": len(videos),
        "clips": len(clips),
        "minutes": round(sum(clip["frames"] for clip in clips) / settings.fps / 60, 3),
        "with_captions": sum(bool(captions.texts.get(clip["source"])) for clip in clips),
        "with_shapes": sum(clip["vertices"] is not None for clip in clips),
        "rejected": dict(sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))),
        "skipped": [
            {"video": video.relative, "reason": reason}
            for video, state in zip(videos, states, strict=True)
            if (reason := why_skipped(state))
        ],
        "captions": captions.problems,
        "problems": [
            f"{video.relative}: {problem}"
            for video, state in zip(videos, states, strict=True)
            for problem in state["problems"]
        ],
        "notes": list(tools.notes),
        "tools": tools.names | {"confidence": tools.confidence},
        "settings": chosen,
    }


def why_skipped(state: dict) -> str | None:
    """Why a video gave no clips, or None when it gave some."""
    if state["skipped"] or state["clips"]:
        return state["skipped"]
    kinds = Counter(fault["kind"] for fault in state["rejected"])
    told = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common())
    first = state["rejected"][0]["detail"] if state["rejected"] else "no frames"
    return f"no good clip: {told} ({first})"


def write_report(report: dict, folder: Path) -> None:
    """report.json and report.md in `folder`. Raises OSError when they cannot be written."""
    texts = json.dumps(report, indent=1, ensure_ascii=False), _as_markdown(report)
    for name, text in zip(FILES, texts, strict=True):
        with write_aside(folder / name) as aside:
            aside.write_text(text + "\n", encoding="utf-8", errors="replace")


def _as_markdown(report: dict) -> str:
    lines = [
        "# Prepared clips",
        "",
        f"{report['clips']} clips ({report['minutes']:.1f} minutes) out of {report['videos']} videos; "
        f"{report['with_captions']} have a caption, {report['with_shapes']} a 3D face.",
        f"Faces were found by {report['tools'].get('detector', 'own')}, scores of at least "
        f"{report['tools']['confidence']:g}.",
    ]
    lines += _section("Stretches that were not taken", [f"{kind}: {n}" for kind, n in report["rejected"].items()])
    lines += _section("Videos without clips", [f"{each['video']}: {each['reason']}" for each in report["skipped"]])
    for title, name in (("Captions", "captions"), ("3D faces", "problems"), ("Notes", "notes")):
        lines += _section(title, report[name])
    return "\n".join(lines)


def _section(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return []
    more = [f"- and {len(entries) - LISTED} more, see report.json"] if len(entries) > LISTED else []
    return ["", f"## {title}", "", *(f"- {entry}" for entry in entries[:LISTED]), *more]
