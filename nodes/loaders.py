"""The nodes that load models: a whole release, or the adapter, the face encoder and a LoRA alone."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import COMPUTING, DTYPES
from . import folders
from .pictures import say
from .running import cancellable
from .types import CATEGORY, AdapterType, FaceEncoderType

FILES_OWN = "default (file's own)"


def _dtype(name: str):
    import torch

    return None if name == FILES_OWN else getattr(torch, DTYPES[name])


def _precision_input() -> io.Combo.Input:
    return io.Combo.Input(
        "dtype",
        options=[FILES_OWN, *DTYPES],
        tooltip="The precision of the weights in memory. Default keeps the precision of the file. The model was "
        "trained in bf16; fp8_e4m3fn halves the memory and loses a little detail; fp32 is for comparisons.",
    )


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_LoadModel",
            display_name="FantasyID Load Model",
            category=CATEGORY,
            description="Loads a FantasyID or ConsisID model: the video model, and the adapter that puts a person into "
            "it. FantasyID-Tiny comes with the pack and needs no other file.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=folders.list_models(),
                    tooltip="A release folder of FantasyID or ConsisID (it holds transformer/), or a single file, in "
                    "models/fantasyid; or FantasyID-Tiny, a very small model of drawn people that needs no file.",
                ),
                _precision_input(),
            ],
            outputs=[
                io.Model.Output(tooltip="The video model, for Apply Identity, LoRA and the sampler."),
                AdapterType.Output(display_name="adapter", tooltip="For Encode Identity and Apply Identity."),
                io.Clip.Output(tooltip="Only with FantasyID-Tiny, for Encode Prompt. Other models need Load CLIP."),
                io.Vae.Output(tooltip="Only with FantasyID-Tiny, for the video nodes. Other models need Load VAE."),
                FaceEncoderType.Output(
                    display_name="encoder",
                    tooltip="Only with FantasyID-Tiny, for Encode Identity. Other models need Load Face Encoder.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, model=None):
        return folders.problem(folders.find_model, model)

    @classmethod
    def fingerprint_inputs(cls, model, dtype):
        return folders.fingerprint(folders.find_model, model)

    @classmethod
    @cancellable("einops")
    def execute(cls, model: str, dtype: str) -> io.NodeOutput:
        from ..fantasyid_core import load_adapter
        from ..fantasyid_core.host.comfy import load_model
        from ..fantasyid_core.host.comfy.tinymodel import load_tiny, not_in_release

        source = folders.find_model(model)
        if model == folders.TINY:
            return io.NodeOutput(*load_tiny(source))
        adapter = load_adapter(source, dtype=_dtype(dtype), search_folders=folders.model_roots())
        return io.NodeOutput(load_model(source, dtype=_dtype(dtype)), adapter, *not_in_release())


class LoadAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_LoadAdapter",
            display_name="FantasyID Load Adapter",
            category=CATEGORY,
            description="Loads only the adapter, for a CogVideoX model that another node has loaded.",
            inputs=[
                io.Combo.Input(
                    "adapter",
                    options=folders.list_adapters(),
                    tooltip="A .safetensors file in models/fantasyid, as the convert command writes it.",
                ),
                _precision_input(),
            ],
            outputs=[AdapterType.Output(display_name="adapter", tooltip="For Encode Identity and Apply Identity.")],
        )

    @classmethod
    def validate_inputs(cls, adapter=None):
        return folders.problem(folders.find_model, adapter)

    @classmethod
    def fingerprint_inputs(cls, adapter, dtype):
        return folders.fingerprint(folders.find_model, adapter)

    @classmethod
    @cancellable("einops")
    def execute(cls, adapter: str, dtype: str) -> io.NodeOutput:
        from ..fantasyid_core import load_adapter

        source = folders.find_model(adapter)
        return io.NodeOutput(load_adapter(source, dtype=_dtype(dtype), search_folders=folders.model_roots()))


class LoadFaceEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_LoadFaceEncoder",
            display_name="FantasyID Load Face Encoder",
            category=CATEGORY,
            description="Loads the face encoder: the image tower of EVA02-CLIP-L-14-336.",
            inputs=[
                io.Combo.Input(
                    "encoder",
                    options=folders.list_face_encoders(),
                    tooltip="EVA02_CLIP_L_336_psz14_s6B.pt in models/clip_vision, or in the face_encoder folder of the "
                    "release.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["fp32", *(name for name in COMPUTING if name != "fp32")],
                    tooltip="The precision of the encoder. fp32 gives the most exact features and needs 1.2 GB of "
                    "memory; bf16 and fp16 need half of that.",
                ),
            ],
            outputs=[FaceEncoderType.Output(display_name="encoder", tooltip="For Encode Identity.")],
        )

    @classmethod
    def validate_inputs(cls, encoder=None):
        return folders.problem(folders.find_face_encoder, encoder)

    @classmethod
    def fingerprint_inputs(cls, encoder, dtype):
        return folders.fingerprint(folders.find_face_encoder, encoder)

    @classmethod
    @cancellable("open_clip", "timm")
    def execute(cls, encoder: str, dtype: str) -> io.NodeOutput:
        from ..fantasyid_core.face.consisid import load_tower
        from ..fantasyid_core.host.comfy.encode import host_face_encoder

        return io.NodeOutput(host_face_encoder(load_tower(folders.find_face_encoder(encoder), _dtype(dtype))))


class LoadLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_LoadLoRA",
            display_name="FantasyID Load LoRA",
            category=CATEGORY,
            description="Applies a LoRA for CogVideoX to the video model, in any of the common naming conventions. The "
            "model you connect stays as it is.",
            inputs=[
                io.Model.Input("model", tooltip="The video model, from Load Model."),
                io.Combo.Input(
                    "lora", options=folders.list_loras(), tooltip="A file in models/loras, made for CogVideoX-5B-I2V."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="1 applies the LoRA as it was trained. 0 leaves the model as it is.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The video model with the LoRA in it.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, lora=None):
        return folders.problem(folders.find_lora, lora)

    @classmethod
    def fingerprint_inputs(cls, model, lora, **_):
        return folders.fingerprint(folders.find_lora, lora)

    @classmethod
    @cancellable()
    def execute(cls, model, lora: str, strength: float) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy.lora import load_lora

        patched, report = load_lora(model, folders.find_lora(lora), strength)
        say(cls, [report.describe()])
        return io.NodeOutput(patched)
