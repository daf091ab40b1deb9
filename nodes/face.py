"""The face in the photo."""

from __future__ import annotations

from comfy_api.latest import io

from .types import CATEGORY, FaceType

CENTRE, POINTS = "centre square", "five points"


class CropFace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_CropFace",
            display_name="FantasyID Crop Face",
            category=CATEGORY,
            description="Cuts the face out of a photo, as a square of 512 x 512 pixels. The crop is also the first "
            "picture of the video.",
            inputs=[
                io.Image.Input(
                    "image", tooltip="A photo with one clearly visible face. Of several pictures the first is used."
                ),
                io.Combo.Input(
                    "method",
                    options=[CENTRE, POINTS],
                    tooltip="centre square: the largest square in the middle, for photos that are already portraits. "
                    "five points: turns and scales the face so that eyes, nose and mouth lie where the model "
                    "expects them.",
                ),
                io.String.Input(
                    "points",
                    default="",
                    optional=True,
                    tooltip="Only for five points: x,y in pixels of the eye on the left, the eye on the right, the "
                    "tip of the nose, and the left and right corner of the mouth, as seen in the picture. "
                    "For example: 230,260 330,258 281,320 240,372 322,370",
                ),
            ],
            outputs=[
                FaceType.Output(display_name="face", tooltip="For Encode Identity and Video Conditioning."),
                io.Image.Output(display_name="crop", tooltip="What the model sees of the photo."),
            ],
        )

    @classmethod
    def execute(cls, image, method: str, points: str = "") -> io.NodeOutput:
        from ..fantasyid_core.face import crop_face, parse_points, picture_from_image

        face = crop_face(picture_from_image(image), parse_points(points) if method == POINTS else None)
        return io.NodeOutput(face, face.image())
