"""Runs the whole path on a public-domain portrait with a small untrained network.

The portrait is scikit-image's astronaut (Eileen Collins, NASA, public domain); nothing is downloaded.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib import import_module
from pathlib import Path

from .generate import add_sampling_arguments, check_output, make_video

PROMPT = "An astronaut smiles into the camera."
NOTICE = (
    "The network is untrained (small, random weights): the video shows that the path works, not what FantasyID "
    "looks like."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="output/demo.mp4", metavar="FILE.mp4", help="default: %(default)s")
    parser.add_argument("--prompt", default=PROMPT, help='default: "%(default)s"')
    add_sampling_arguments(parser, steps=10)


def run(arguments: argparse.Namespace) -> int:
    check_output(Path(arguments.out))
    picture = portrait()
    from ..host.diffusers_models import hush_libraries
    from ..person import Person
    from ..pipeline import Inputs
    from ..shape.head import synthetic_head
    from ..shape.pointcloud import save_shape
    from ..tiny import write_tiny_model

    hush_libraries()
    with tempfile.TemporaryDirectory(prefix="fantasyid-demo-") as folder:
        model = write_tiny_model(Path(folder) / "model", seed=arguments.seed, transformer=sizes())
        shape = Path(folder) / "head.ply"
        vertices, faces = synthetic_head(3)
        save_shape(vertices, shape, faces)
        make_video(Inputs(model, Person(picture, shape)), arguments, arguments.prompt)
    print(NOTICE)
    return 0


def sizes():
    """Larger than the tests' network, so that there is something to see: 17 frames of 240x160."""
    from ..config import TransformerConfig

    return TransformerConfig.tiny(sample_width=30, sample_height=20, sample_frames=17)


def portrait():
    """The astronaut, np.uint8 [512,512,3] RGB; RuntimeError without scikit-image."""
    try:
        # Optional, so not an import statement: it is no requirement of the pack, `install.py demo` brings it.
        data = import_module("skimage.data")
    except ImportError as error:
        raise RuntimeError(
            "The demo's portrait comes with scikit-image, which is not installed here. Run `python install.py "
            "demo`, or `pip install scikit-image`."
        ) from error
    return data.astronaut()
