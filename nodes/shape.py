"""The 3D face."""

from __future__ import annotations

from comfy_api.latest import io

from . import folders
from .types import CATEGORY, ShapeType

SAVED_AS = (".ply", ".obj", ".glb", ".npy")


class LoadShape(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_LoadShape",
            display_name="FantasyID Load Shape",
            category=CATEGORY,
            description="Loads a 3D face: a FLAME head with 5023 vertices, such as DECA writes it.",
            inputs=[
                io.Combo.Input(
                    "shape",
                    options=folders.list_shapes(),
                    tooltip="A .ply, .obj, .glb, .npy or .npz file in ComfyUI's input folder (or its folder 3d).",
                )
            ],
            outputs=[ShapeType.Output(display_name="shape", tooltip="For Encode Identity.")],
        )

    @classmethod
    def validate_inputs(cls, shape=None):
        return folders.problem(folders.find_shape, shape)

    @classmethod
    def fingerprint_inputs(cls, shape):
        return folders.fingerprint(folders.find_shape, shape)

    @classmethod
    def execute(cls, shape: str) -> io.NodeOutput:
        from ..fantasyid_core.shape import read_shape

        return io.NodeOutput(read_shape(folders.find_shape(shape)))


class SaveShape(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_SaveShape",
            display_name="FantasyID Save Shape",
            category=CATEGORY,
            description="Saves a 3D face into ComfyUI's output folder. An existing file is never overwritten.",
            inputs=[
                ShapeType.Input("shape", tooltip="The 3D face to save."),
                io.String.Input(
                    "filename_prefix",
                    default="fantasyid/face",
                    tooltip="Folder and beginning of the file's name; a number is added to it.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(SAVED_AS),
                    tooltip=".ply and .glb are exact and open in most 3D programs, .obj in all of them (eight "
                    "decimals), .npy in Python.",
                ),
            ],
            outputs=[ShapeType.Output(display_name="shape", tooltip="The same 3D face, unchanged.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, shape, filename_prefix: str, format: str) -> io.NodeOutput:
        from ..fantasyid_core.shape import save_shape

        path, shown = folders.next_output(filename_prefix, format)
        save_shape(shape.vertices, path, shape.faces)
        return io.NodeOutput(shape, ui={"fantasyid_files": [shown]})
