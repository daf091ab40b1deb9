"""The nodes that encode a person and put the person into the video model."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import AVERAGE, EVERYWHERE, JOINS, PLACES
from . import folders
from .pictures import as_image, preview, say
from .running import cancellable
from .types import CATEGORY, AdapterType, FaceEncoderType, FaceType, Identity, IdentityType, ShapeType


class EncodeIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_EncodeIdentity",
            display_name="FantasyID Encode Identity",
            category=CATEGORY,
            description="Encodes a face and its 3D shape into the identity tokens that the video model attends to. "
            "ConsisID needs the face only.",
            inputs=[
                AdapterType.Input("adapter", tooltip="From Load Model or Load Adapter."),
                FaceEncoderType.Input("encoder", tooltip="From Load Face Encoder."),
                FaceType.Input("face", tooltip="How the person looks: from Crop Face."),
                ShapeType.Input(
                    "shape",
                    optional=True,
                    tooltip="The person's 3D face: from Reconstruct Face or Load Shape. FantasyID needs it; ConsisID "
                    "reads none, so leave it out there.",
                ),
                io.Combo.Input(
                    "references",
                    options=list(JOINS),
                    optional=True,
                    advanced=True,
                    tooltip="Only for several photos of the person. average takes the mean of their features and costs "
                    "no more than one photo. concatenate lets the video model attend to every photo; each one makes it "
                    "a little slower.",
                ),
                io.Boolean.Input(
                    "approximate",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Only for ConsisID: continue when glintr100.onnx or parsing_bisenet.pth is missing. The "
                    "video then resembles the person less; the node and a saved person say so.",
                ),
            ],
            outputs=[
                IdentityType.Output(display_name="identity", tooltip="For Apply Identity."),
                FaceType.Output(
                    display_name="face",
                    tooltip="For Video Conditioning: the face, with the picture that the model gets as first frame. "
                    "For ConsisID this picture shows face and hair on white.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @cancellable("einops")
    def execute(
        cls, adapter, encoder, face, shape=None, references: str = AVERAGE, approximate: bool = False
    ) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy.encode import encode_person
        from ..fantasyid_core.identity.fingerprint import adapter_fingerprint

        person = encode_person(adapter, encoder, face, shape, references, folders.models_dirs(), approximate)
        say(cls, person.notes)
        of_shape = ("", None, "") if shape is None else (shape.name, shape.vertices, shape.edit)
        known = (adapter.transformer, " ".join(person.approximate))
        made = Identity(person.tokens, adapter_fingerprint(adapter), face.crop[::4, ::4].copy(), *of_shape, *known)
        return io.NodeOutput(made, person.face)


def _part(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=1.0, step=0.01, optional=True, advanced=True, tooltip=tooltip
    )


def _weight(name: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=1.0, min=0.0, max=4.0, step=0.05, optional=True, advanced=True, tooltip=tooltip)


class ApplyIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_ApplyIdentity",
            display_name="FantasyID Apply Identity",
            category=CATEGORY,
            description="Puts a person into the video model. The model you connect stays as it is.",
            inputs=[
                io.Model.Input("model", tooltip="The video model, from Load Model."),
                AdapterType.Input("adapter", tooltip="The adapter the identity was encoded with."),
                IdentityType.Input("identity", tooltip="The person, from Encode Identity."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-1.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How strongly the person shows. 1 is the strength of the training, 0 is the model without "
                    "the person. Above 2 the picture breaks. Negative values lead away from the person.",
                ),
                _part(
                    "start_percent",
                    0.0,
                    "The part of the sampling at which the injection of the person begins: 0 is "
                    "the first step. The first steps decide the layout, the later ones the details.",
                ),
                _part("end_percent", 1.0, "The part of the sampling at which the injection ends: 1 is the last step."),
                _part("fade_in", 0.0, "How long the strength grows from zero after the start."),
                _part("fade_out", 0.0, "How long the strength falls to zero before the end."),
                io.String.Input(
                    "layers",
                    default="all",
                    optional=True,
                    advanced=True,
                    tooltip="Weights of the injected layers, such as 0-7:1.2, 8-20:0.8, or a name: all, structure "
                    "first, detail first, ramp up, ramp down, middle, ends. The picture on the node shows them.",
                ),
                io.String.Input(
                    "schedule",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Weights over the sampling, such as 0:0, 0.2:1, 0.8:1, 1:0.5. They multiply the strength.",
                ),
                _weight("face_weight", "How much the photo's features count beside the 3D face. 0 leaves them out."),
                _weight("shape_weight", "How much the 3D face counts beside the photo's features. 0 leaves it out."),
                io.Combo.Input(
                    "region",
                    options=list(PLACES),
                    optional=True,
                    advanced=True,
                    tooltip="side by side: the people that are applied one after the other stand from left to right.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the person is in the picture: one mask, or one for every frame, of any size.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=512.0,
                    step=1.0,
                    optional=True,
                    advanced=True,
                    tooltip="The width in pixels over which the edges of the mask, or of the regions, are softened.",
                ),
                io.Float.Input(
                    "identity_guidance",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="Pushes the video towards the person, independently of the prompt. 1 is off and costs "
                    "nothing; any other value makes every step 1.5 times as long.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The video model with the person in it.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @cancellable()
    def execute(
        cls,
        model,
        adapter,
        identity,
        strength: float,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        fade_in: float = 0.0,
        fade_out: float = 0.0,
        layers: str = "all",
        schedule: str = "",
        face_weight: float = 1.0,
        shape_weight: float = 1.0,
        region: str = EVERYWHERE,
        mask=None,
        feather: float = 0.0,
        identity_guidance: float = 1.0,
    ) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy import attach_controlled
        from ..fantasyid_core.identity.fingerprint import adapter_fingerprint
        from ..fantasyid_core.identity.steering.control import Control

        identity.check_adapter(adapter_fingerprint(adapter))
        control = Control(strength, start_percent, end_percent, fade_in, fade_out, layers, schedule, face_weight,
                          shape_weight, region, mask, feather, identity_guidance)  # fmt: skip
        patched = attach_controlled(model, adapter, identity.tokens, control, identity.transformer)
        say(cls, (*control.notes(), identity.approximate))
        curves = as_image([control.draw(adapter.config.injected_layers)])
        return io.NodeOutput(patched, ui=preview(cls, curves))
