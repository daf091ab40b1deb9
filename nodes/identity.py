"""The person: encoded once, then put into the model."""

from __future__ import annotations

from comfy_api.latest import io

from .types import CATEGORY, AdapterType, FaceEncoderType, FaceType, Identity, IdentityType, ShapeType

AVERAGE, CONCATENATE = "average", "concatenate"


class EncodeIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_EncodeIdentity",
            display_name="FantasyID Encode Identity",
            category=CATEGORY,
            description="Turns a face and its 3D shape into the identity that the video model understands.",
            inputs=[
                AdapterType.Input("adapter", tooltip="From Load Model or Load Adapter."),
                FaceEncoderType.Input("encoder", tooltip="From Load Face Encoder."),
                FaceType.Input("face", tooltip="How the person looks: from Crop Face."),
                ShapeType.Input("shape", tooltip="The person's 3D face: from Reconstruct Face or Load Shape."),
                io.Combo.Input(
                    "references",
                    options=[AVERAGE, CONCATENATE],
                    optional=True,
                    advanced=True,
                    tooltip="Only for several photos of the person. average: their common features, at the cost of one "
                    "photo. concatenate: the video model looks at every photo; a little slower for each one.",
                ),
            ],
            outputs=[IdentityType.Output(display_name="identity", tooltip="For Apply Identity.")],
        )

    @classmethod
    def execute(cls, adapter, encoder, face, shape, references: str = AVERAGE) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy.run import adapter_fingerprint, encode_identity

        tokens = encode_identity(adapter, encoder, face, shape, references)
        thumbnail = face.crop[::4, ::4].copy()
        fingerprint = adapter_fingerprint(adapter)
        return io.NodeOutput(Identity(tokens, fingerprint, thumbnail, shape.name, shape.vertices))


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
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="How strongly the person shows. 1 is as trained, 0 is the model without the person; far "
                    "above 1 the picture breaks.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="From which part of the sampling on the person is put in: 0 is the first step. The first "
                    "steps decide the layout, the later ones the details.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="Up to which part of the sampling the person is put in: 1 is the last step.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The video model with the person in it.")],
        )

    @classmethod
    def execute(
        cls, model, adapter, identity, strength: float, start_percent: float = 0.0, end_percent: float = 1.0
    ) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy import attach
        from ..fantasyid_core.host.comfy.run import adapter_fingerprint

        identity.check_adapter(adapter_fingerprint(adapter))
        return io.NodeOutput(attach(model, adapter, identity.tokens, strength, start_percent, end_percent))
