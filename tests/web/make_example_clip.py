"""Makes the example video of the template reshape_any_video anew, and the template's picture:
`python tests/web/make_example_clip.py`.

Needs numba. The drawn person of people/fantasyid_person_1.jpg turns, talks and blinks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from fantasyid_core.people import columns as col  # noqa: E402
from fantasyid_core.people.backdrop import Backdrop  # noqa: E402
from fantasyid_core.people.instruments.reshaping import lively_rows  # noqa: E402
from fantasyid_core.people.person import sample_person  # noqa: E402
from fantasyid_core.people.render import render_frames  # noqa: E402
from fantasyid_core.shape import reshape_video  # noqa: E402
from fantasyid_core.videofile import read_video, save_video  # noqa: E402

PERSON, FRAMES, FPS, SIZE, CRF = 1_000_000_003, 48, 24, 480, 23
PATH = ROOT / "people" / "fantasyid_talking.mp4"
TEMPLATE = ROOT / "workflows" / "reshape_any_video.json"
PICTURE = TEMPLATE.with_suffix(".jpg")


def main() -> None:
    rows = lively_rows(FRAMES, 5)
    rows[:, col.ZOOM] = 0.85
    frames = render_frames(sample_person(PERSON), rows, Backdrop("teal", fade=0.35), SIZE, samples=3)
    save_video(frames, PATH, FPS, CRF)
    picture().save(PICTURE, quality=88, optimize=True)
    for path in (PATH, PICTURE):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def picture() -> Image.Image:
    """Four frames before, and below them the same after the template's edit."""
    (edit,) = (node for node in json.loads(TEMPLATE.read_text())["nodes"] if node["type"] == "FantasyID_EditShape")
    before = read_video(PATH)
    after = reshape_video(before, edit["widgets_values"][0])
    shown = np.linspace(0, FRAMES - 1, 4).astype(int)
    sheet = np.concatenate([np.concatenate(video[shown][:, :, 48:-48], axis=1) for video in (before, after)])
    return Image.fromarray(sheet).resize((640, 400), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
