"""Changes the face in every frame of a finished video, as the sliders of the face editor say."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..options import MOST_ALIKE
from .generate import Bars, check_output
from .person import ORDERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", help="the video: .mp4, .mov, .mkv, .webm and others")
    parser.add_argument(
        "--edit",
        nargs="+",
        metavar="EDIT",
        help="sliders such as face_width=0.5 nose_length=-0.3, or a file with the editor's JSON",
    )
    parser.add_argument("--out", required=True, metavar="OUT.mp4", help="the new video, with the same sound and times")
    how = parser.add_argument_group("how")
    how.add_argument("--strength", type=float, default=1.0, help="multiplies the sliders (default: %(default)s)")
    how.add_argument(
        "--schedule", default="", metavar="TEXT", help='weights over the video, such as "0:0, 0.2:1, 0.8:1, 1:0"'
    )
    how.add_argument(
        "--smoothing", type=float, default=1.5, help="frames over which the head is smoothed (default: %(default)s)"
    )
    how.add_argument(
        "--in-front",
        type=float,
        default=1.0,
        help="0..1: how surely hands and hair before the face stay as they are (default: %(default)s)",
    )
    how.add_argument("--before", metavar="FILE", help="the 3D face before the edit (.ply .obj .glb .stl .npy .npz)")
    how.add_argument("--after", metavar="FILE", help="the 3D face after it; both together stand for --edit")
    how.add_argument(
        "--only-the-rest", action="store_true", help="add only what the video's face lacks of the edit, as --before is"
    )
    how.add_argument("--device", metavar="NAME", help="of torch, such as cuda:0 (default: a GPU where there is one)")
    how.add_argument("--crf", type=int, default=17, help="quality, 0 (best) to 51 (default: %(default)s)")
    who = parser.add_argument_group("which face")
    who.add_argument("--face", choices=tuple(ORDERS), default="largest", help="of several (default: %(default)s)")
    who.add_argument("--number", type=int, default=0, help="in that order, from 0 (default: %(default)s)")
    who.add_argument("--like", metavar="FILE", help="picture of the person, for --face alike; needs ArcFace")
    who.add_argument("--models", metavar="DIR", action="append", default=[], help="a folder like ComfyUI's models")


def run(arguments: argparse.Namespace) -> int:
    out = Path(arguments.out)
    check_output(out)
    if not 0 <= arguments.crf <= 51:
        raise ValueError(f"Expected --crf of 0 (best) to 51 (worst), got {arguments.crf}. 17 shows no loss to the eye.")
    request = request_of(arguments)
    from ..shape.reshape.report import ReshapeReport
    from ..shape.reshape.request import NOTHING, reshape_as_asked
    from ..videofile import rewrite_video

    if not request.edited and request.after is None:
        raise ValueError(f"{NOTHING} Give --edit, such as --edit face_width=0.5.")
    report = ReshapeReport()

    def change(frames, count):
        return (each.picture for each in reshape_as_asked(frames, request, count, report))

    with Bars() as bars:
        advance = lambda done, total: bars("reshaping", done, total)  # noqa: E731
        notes = rewrite_video(arguments.video, out, change, arguments.crf, advance, _finish(Path(arguments.video)))
    for line in (*notes, *report.sentences()):
        print(line)
    print(f"{report.frames} frames: {out}")
    return 0


def request_of(arguments: argparse.Namespace):
    """The `ReshapeRequest` that the options describe. Raises ValueError for options that do not go together, and what
    reading the files raises."""
    from ..face.picture import load_picture
    from ..identity.steering.schedule import scheduled
    from ..machine.device import named_device
    from ..shape.reshape.request import ReshapeRequest

    like = None if arguments.like is None else load_picture(arguments.like)
    if arguments.face == "alike" and like is None:
        raise ValueError("--face alike needs --like, a picture of the person who is meant.")
    return ReshapeRequest(
        edit_text(arguments.edit or ()),
        _shape(arguments.before, arguments.models),
        _shape(arguments.after, arguments.models),
        scheduled(arguments.strength, arguments.schedule, "video"),
        ORDERS[arguments.face],
        arguments.number,
        like if ORDERS[arguments.face] == MOST_ALIKE else None,
        arguments.smoothing,
        arguments.in_front,
        arguments.only_the_rest,
        tuple(arguments.models),
        str(named_device(arguments.device)),
    )


def edit_text(words) -> str:
    """The edit of the option --edit: the content of a file, or what was typed. Raises ValueError for an unreadable
    file."""
    if len(words) == 1 and Path(words[0]).is_file():
        try:
            return Path(words[0]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{words[0]} cannot be read as an edit ({error}): expected the editor's JSON.") from error
    if len(words) == 1 and words[0].lower().endswith(".json"):
        raise ValueError(f"There is no file {words[0]}. Save the edit in the face editor, or give face_width=0.5.")
    return " ".join(words)


def _shape(path: str | None, folders):
    from ..shape.reconstruct.facemodels import read_checked_shape

    return None if path is None else read_checked_shape(Path(path), tuple(folders))


def _finish(source: Path):
    """What was marked as synthetic stays marked."""
    from ..jobs.synthetic import is_marked, mark_synthetic

    return mark_synthetic if source.is_file() and is_marked(source) else None
