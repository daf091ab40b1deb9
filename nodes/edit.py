"""Nodes that change the 3D face by hand: sliders, blending of people, warping of the picture, and a preview."""

from __future__ import annotations

from comfy_api.latest import io

from . import folders
from .editor import put_heads
from .pictures import as_image, preview, preview_loop, say
from .running import cancellable
from .types import CATEGORY, AdapterType, FaceEncoderType, FaceType, ShapeType

MAX_SHAPES = 6
NONE = "none"
MIDDLE = '{"version": 1, "x": 0, "y": 0}'


class EditShape(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_EditShape",
            display_name="FantasyID Edit Shape",
            category=CATEGORY,
            description="Changes the 3D face with sliders, or by dragging the face itself. Connect Warp Face as well, "
            "so that the picture follows.",
            inputs=[
                ShapeType.Input("shape", tooltip="The 3D face: from Reconstruct Face or Load Shape."),
                io.String.Input(
                    "edit",
                    default="{}",
                    extra_dict={"widgetType": "FANTASYID_FACE_EDITOR"},
                    socketless=True,
                    tooltip="The sliders' state as JSON. It is saved with the workflow.",
                ),
                io.Combo.Input(
                    "flame",
                    options=[*folders.list_face_models("flame"), NONE],
                    optional=True,
                    advanced=True,
                    tooltip="Your FLAME model adds its first ten shape components as sliders, and can hold every edit "
                    "to a plausible face. auto takes the file when it is there.",
                ),
                AdapterType.Input(
                    "adapter",
                    optional=True,
                    tooltip="Connect adapter, encoder and face, and a bar at each slider shows how much that slider "
                    "changes the identity. This is measured once per person. It takes seconds on a graphics card, and "
                    "a minute or more without one.",
                ),
                FaceEncoderType.Input("encoder", optional=True, tooltip="Only for the bars at the sliders."),
                FaceType.Input("face", optional=True, tooltip="Only for the bars at the sliders."),
            ],
            outputs=[ShapeType.Output(display_name="shape", tooltip="The edited 3D face.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
            has_intermediate_output=True,  # so that a reloaded page gets the head also from a cached run
        )

    @classmethod
    def validate_inputs(cls, edit=None, flame=None):
        if flame in (None, NONE, folders.AUTO):
            return True
        return folders.problem(lambda name: folders.find_face_model(name, "flame"), flame)

    @classmethod
    def fingerprint_inputs(cls, flame=folders.AUTO, **_):
        return folders.face_model_fingerprint(flame, "flame") if flame not in (None, NONE) else NONE

    @classmethod
    @cancellable()
    def execute(
        cls, shape, edit: str, flame: str = folders.AUTO, adapter=None, encoder=None, face=None
    ) -> io.NodeOutput:
        from ..fantasyid_core.shape.edit.editor import run_editor
        from ..fantasyid_core.shape.reconstruct.facemodels import load_flame_model

        path = None if flame == NONE else folders.find_face_model(flame, "flame")
        model = None if path is None else load_flame_model(path)
        edited = run_editor(shape, edit, model, folders.topology_folders())
        shown = {"fantasyid_editor": put_heads(edited.heads), **_effects(adapter, encoder, face, edited)}
        say(cls, edited.lines)
        return io.NodeOutput(edited.after, ui=shown)


class BlendShapes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_BlendShapes",
            display_name="FantasyID Blend Shapes",
            category=CATEGORY,
            description="Mixes the 3D faces of up to six people, and drives the result away from the average face or "
            "towards it.",
            inputs=[
                ShapeType.Input("shape_1", tooltip="The 3D face of person 1, whose pose the mix has."),
                io.String.Input(
                    "place",
                    default=MIDDLE,
                    extra_dict={"widgetType": "FANTASYID_CIRCLE"},
                    socketless=True,
                    tooltip="The people stand on a circle. The place of the handle says how much of each person is in "
                    "the mix.",
                ),
                io.Float.Input(
                    "exaggeration",
                    default=0.0,
                    min=-1.0,
                    max=2.0,
                    step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="1 doubles the distance of the face from the average face, which gives a caricature; -1 "
                    "gives the average face. The average is that of your mesh topology; without one, that of the "
                    "connected people.",
                ),
                *(
                    ShapeType.Input(f"shape_{number}", optional=True, tooltip=f"The 3D face of person {number}.")
                    for number in range(2, MAX_SHAPES + 1)
                ),
                io.String.Input(
                    "weights",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="One number for each person, such as 2, 1, 1. They replace the circle. Only their "
                    "proportions count.",
                ),
            ],
            outputs=[ShapeType.Output(display_name="shape", tooltip="The blended 3D face.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @cancellable("cv2")
    def execute(
        cls, shape_1, place: str, exaggeration: float, shape_2=None, shape_3=None, shape_4=None, shape_5=None,
        shape_6=None, weights: str = "",
    ) -> io.NodeOutput:  # fmt: skip
        from ..fantasyid_core.shape.draw.present import draw_shape
        from ..fantasyid_core.shape.edit.blend import mix_people

        people = (shape_1, shape_2, shape_3, shape_4, shape_5, shape_6)
        blend = mix_people(people, place, weights, exaggeration, folders.topology_folders())
        say(cls, [blend.note])
        return io.NodeOutput(blend.shape, ui=preview(cls, as_image([draw_shape(blend.shape)])))


class WarpFace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_WarpFace",
            display_name="FantasyID Warp Face",
            category=CATEGORY,
            description="Changes the picture of the face as the 3D face was changed. Both the identity and the first "
            "picture of the video then follow the edit.",
            inputs=[
                FaceType.Input("face", tooltip="From Reconstruct Face (its output face) or Crop Face."),
                ShapeType.Input("before", tooltip="The 3D face before the edit."),
                ShapeType.Input("after", tooltip="The 3D face after the edit: from Edit Shape or Blend Shapes."),
            ],
            outputs=[
                FaceType.Output(display_name="face", tooltip="For Encode Identity and Video Conditioning."),
                io.Image.Output(display_name="crop", tooltip="The warped crop, which the model now gets."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @cancellable("cv2")
    def execute(cls, face, before, after) -> io.NodeOutput:
        from ..fantasyid_core.shape.edit.editor import warp_to

        warped = warp_to(face, before, after, folders.topology_folders())
        say(cls, [note for note in warped.notes if note not in face.notes])
        before_and_after = preview(cls, as_image([face.first_picture, warped.first_picture])).as_dict()["images"]
        return io.NodeOutput(warped, warped.first_image(), ui={"fantasyid_wipe": before_and_after})


class ShapePreview(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_ShapePreview",
            display_name="FantasyID Shape Preview",
            category=CATEGORY,
            description="Shows a 3D face from all sides, beside the face before an edit, and hands it to ComfyUI's 3D "
            "viewer and savers.",
            inputs=[
                ShapeType.Input("shape", tooltip="The 3D face to show."),
                ShapeType.Input("before", optional=True, tooltip="The 3D face before the edit, to compare with."),
                io.Int.Input("frames", default=24, min=1, max=240, optional=True, advanced=True,
                             tooltip="The number of pictures of one turn."),
                io.Int.Input("size", default=256, min=64, max=1024, step=16, optional=True, advanced=True,
                             tooltip="The width and the height of the pictures, in pixels."),
            ],
            outputs=[
                io.Image.Output(display_name="turntable", tooltip="The face turning once, for any video node."),
                io.Image.Output(display_name="comparison", tooltip="Above: before the edit. Below: after it."),
                io.File3DGLB.Output(display_name="model_3d", tooltip="For Preview 3D and the nodes that save models."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    @cancellable("cv2", "trimesh")
    def execute(cls, shape, before=None, frames: int = 24, size: int = 256) -> io.NodeOutput:
        from io import BytesIO

        from comfy_api.latest import Types

        from ..fantasyid_core.shape.draw.present import present_shape

        made = present_shape(shape, before, frames, size, folders.topology_folders())
        say(cls, made.lines)
        model = Types.File3D(BytesIO(made.model), "glb")
        shown = preview_loop(cls, as_image(made.shown))
        return io.NodeOutput(as_image(made.turn), as_image([made.comparison]), model, ui=shown)


def _effects(adapter, encoder, face, edited) -> dict:
    """How much each slider changes the identity, for the browser; {} when one of the three inputs is missing."""
    if adapter is None or encoder is None or face is None:
        return {}
    from ..fantasyid_core.host.comfy.effects import measure_effects, shown_effects

    measured = measure_effects(adapter, encoder, face, edited.before, edited.flame, folders.models_dirs())
    return {"fantasyid_effect": [shown_effects(measured, adapter.config.variant)]}
