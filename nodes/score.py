"""How much the video resembles the person."""

from __future__ import annotations

from comfy_api.latest import io

from . import folders
from .face import DETECTORS
from .pictures import as_image, preview, say
from .types import CATEGORY, FaceType


class ScoreIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_ScoreIdentity",
            display_name="FantasyID Score Identity",
            category=CATEGORY,
            description="Measures how much the person in a video resembles the photo, how steady the face is, and how "
            "much it moves. Needs an ArcFace model.",
            inputs=[
                io.Image.Input("image", tooltip="The frames of the video, from Decode Video."),
                FaceType.Input("face", tooltip="The person, from Crop Face."),
                io.Combo.Input(
                    "detector",
                    options=[name for name in DETECTORS if name != "none"],
                    optional=True,
                    tooltip="What finds the face in every frame. insightface is the usual one for this measure.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="reference_similarity",
                    tooltip="Mean cosine of the frames and the photo: 0 is another person, 0.6 a good likeness.",
                ),
                io.Float.Output(
                    display_name="inter_frame_similarity", tooltip="Mean cosine of consecutive frames: 1 is steady."
                ),
                io.Float.Output(
                    display_name="face_motion", tooltip="Mean motion in the face, in pixels from frame to frame."
                ),
                io.Image.Output(display_name="plot", tooltip="The three, frame by frame."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image, face, detector: str = "auto") -> io.NodeOutput:
        from ..fantasyid_core.evaluation import score_identity
        from ..fantasyid_core.face import load_likeness

        places = folders.models_dirs()
        score = score_identity(image, face, load_likeness(folders=places), detector, places)
        say(cls, [score.describe()])
        plot = as_image([score.plot()])
        scores = (score.reference_similarity, score.inter_frame_similarity, score.face_motion)
        return io.NodeOutput(*scores, plot, ui=preview(cls, plot))
