"""The nodes from prompt and face to frames. Each step equals that of the official pipeline."""

from __future__ import annotations

from comfy_api.latest import io

from ..fantasyid_core.options import SOLVERS
from .running import cancellable
from .types import CATEGORY, FaceType


class EncodePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_EncodePrompt",
            display_name="FantasyID Encode Prompt",
            category=CATEGORY,
            description="Encodes a prompt the way the model was trained: as 226 tokens of plain text. Brackets and "
            "colons are read as text, not as weights.",
            inputs=[
                io.Clip.Input("clip", tooltip="T5-XXL, from Load CLIP with type cogvideox."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="A description of what happens in the video, in full English sentences. Leave it empty for "
                    "the negative prompt. Text beyond 226 tokens (about 170 words) is cut off with a warning.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="For Video Conditioning.")],
        )

    @classmethod
    @cancellable()
    def execute(cls, clip, text: str) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy import encode_prompt

        return io.NodeOutput(encode_prompt(clip, text))


class VideoConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_VideoConditioning",
            display_name="FantasyID Video Conditioning",
            category=CATEGORY,
            description="Makes the face the first frame of the video, and creates an empty latent of the model's size.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the video shows, from Encode Prompt."),
                io.Conditioning.Input("negative", tooltip="What the video does not show; usually an empty prompt."),
                io.Vae.Input("vae", tooltip="The CogVideoX VAE, from Load VAE."),
                FaceType.Input(
                    "face",
                    tooltip="The face, from Crop Face, or for ConsisID from Encode Identity. Its picture "
                    "is stretched to the video's size, as in training.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that defines the video's size. When it is not connected, the video has 49 "
                    "frames of 720 x 480 pixels.",
                ),
                io.Image.Input(
                    "video",
                    optional=True,
                    tooltip="The frames of a video to be continued. The new video begins with its last frames (9 of "
                    "them for a released model) instead of the face.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
                io.Latent.Output(display_name="latent", tooltip="The empty video, for the sampler."),
            ],
        )

    @classmethod
    @cancellable()
    def execute(cls, positive, negative, vae, face, model=None, video=None) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy.condition import condition_video

        return io.NodeOutput(*condition_video(positive, negative, vae, face, model, video))


def sampling_inputs() -> list:
    """steps, cfg and solver, as every node that samples has them."""
    return [
        io.Int.Input(
            "steps",
            default=50,
            min=1,
            max=1000,
            tooltip="The number of sampling steps. The official pipeline takes 50; 25 give a usable preview in half "
            "the time.",
        ),
        io.Float.Input(
            "cfg",
            default=6.0,
            min=0.0,
            max=30.0,
            step=0.1,
            tooltip="The strength of classifier-free guidance: how closely the video follows the prompt. The official "
            "value is 6; 1 ignores the negative prompt and is twice as fast.",
        ),
        io.Combo.Input(
            "solver",
            options=list(SOLVERS),
            tooltip="dpm is the official solver of this model and adds fresh noise in every step; ddim adds none.",
        ),
    ]


class Sampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_Sampler",
            display_name="FantasyID Sampler",
            category=CATEGORY,
            description="Samples the video from noise, with the official sampler. The host's own samplers start this "
            "model at a wrong noise level.",
            inputs=[
                io.Model.Input("model", tooltip="From Apply Identity, or from Load Model for any person."),
                io.Conditioning.Input("positive", tooltip="From Video Conditioning."),
                io.Conditioning.Input("negative", tooltip="From Video Conditioning."),
                io.Latent.Input("latent", tooltip="The empty video, from Video Conditioning."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The seed of the noise. The same seed gives the same video.",
                ),
                *sampling_inputs(),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=10001,
                    step=1,
                    optional=True,
                    tooltip="The number of frames of a longer video, which is blended from windows of the model's own "
                    "length: 49, 57, 65 and so on for a released model. The model was not trained for it. 0 is the "
                    "model's own length.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The video, for Decode Video.")],
        )

    @classmethod
    @cancellable()
    def execute(
        cls, model, positive, negative, latent, seed: int, steps: int, cfg: float, solver: str, frames: int = 0
    ) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy.video import sample_latent

        settings = {"seed": seed, "steps": steps, "cfg": cfg, "solver": solver, "frames": frames}
        return io.NodeOutput(sample_latent(model, positive, negative, latent, **settings))


class DecodeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="FantasyID_DecodeVideo",
            display_name="FantasyID Decode Video",
            category=CATEGORY,
            description="Decodes the sampled latent into frames, as the official pipeline does.",
            inputs=[
                io.Vae.Input("vae", tooltip="The CogVideoX VAE, from Load VAE."),
                io.Latent.Input("latent", tooltip="The video, from the sampler."),
                io.Int.Input(
                    "tile",
                    default=0,
                    min=0,
                    max=2048,
                    step=32,
                    tooltip="0 decodes whole pictures, which is exact. If memory runs out, 256 decodes tiles of 256 x "
                    "256 pixels and blends their seams. 128 is the smallest.",
                ),
                io.Image.Input(
                    "video",
                    optional=True,
                    tooltip="The video that was continued (the same as at Video Conditioning). Its frames come first, "
                    "and those that both show are there once.",
                ),
            ],
            outputs=[io.Image.Output(display_name="frames", tooltip="The frames, for Create Video at 8 fps.")],
        )

    @classmethod
    @cancellable()
    def execute(cls, vae, latent, tile: int, video=None) -> io.NodeOutput:
        from ..fantasyid_core.host.comfy.video import decode_latent

        return io.NodeOutput(decode_latent(vae, latent, tile, video))
