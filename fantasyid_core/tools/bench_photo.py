"""What a photo costs before anything is generated: faces and their points found, and the 3D face fitted.

The photo is the one that comes along, enlarged to 1280 pixels. `parts` are steps of the first row and of the last.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..face.align import FaceCrop, opencv
from ..face.landmarks.confirm import confirm
from ..face.landmarks.faces import landmarked_faces, mesh_pass
from ..face.landmarks.search import first_look
from ..face.landmarks.squares import squares_of_points
from ..face.landmarks.steadiness import unsteadiness
from ..face.photo import FaceRequest, find_face
from ..face.picture import load_picture
from ..options import NEUTRAL
from ..shape.reconstruct.calibration import POINTS
from ..shape.reconstruct.landmark_fit import LIKENESS, fit_landmarks, fit_points, own_head
from .demophoto import PHOTO
from .processor import describe_machine, machine_line
from .timing import paired

SIDE = 1280
WANTED = {"detection and mesh": 0.150, "fit": 0.020}  # seconds on two cores
Report = dict[str, object]


def run_photo_bench(runs: int = 10, side: int = SIDE, progress: Callable[[str], None] = lambda text: None) -> Report:
    """Seconds of every step on the processor. Raises ValueError for fewer than one run."""
    if runs < 1:
        raise ValueError(f"Expected at least one run, got {runs}.")
    progress("photo")
    photo = opencv().resize(load_picture(PHOTO), (side, side), interpolation=opencv().INTER_CUBIC)
    with torch.inference_mode():
        times = paired(_steps(photo), runs, torch.device("cpu"))
    machine = describe_machine(torch.device("cpu"))
    return {"machine": machine, "settings": {"side": side, "runs": runs}, "steps": times, "wanted": WANTED}


def tables(report: Report) -> list[str]:
    """The report as lines of Markdown."""
    machine, settings = report["machine"], report["settings"]
    lines = [
        f"{machine_line(machine)}; a photo of {settings['side']} x {settings['side']} pixels, "
        f"{settings['runs']} runs in turn.",
        "",
        "| step | ms min | ms median | wanted |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, each in report["steps"].items():
        wanted = report["wanted"].get(name)
        wish = "" if wanted is None else f"{1e3 * wanted:.0f}"
        lines.append(f"| {name} | {1e3 * each['min']:.1f} | {1e3 * each['median']:.1f} | {wish} |")
    return lines


def _steps(photo: np.ndarray) -> dict[str, Callable]:
    found, face, head = landmarked_faces(photo, "cpu")[0], _crop(photo), own_head()
    points = fit_landmarks(face, head).points
    points = np.column_stack([points, found.points[:POINTS, 2] * _ratio(points, found.points[:POINTS, :2])])
    square = squares_of_points(found.points[None])
    return {
        "detection and mesh": lambda: landmarked_faces(photo, "cpu"),
        "- the first look of both detectors": lambda: first_look(photo, "cpu"),
        "- the mesh once": lambda: mesh_pass(photo, square, "cpu"),
        "- the confirmation": lambda: confirm(photo, found.points[None], "cpu"),
        "fit": lambda: fit_points(face, points, head, LIKENESS, NEUTRAL),
        "how steadily the points are seen": lambda: unsteadiness(photo, found.points, "cpu"),
        "crop to 3D face, all of it": lambda: fit_landmarks(face, head),
    }


def _crop(photo: np.ndarray) -> FaceCrop:
    return find_face([photo], FaceRequest("mediapipe")).face


def _ratio(points: np.ndarray, others: np.ndarray) -> float:
    """How much larger a face is by its points [N,2] than by others."""
    return float(np.std(points) / np.std(others))
