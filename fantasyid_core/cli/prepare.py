"""Cuts a folder of videos of faces into clips for training: crops, views, captions, an index, a report."""

from __future__ import annotations

import argparse
import sys

from ..options import AUTO, FORMER_DETECTORS, NAMED_DETECTORS, SHAPE_SOURCES, TEXT_DETECTORS, VIEW_SOURCES

CHOICES = {
    "detector": (AUTO, *NAMED_DETECTORS, *FORMER_DETECTORS),
    "text": TEXT_DETECTORS,
    "view_from": VIEW_SOURCES,
    "shape": SHAPE_SOURCES,
}
GROUPS = {
    "clips": {
        "frames": "number of frames of a clip",
        "fps": "frames per second of a clip",
        "height": "height of a clip, in pixels",
        "width": "width of a clip, in pixels",
        "max_side": "longer side of the frames as they are read, in pixels",
    },
    "faces": {
        "detector": "which face detector",
        "models": "folder like ComfyUI's models, in which networks are searched",
        "every": "faces are searched in every n-th frame",
        "detect_side": "longer side of the frames in which faces are searched, in pixels",
        "views": "number of views that are kept, those with the most different head poses",
        "view_from": "where views come from: the clip, or the video's clips of the same person (needs ArcFace)",
        "crop": "side of a view, in pixels",
    },
    "filters": {
        "confidence": "least score of the face (default: 0.9, of mediapipe 0.7)",
        "rival": "share of the main face's area from which another face is a second person",
        "min_face": "least side of the face, pixels",
        "min_sharpness": "least variance of the Laplacian of the face at 128 x 128",
        "min_light": "least mean grey of the face, 0 to 255",
        "max_light": "largest mean grey of the face",
        "min_motion": "least optical flow in the face, pixels per frame (0: not looked at)",
        "text": "which detector looks for subtitles",
        "text_model": "ONNX file of a DB text network, for OpenCV",
        "text_area": "share of the picture that text may cover",
    },
    "3D faces": {
        "shape": "auto takes the file beside the video, else DECA and FLAME where they are found, else landmarks "
        "(these need transform.pkl, or --vertices 2236)",
        "vertices": "number of vertices of the adapter's mesh",
        "deca": "deca_model.tar, if it is not in the models folder",
        "flame": "FLAME's generic_model.pkl, if it is not in the models folder",
    },
    "the run": {
        "workers": "number of processes",
        "shard": "number of clips in a file of the index",
        "captions": "table of captions (.csv or .jsonl), instead of the folder's own",
        "strict": "stop when captions do not match the videos",
        "sheet_clips": "number of clips in the contact sheets",
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", metavar="VIDEOS", help="folder with videos, or one video")
    parser.add_argument("out", metavar="OUT", help="folder for clips, index and report; a run that was stopped goes on")
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for name, about in options.items():
            # Defaults and types are in PrepareSettings; importing it here would slow down every command.
            kind = {"action": "store_true", "default": None} if name == "strict" else {"metavar": "X"}
            kind |= {"choices": CHOICES[name], "metavar": None} if name in CHOICES else {}
            kind |= {"action": "append"} if name == "models" else {}
            group.add_argument(f"--{name.replace('_', '-')}", help=about, **kind)


def run(arguments: argparse.Namespace) -> int:
    from ..training.data.run import GO_ON, prepare

    settings = _settings(arguments)
    try:
        report = prepare(arguments.videos, arguments.out, settings, say=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print(f"\ninterrupted. {GO_ON}", file=sys.stderr)
        return 130
    print(f"{report['clips']} clips out of {report['videos']} videos: {arguments.out} (see report.md and sheets)")
    for problem in report["captions"]:
        print(f"note: {problem}")
    return 0


def _settings(arguments: argparse.Namespace):
    from dataclasses import fields

    from ..training.data.settings import PrepareSettings

    given = {}
    for field in fields(PrepareSettings):
        value = getattr(arguments, field.name)
        if value is not None:
            given[field.name] = _converted(field.name, str(field.type), value)
    return PrepareSettings(**given)


def _converted(name: str, kind: str, value):
    if kind.startswith("tuple"):
        return tuple(value)
    if not kind.startswith(("int", "float")):
        return value
    try:
        return (int if kind.startswith("int") else float)(value)
    except ValueError as error:
        wanted = "a whole number" if kind.startswith("int") else "a number"
        raise ValueError(f"--{name.replace('_', '-')}: expected {wanted}, got {value!r}.") from error
