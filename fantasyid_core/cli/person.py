"""The options for the person: photos, which face in them, and the 3D face. Several commands share them."""

from __future__ import annotations

import argparse

from ..options import (
    AUTO,
    AVERAGE,
    BORDERS,
    DETECTORS,
    FORMER_DETECTORS,
    GREY,
    JOINS,
    LARGEST,
    LEFT_TO_RIGHT,
    MOST_ALIKE,
    MOST_CENTRAL,
    NEUTRAL,
    NO_DETECTOR,
    PHOTOGRAPHED,
    RECONSTRUCTIONS,
)

# On a command line a word with blanks needs quotes, so these words have none.
ORDERS = {"largest": LARGEST, "central": MOST_CENTRAL, "left-to-right": LEFT_TO_RIGHT, "alike": MOST_ALIKE}
POSES = {"neutral": NEUTRAL, "photographed": PHOTOGRAPHED}


def add_person_arguments(parser: argparse.ArgumentParser, with_shape: bool = True) -> None:
    """Adds the options; `person_of` reads them. Without `with_shape` the 3D face is what the command makes."""
    who = parser.add_argument_group("the person")
    who.add_argument(
        "--image",
        required=not with_shape,
        nargs="+",
        help="photo (JPEG, PNG, WebP, TIFF), or several of the same person",
    )
    if with_shape:
        who.add_argument(
            "--shape",
            metavar="FILE",
            help="3D face with FLAME's 5023 vertices (.ply .obj .glb .stl .npy .npz); without it "
            "it is made from the photo",
        )
        who.add_argument(
            "--edit",
            metavar="JSON",
            help='slider values for the 3D face, such as {"face_width": 0.5}; the picture follows',
        )
        who.add_argument(
            "--person",
            metavar="FILE",
            help="a saved person (an identity file) instead of a photo; with --image only its tokens are used",
        )
        who.add_argument(
            "--references", choices=JOINS, default=AVERAGE, help="how the tokens of several photos are joined"
        )
    who.add_argument(
        "--pose", choices=tuple(POSES), default="neutral", help="pose of the 3D face that is made from the photo"
    )
    who.add_argument(
        "--method", choices=RECONSTRUCTIONS, default=AUTO,
        help="what makes the 3D face from the photo; auto: deca when its files are there, else landmarks; template: "
        "the mean head, turned as in the photo",
    )  # fmt: skip
    who.add_argument(
        "--likeness", type=float, default=0.5, help="0..1, of the method landmarks: how closely the photo is met"
    )
    _add_face_arguments(parser.add_argument_group("which face, and how it is cut out"))
    files = parser.add_argument_group("files for the photo")
    files.add_argument("--models", metavar="DIR", action="append", default=[], help="a folder like ComfyUI's models")
    files.add_argument("--deca", metavar="FILE", help="deca_model.tar (optional), if it is not in that folder")
    files.add_argument("--flame", metavar="FILE", help="FLAME's generic_model.pkl, if it is not in that folder")


def person_of(arguments: argparse.Namespace):
    """The PersonRequest that the options describe. Raises ValueError for points that cannot be read."""
    from ..face.align import Framing
    from ..face.photo import FaceRequest, points_or_none
    from ..request import PersonRequest

    points = points_or_none(arguments.points)
    request = FaceRequest(
        detector=NO_DETECTOR if points is not None and arguments.detector == AUTO else arguments.detector,
        points=points,
        how=ORDERS[arguments.face],
        number=arguments.number,
        framing=Framing(arguments.padding, arguments.hair_margin, arguments.neck_margin, arguments.rotation),
        folders=tuple(arguments.models),
        border=arguments.border,
    )
    return PersonRequest(
        arguments.image or (),
        getattr(arguments, "shape", None),
        request,
        deca=arguments.deca,
        flame=arguments.flame,
        pose=POSES[arguments.pose],
        references=getattr(arguments, "references", AVERAGE),
        like=arguments.like,
        method=arguments.method,
        likeness=arguments.likeness,
        edit=getattr(arguments, "edit", None),
        saved=getattr(arguments, "person", None),
    )


def _add_face_arguments(group) -> None:
    group.add_argument(
        "--detector", choices=(*DETECTORS, *FORMER_DETECTORS), metavar="NAME", default=AUTO,
        help=f"what looks for faces: {', '.join(DETECTORS)}; none takes the square in the middle",
    )  # fmt: skip
    group.add_argument(
        "--points",
        metavar='"x,y x,y x,y x,y x,y"',
        default="",
        help="instead of a detector: left eye, right eye, nose, left and right corner of the mouth, as seen in the "
        "picture, in pixels",
    )
    group.add_argument(
        "--face",
        choices=tuple(ORDERS),
        default="largest",
        help="which of several faces is meant (default: %(default)s)",
    )
    group.add_argument(
        "--number", type=int, default=0, help="number of the face in that order, from 0 (default: %(default)s)"
    )
    group.add_argument(
        "--like", metavar="FILE", help="picture of the person who is meant, for --face alike; needs ArcFace"
    )
    group.add_argument("--padding", type=float, default=0.0, help="more room on every side, as a share of the crop")
    group.add_argument(
        "--hair-margin", type=float, default=0.0, help="more room above the face, as a share of the crop"
    )
    group.add_argument(
        "--neck-margin", type=float, default=0.0, help="more room below the face, as a share of the crop"
    )
    group.add_argument("--rotation", type=float, default=0.0, help="turns the face in the crop, in degrees, clockwise")
    group.add_argument(
        "--border", choices=BORDERS, default=GREY, help="of the first picture, where it reaches beyond the photo"
    )
