"""The node that draws a random person, who does not exist."""

from __future__ import annotations

from comfy_api.latest import io

from .pictures import preview, say
from .running import cancellable
from .types import CATEGORY, FaceType, ShapeType


class SamplePerson(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_SamplePerson",
            display_name="FantasyID Sample Person",
            category=CATEGORY,
            description="Draws a random person: a picture of a face with its 3D shape, for FantasyID-Tiny and for "
            "trying the editor without any file.",
            inputs=[
                io.Int.Input(
                    "seed",
                    default=1_000_000_000,
                    min=0,
                    max=1_999_999_999,
                    control_after_generate=True,
                    tooltip="The number of the person. FantasyID-Tiny was not trained on people from 1,000,000,000 on.",
                ),
                io.Int.Input(
                    "picture",
                    default=0,
                    min=0,
                    max=999,
                    tooltip="The number of the picture. Each one has another pose, expression, light and background.",
                ),
            ],
            outputs=[
                FaceType.Output(display_name="face", tooltip="For Encode Identity, Warp Face and Video Conditioning."),
                ShapeType.Output(display_name="shape", tooltip="The 3D face: for Edit Shape and Encode Identity."),
                io.Image.Output(display_name="image", tooltip="The picture, 512 x 512 pixels."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @cancellable("numba")
    def execute(cls, seed: int, picture: int) -> io.NodeOutput:
        from ..fantasyid_core.people.portrait import make_portrait
        from ..fantasyid_core.people.render import compile_note

        if note := compile_note():
            say(cls, [note])
        face, shape = make_portrait(seed, picture)
        say(cls, [shape.name])
        return io.NodeOutput(face, shape, face.image(), ui=preview(cls, face.image()))
