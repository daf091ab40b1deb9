"""The demo as a page: all videos side by side, each edit beside its target, with a bar for the size of its effect."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files.writing import write_aside
from ..videofile import save_video
from .demo import EDITS, MEASURED, PLAIN, Member, Take
from .demosheet import COLUMNS, OUTLINE, enlarged, panels, there_and_back

VIDEOS = "videos"
_FPS = 8
_STYLE = f"""
body {{ margin: 24px; background: #faf9f6; color: #28282c; font: 15px/1.4 system-ui, sans-serif; }}
table {{ border-collapse: collapse; }}
th {{ text-align: left; font-weight: 600; padding: 0 8px 4px 0; }}
td {{ padding: 0 8px 4px 0; vertical-align: top; }}
video, img {{ width: 15vw; max-width: 256px; display: block; border-radius: 4px; }}
.prompt {{ padding-top: 18px; color: #66666c; }}
.bar {{ position: relative; height: 8px; background: #d6d4ce; margin-top: 4px; border-radius: 2px; }}
.bar i {{ position: absolute; left: 0; top: 0; height: 8px; background: #347abe; border-radius: 2px; }}
.bar b {{ position: absolute; top: -3px; width: 3px; height: 14px; background: #d6463c; }}
small {{ color: #66666c; }}
.line {{ color: rgb{OUTLINE}; font-weight: 600; }}
"""


def write_page(folder: Path, cast: Sequence[Member], takes: Sequence[Take], rows: Sequence[dict], notice: str) -> Path:
    """Writes demo.html and its videos into `folder`; returns the page's path. Raises OSError, and RuntimeError without
    an H.264 encoder."""
    body = []
    for place, member in enumerate(cast):
        own = [take for take in takes if take.member == place]
        scores = {take.variant: row for take, row in zip(takes, rows, strict=True) if take.member == place}
        body += _row(folder, place, member, own, scores)
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in COLUMNS)
    text = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>FantasyID-Tiny: the same person, the same motion, another face</title>
<style>{_STYLE}</style>
<h1>The same person, the same motion, another face</h1>
<p>One picture and a 3D face make each video; sliders edit the 3D face. <span class="line">The line</span> is the
outline of the plain video. Blue: how far the edit has moved the video; red: how far it should have moved.</p>
<table><tr>{titles}</tr>
{chr(10).join(body)}
</table>
<h2>And any photo</h2>
<p>The points of a real photo, a 3D face fitted to them, and the picture following three edits of it.</p>
<img src="photo.png" style="width: auto; max-width: 100%" alt="a photo, its points, its 3D face, and three edits">
<p><small>{html.escape(notice)}</small></p>
</html>
"""
    path = folder / "demo.html"
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return path


def _row(folder: Path, place: int, member: Member, takes: Sequence[Take], scores: dict[str, dict]) -> list[str]:
    clips = zip(*(panels(member, takes, number) for number in range(len(takes[0].frames))), strict=True)
    cells = [_picture(folder, f"person-{place}.png", member.picture)]
    for column, frames in list(enumerate(clips))[1:]:
        cells.append(_video(folder, f"person-{place}-{_slug(column)}.mp4", np.stack(frames)))
    bars = "".join(f'<td colspan="2">{_bar(MEASURED[name], scores[name])}</td>' for name in EDITS)
    return [
        f'<tr><td class="prompt" colspan="{len(COLUMNS)}">{html.escape(member.prompt)}</td></tr>',
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>",
        f"<tr><td></td><td></td>{bars}</tr>",
    ]


def _slug(column: int) -> str:
    """The name of a column's file: of the plain video, of an edit, of what the edit should be."""
    if column == 1:
        return PLAIN
    name = list(EDITS)[(column - 2) // 2].replace(",", "").replace(" ", "-")
    return name if column % 2 == 0 else f"{name}-true"


def _video(folder: Path, name: str, frames: np.ndarray) -> str:
    save_video(there_and_back(frames, 1)[:-1], folder / VIDEOS / name, _FPS, crf=16)
    return f'<video src="{VIDEOS}/{name}" autoplay loop muted playsinline></video>'


def _picture(folder: Path, name: str, picture: np.ndarray) -> str:
    from PIL import Image

    with write_aside(folder / VIDEOS / name) as aside:
        Image.fromarray(enlarged(picture)).save(aside, format="PNG")
    return f'<img src="{VIDEOS}/{name}" alt="reference picture">'


def _bar(what: str, score: dict) -> str:
    moved, wanted = score[what], score[f"true_{what}"]
    share = moved / wanted if wanted else 0.0
    label = f"{what.replace('_', ' ')}: moved {moved:+.2f}, should have moved {wanted:+.2f}"
    width = float(np.clip(75 * share, 0, 100))
    return f'<div class="bar"><i style="width:{width:.1f}%"></i><b style="left:75%"></b></div><small>{label}</small>'
