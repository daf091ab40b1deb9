"""Makes the 3D face of the person in a photo, and saves it for generate, ComfyUI or a 3D program."""

from __future__ import annotations

import argparse
from pathlib import Path

from .person import add_person_arguments, person_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE", help="the 3D face (.ply .obj .glb .npy)")
    parser.add_argument("--picture", metavar="FILE.png", help="the crop with the 3D face drawn over it")
    add_person_arguments(parser, with_shape=False)


def run(arguments: argparse.Namespace) -> int:
    from ..request import load_face, reconstruct
    from ..shape.files.pointcloud import save_shape

    _check_output(Path(arguments.out))
    person = person_of(arguments)
    result = reconstruct(person, load_face(person))
    save_shape(result.shape.vertices, arguments.out, result.shape.faces)
    if arguments.picture:
        _save_picture(result, Path(arguments.picture))
    print(f"{len(result.shape.vertices)} vertices: {arguments.out}")
    return 0


def _check_output(path: Path) -> None:
    """An error before the work rather than after it."""
    from ..options import SHAPE_FILES

    if path.suffix.lower() not in SHAPE_FILES:
        raise ValueError(
            f"Expected an output file that ends in {', '.join(SHAPE_FILES)}, got {path}. Change the ending."
        )


def _save_picture(result, path: Path) -> None:
    from PIL import Image

    from ..files.writing import write_aside
    from ..shape.draw.present import draw_reconstruction

    with write_aside(path) as aside:
        Image.fromarray(draw_reconstruction(result)).save(aside, "PNG")
