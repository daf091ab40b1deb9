"""The node that changes the face in every frame of a finished video."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import FACE_ORDERS, LARGEST
from . import folders
from .pictures import as_image, preview, say
from .running import cancellable
from .types import CATEGORY, ShapeType


class ReshapeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_ReshapeVideo",
            display_name="FantasyID Reshape Video",
            category=CATEGORY,
            description="Changes the face in every frame of a finished video as the 3D face was changed. It works on "
            "the videos of any model and of any camera, and needs no model file.",
            inputs=[
                io.Image.Input("images", tooltip="The frames of the video, from Decode Video or from a loaded video."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-3.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How far the face is changed. 1 is what the sliders say, 0 changes nothing, and -1 is the "
                    "opposite.",
                ),
                ShapeType.Input(
                    "shape_before",
                    optional=True,
                    tooltip="The 3D face before the edit, as it goes into Edit Shape.",
                ),
                ShapeType.Input(
                    "shape_after",
                    optional=True,
                    tooltip="The 3D face after the edit: from Edit Shape or Blend Shapes.",
                ),
                io.String.Input(
                    "edit",
                    default="",
                    optional=True,
                    tooltip="Instead of two 3D faces: sliders such as face_width=0.5, nose_length=-0.3, or the JSON "
                    "that the editor of Edit Shape copies.",
                ),
                io.Combo.Input(
                    "which_face",
                    options=list(FACE_ORDERS),
                    optional=True,
                    tooltip="Which face is meant where several are seen first: the largest, the one nearest to the "
                    "middle, by its number from left to right, or the one most like the person in the picture like.",
                ),
                io.Int.Input(
                    "number",
                    default=0,
                    min=0,
                    max=99,
                    optional=True,
                    tooltip="0 takes the first face of that order, 1 the second.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=1.5,
                    min=0.0,
                    max=5.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="The number of frames to either side over which the head's movement is smoothed. 0 "
                    "smooths nothing.",
                ),
                io.Boolean.Input(
                    "only_the_rest",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Adds only what the video's face still lacks of the edit, when the model has done a part "
                    "of it already. It needs shape_before, from the photo that the video was made from.",
                ),
                io.String.Input(
                    "schedule",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Weights over the video, such as 0:0, 0.2:1, 0.8:1, 1:0. They multiply the strength; 0 is "
                    "the first frame and 1 the last.",
                ),
                io.Float.Input(
                    "in_front",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="How surely what stands before the face, such as a hand, is kept as it is. 0 moves it "
                    "along with the face.",
                ),
                io.Image.Input(
                    "like",
                    optional=True,
                    tooltip="Only for most alike: a picture of the person who is meant. It needs an ArcFace model.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="The frames. What could not be treated is as it came, bit for bit.",
                ),
                io.Mask.Output(display_name="mask", tooltip="Where each frame was changed."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @cancellable("cv2")
    def execute(
        cls,
        images,
        strength: float,
        shape_before=None,
        shape_after=None,
        edit: str = "",
        which_face: str = LARGEST,
        number: int = 0,
        smoothing: float = 1.5,
        only_the_rest: bool = False,
        schedule: str = "",
        in_front: float = 1.0,
        like=None,
    ) -> io.NodeOutput:
        from ..fantasyid_core.face.photo import pictures
        from ..fantasyid_core.host.comfy.reshape import ReshapeRequest, reshape_images
        from ..fantasyid_core.identity.steering.schedule import scheduled

        over_time, like = scheduled(strength, schedule, "video"), None if like is None else pictures(like)[0]
        places = (*folders.models_dirs(), *folders.topology_folders())
        request = ReshapeRequest(edit, shape_before, shape_after, over_time, which_face, number, like, smoothing,
                                 in_front, only_the_rest, places)  # fmt: skip
        made = reshape_images(images, request)
        say(cls, made.lines)
        shown = preview(cls, as_image(made.shown)).as_dict()["images"]
        return io.NodeOutput(made.images, made.mask, ui={"fantasyid_wipe": shown})
