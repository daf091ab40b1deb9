"""The nodes that reconstruct, load and save the 3D face."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import AUTO, DECA_VIEWS, LANDMARKS, POSES, RECONSTRUCTIONS, SHAPE_FILES
from . import folders
from .pictures import as_image, preview, say
from .running import cancellable
from .types import CATEGORY, FaceType, ShapeType


class ReconstructFace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_ReconstructFace",
            display_name="FantasyID Reconstruct Face",
            category=CATEGORY,
            description="Reconstructs the 3D face of the person in the photo: from landmarks, which needs no file, or "
            "with DECA and FLAME from your own files. The released weights read hardly more of it than the head pose; "
            "an edit reaches the video through the picture, with Warp Face.",
            inputs=[
                FaceType.Input("face", tooltip="From Crop Face."),
                io.Combo.Input(
                    "deca",
                    options=folders.list_face_models("deca"),
                    tooltip="Only for the method deca: deca_model.tar in models/fantasyid. auto takes the one that is "
                    "found.",
                ),
                io.Combo.Input(
                    "flame",
                    options=folders.list_face_models("flame"),
                    tooltip="Only for the method deca: FLAME 2020's generic_model.pkl, or FLAME 2023, in "
                    "models/fantasyid. auto takes the one that is found.",
                ),
                io.Combo.Input(
                    "pose",
                    options=list(POSES),
                    tooltip="neutral gives the face at rest, looking ahead, as in the paper. as photographed keeps the "
                    "expression and the turn of the photo, as the official code does.",
                ),
                io.Combo.Input(
                    "region",
                    options=list(DECA_VIEWS),
                    optional=True,
                    advanced=True,
                    tooltip="The part of the picture that DECA gets: the square around the face's landmarks, as in its "
                    "training, or the whole picture, as in the official code.",
                ),
                io.Boolean.Input(
                    "keep_jaw",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Keeps the mouth as open as in the photo. Only with the pose as photographed.",
                ),
                io.Boolean.Input(
                    "keep_turn",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Keeps head and neck turned as in the photo. Only with the pose as photographed.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(RECONSTRUCTIONS),
                    optional=True,
                    tooltip="auto takes deca when its files are there, otherwise landmarks, which needs none. template "
                    "takes the average head in the pose of the five points, for profiles and covered faces.",
                ),
                io.Float.Input(
                    "likeness",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="Only for landmarks: how much of the remaining difference to the photo's landmarks is "
                    "kept. 0 gives a smooth face; 1 keeps all of it, expression included.",
                ),
            ],
            outputs=[
                ShapeType.Output(display_name="shape", tooltip="For Encode Identity and Save Shape."),
                FaceType.Output(
                    display_name="face",
                    tooltip="The same face. It is cropped again by the landmarks when its points were only estimated.",
                ),
                io.Image.Output(display_name="overlay", tooltip="The 3D face drawn over the crop, with 68 landmarks."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, deca=None, flame=None, method=AUTO):
        return folders.face_models_problem(deca, flame, method)

    @classmethod
    def fingerprint_inputs(cls, deca, flame, **_):
        return folders.face_models_fingerprint(deca, flame)

    @classmethod
    @cancellable("cv2", "torchvision")
    def execute(
        cls,
        face,
        deca: str,
        flame: str,
        pose: str,
        region: str = LANDMARKS,
        keep_jaw: bool = True,
        keep_turn: bool = True,
        method: str = AUTO,
        likeness: float = 0.5,
    ) -> io.NodeOutput:
        from ..fantasyid_core.shape.draw.present import describe_reconstruction, draw_reconstruction
        from ..fantasyid_core.shape.reconstruct.methods import ReconstructionRequest, make_shape

        files = (folders.find_face_model(name, key) for name, key in ((deca, "deca"), (flame, "flame")))
        places = (*folders.models_dirs(), *folders.topology_folders())
        request = ReconstructionRequest(method, likeness, pose, region, keep_jaw, keep_turn, *files, places)
        result = make_shape(face, request)
        overlay = as_image([draw_reconstruction(result)])
        say(cls, describe_reconstruction(result))
        return io.NodeOutput(result.shape, result.face, overlay, ui=preview(cls, overlay))


class LoadShape(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_LoadShape",
            display_name="FantasyID Load Shape",
            category=CATEGORY,
            description="Loads a 3D face: a FLAME head with 5023 vertices, as DECA writes it.",
            inputs=[
                io.Combo.Input(
                    "shape",
                    options=folders.list_shapes(),
                    tooltip="A .ply, .obj, .glb, .stl, .npy or .npz file in ComfyUI's input folder, or a folder in it.",
                )
            ],
            outputs=[ShapeType.Output(display_name="shape", tooltip="For Encode Identity.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, shape=None):
        return folders.problem(folders.find_shape, shape)

    @classmethod
    def fingerprint_inputs(cls, shape):
        return folders.fingerprint(folders.find_shape, shape)

    @classmethod
    @cancellable("cv2")
    def execute(cls, shape: str) -> io.NodeOutput:
        from ..fantasyid_core.shape.draw.present import describe_shape, draw_shape
        from ..fantasyid_core.shape.reconstruct.facemodels import read_checked_shape

        face = read_checked_shape(folders.find_shape(shape), folders.topology_folders())
        say(cls, describe_shape(face))
        return io.NodeOutput(face, ui=preview(cls, as_image([draw_shape(face)])))


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
                    options=list(SHAPE_FILES),
                    tooltip=".ply and .glb are exact and open in most 3D programs, .obj in all of them (eight "
                    "decimals), .npy in Python.",
                ),
            ],
            outputs=[ShapeType.Output(display_name="shape", tooltip="The same 3D face, unchanged.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @cancellable("cv2", "trimesh")
    def execute(cls, shape, filename_prefix: str, format: str) -> io.NodeOutput:
        from ..fantasyid_core.shape import save_shape
        from ..fantasyid_core.shape.draw.present import describe_shape, draw_shape

        path, shown = folders.next_output(filename_prefix, format)
        save_shape(shape.vertices, path, shape.faces)
        say(cls, [f"{shown['subfolder']}/{shown['filename']}".lstrip("/"), *describe_shape(shape)])
        picture = preview(cls, as_image([draw_shape(shape)]))
        return io.NodeOutput(shape, ui={"fantasyid_files": [shown], **picture.as_dict()})
