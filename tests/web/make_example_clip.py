"""Makes the example video of the template reshape_any_video anew: `python tests/web/make_example_clip.py`.

Needs numba. The drawn person of people/fantasyid_person_1.jpg turns, talks and blinks.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from fantasyid_core.people import columns as col  # noqa: E402
from fantasyid_core.people.backdrop import Backdrop  # noqa: E402
from fantasyid_core.people.instruments.reshaping import lively_rows  # noqa: E402
from fantasyid_core.people.person import sample_person  # noqa: E402
from fantasyid_core.people.render import render_frames  # noqa: E402
from fantasyid_core.videofile import save_video  # noqa: E402

PERSON, FRAMES, FPS, SIZE, CRF = 1_000_000_003, 48, 24, 480, 23
PATH = ROOT / "people" / "fantasyid_talking.mp4"


def main() -> None:
    rows = lively_rows(FRAMES, 5)
    rows[:, col.ZOOM] = 0.85
    frames = render_frames(sample_person(PERSON), rows, Backdrop("teal", fade=0.35), SIZE, samples=3)
    save_video(frames, PATH, FPS, CRF)
    print(f"{PATH.name}: {PATH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
