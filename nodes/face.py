"""The node that finds the face in a photo and crops it."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import BORDERS, DETECTORS, FACE_ORDERS, GREY
from . import folders
from .pictures import as_image, preview, say
from .running import cancellable
from .types import CATEGORY, FaceType
from .words import detector_problem


def _share(name: str, low: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=0.0, min=low, max=1.0, step=0.01, optional=True, advanced=True, tooltip=tooltip)


class CropFace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_CropFace",
            display_name="FantasyID Crop Face",
            category=CATEGORY,
            description="Finds the face in a photo and crops it upright, as a square of 512 x 512 pixels. The crop is "
            "also the first frame of the video.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="A photo, or a batch of photos of one person. Of a batch, the photos with the most "
                    "different head poses are kept.",
                ),
                io.Combo.Input(
                    "detector",
                    options=list(DETECTORS),
                    tooltip="The face detector. auto takes the first one whose files are there; mediapipe needs no "
                    "file. none takes the five points below, or without them the largest square in the middle.",
                ),
                io.Combo.Input(
                    "which_face",
                    options=list(FACE_ORDERS),
                    tooltip="Which face is meant when there are several: the largest, the one nearest to the middle, "
                    "by its number from left to right, or the one most like the person in the picture like.",
                ),
                io.Int.Input(
                    "number",
                    default=0,
                    min=0,
                    max=99,
                    tooltip="0 takes the first face of that order, 1 the second. For left to right these are the "
                    "numbers in the picture on this node.",
                ),
                io.Float.Input(
                    "padding",
                    default=0.0,
                    min=-0.2,
                    max=1.0,
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="The margin that is added on every side, as a share of the crop. The model was trained "
                    "with 0.",
                ),
                _share("hair_margin", 0.0, "The margin that is added above the face, as a share of the crop."),
                _share("neck_margin", 0.0, "The margin that is added below the face, as a share of the crop."),
                io.Float.Input(
                    "rotation",
                    default=0.0,
                    min=-180.0,
                    max=180.0,
                    step=1.0,
                    optional=True,
                    advanced=True,
                    tooltip="Turns the face in the crop, in degrees, clockwise. 0 is upright.",
                ),
                io.String.Input(
                    "points",
                    default="",
                    optional=True,
                    tooltip="Only for the detector none: x,y in pixels of the eye on the left, the eye on the right, "
                    "the tip of the nose, and the left and right corner of the mouth, as seen in the picture. For "
                    "example: 230,260 330,258 281,320 240,372 322,370",
                ),
                io.Image.Input(
                    "like",
                    optional=True,
                    tooltip="Only for most alike: a picture of the person who is meant. It needs an ArcFace model.",
                ),
                io.Int.Input(
                    "references",
                    default=6,
                    min=1,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="The largest number of photos that are kept of a batch. The paper trains with 6.",
                ),
                io.Combo.Input(
                    "border",
                    options=list(BORDERS),
                    optional=True,
                    tooltip="What the crop shows beyond the photo: grey, as in training, or extended, which continues "
                    "the photo's edge in the video's first frame. The identity is encoded with grey in both cases.",
                ),
            ],
            outputs=[
                FaceType.Output(
                    display_name="face", tooltip="For Encode Identity, Reconstruct Face and Video Conditioning."
                ),
                io.Image.Output(display_name="crop", tooltip="The part of the photo that the model gets."),
                io.Image.Output(display_name="numbered", tooltip="The photo with the found faces numbered."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, detector=None):
        return detector_problem(detector, DETECTORS)

    @classmethod
    @cancellable("cv2")
    def execute(
        cls,
        image,
        detector: str,
        which_face: str,
        number: int,
        padding: float,
        hair_margin: float = 0.0,
        neck_margin: float = 0.0,
        rotation: float = 0.0,
        points: str = "",
        like=None,
        references: int = 6,
        border: str = GREY,
    ) -> io.NodeOutput:
        from ..fantasyid_core.face.photo import FaceRequest, Framing, describe_face, find_face, pictures, points_or_none

        framing = Framing(padding, hair_margin, neck_margin, rotation)
        points = points_or_none(points)
        places = folders.models_dirs()
        request = FaceRequest(detector, points, which_face, number, framing, references, folders=places, border=border)
        found = find_face(pictures(image), request, like if like is None else pictures(like)[0])
        say(cls, describe_face(found.face))
        numbered = as_image(found.numbered)
        return io.NodeOutput(found.face, found.face.first_image(), numbered, ui=preview(cls, numbered))
