"""What the nodes ask of the host around the core's own steps: devices, memory, conditioning, live previews.

Models that are used outside sampling are held by ModelPatchers too, so that the host decides what stays on
the device. The identity branch runs in float32 whatever its weights are kept in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...config import TransformerConfig
from ...identity.fingerprint import adapter_fingerprint as adapter_fingerprint  # still imported from here
from ...identity.steering.combining import combine_tokens
from ...shape.order import check_order
from .attachment import encoder_patcher
from .corrections import check_latent, native_sizes
from .sampler import sample
from .vae import encode_crop, preview_image, preview_map

if TYPE_CHECKING:
    from ...face.align import FaceCrop
    from ...face.encoder import FaceEncoder
    from ...identity.adapter import IdentityAdapter
    from ...shape.files.pointcloud import FaceShape

WITHOUT_PICTURE = "fantasyid_without_picture"  # attachment of a MODEL that was trained without a first picture
PREVIEW_KEY = "fantasyid_preview"  # of a LATENT: the VAE's map from latent channels to RGB


@dataclass(frozen=True, eq=False)
class HostedFaceEncoder:
    """A face encoder whose memory the host manages (the host looks for the name `patcher`)."""

    patcher: object

    def encode(self, face: FaceCrop) -> Tensor:
        """Float32 ViT features [1, P, C] of a face crop, on the encoder's device."""
        import comfy.model_management

        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model.encode(face.pixels()).float()


def host_face_encoder(encoder: FaceEncoder) -> HostedFaceEncoder:
    """`encoder` rebuilt from the host's layers, which the host can move and offload."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.ops

    with torch.device("meta"):
        twin = type(encoder)(encoder.config, comfy.ops.manual_cast)
    patcher = comfy.model_patcher.CoreModelPatcher(
        twin,
        load_device=comfy.model_management.text_encoder_device(),
        offload_device=comfy.model_management.text_encoder_offload_device(),
    )
    twin.load_state_dict(encoder.state_dict(), strict=True, assign=True)
    twin.requires_grad_(False).eval()
    return HostedFaceEncoder(patcher)


def encode_identity(
    adapter: IdentityAdapter,
    encoder: HostedFaceEncoder,
    face: FaceCrop,
    shape: FaceShape,
    references: str = "average",
) -> Tensor:
    """Identity tokens float32 [1, Nid, Cid] of a person and the 3D shape, on the host's intermediate device.

    A face with further views is encoded view by view; `references` says how `combine_tokens` joins them.
    Raises ValueError when encoder or shape do not belong to the adapter, or the result is not finite.
    """
    import comfy.model_management

    _check_shape(adapter, shape)  # before the encoder has worked
    feats = [encoder.encode(view) for view in (face, *face.others)]
    _check_feats(adapter, feats[0])
    patcher = encoder_patcher(adapter)
    comfy.model_management.load_models_gpu([patcher], force_full_load=True)
    device = patcher.load_device
    vertices = shape.vertices[None].to(device, torch.float32)
    tokens = combine_tokens([patcher.model(view.to(device), vertices) for view in feats], references)
    if not tokens.isfinite().all():
        raise ValueError(
            "Expected finite identity tokens, got NaN or infinite values: the adapter's weights or the face encoder's "
            "are damaged or overflow in their precision. Load them with dtype fp32."
        )
    return tokens.to(comfy.model_management.intermediate_device())


def condition_video(positive, negative, vae, face: FaceCrop, model=None):
    """The face as the video's first picture: positive, negative, and an empty LATENT of the model's own size.

    Without `model` the size is that of CogVideoX-5B-I2V 1.0. The LATENT carries the map for live previews.
    """
    import comfy.model_management
    import node_helpers

    sizes = TransformerConfig() if model is None else native_sizes(model)
    without = model is not None and model.attachments.get(WITHOUT_PICTURE)
    values = {} if without else {"concat_latent_image": encode_crop(vae, face.image(), sizes)}
    empty = torch.zeros(1, *sizes.latent_shape, device=comfy.model_management.intermediate_device())
    latent = {"samples": empty, PREVIEW_KEY: preview_map(vae)}
    conditionings = (node_helpers.conditioning_set_values(each, values) for each in (positive, negative))
    return *conditionings, latent


def sample_latent(model, positive, negative, latent: dict, watch=None, **settings) -> dict:
    """`sample` for the host's LATENT, with progress bar and live preview; settings: seed, steps, cfg, solver.

    watch(step, clean) is called after every step with the clean latents that the model expects; what it raises
    ends the run.
    Raises ValueError for a latent that is not empty, holds several videos, or has another size.
    """
    samples = latent["samples"]
    check_latent(native_sizes(model), samples.shape)
    if samples.shape[0] != 1:
        raise ValueError(
            f"Expected the latent of one video, got {samples.shape[0]}. Queue the workflow once per video instead."
        )
    if samples.any() or "noise_mask" in latent:
        raise ValueError(
            "Expected the empty latent of FantasyID Video Conditioning, got one that holds a video or a mask. The "
            "sampler starts from noise; it cannot continue or repaint a video."
        )
    callback = progress_callback(model, settings["steps"], latent.get(PREVIEW_KEY), watch)
    video = sample(model, None, positive, negative, callback=callback, **settings)
    return {**latent, "samples": video}


def progress_callback(model, steps: int, to_rgb: Tensor | None, watch=None):
    """callback(step, clean, x, total) that moves the host's progress bar, shows the middle frame, calls `watch`.

    No picture without `to_rgb` (see `preview_map`), nor when the user has switched live previews off.
    """
    import comfy.utils
    from comfy.cli_args import LatentPreviewMethod, args

    bar = comfy.utils.ProgressBar(steps)
    with_picture = to_rgb is not None and args.preview_method != LatentPreviewMethod.NoPreviews

    def on_step(step: int, clean: Tensor, x: Tensor, total: int) -> None:
        bar.update_absolute(step + 1, total, _preview(model, clean, to_rgb) if with_picture else None)
        if watch is not None:
            watch(step, clean)

    return on_step


def _preview(model, clean: Tensor, to_rgb: Tensor):
    import latent_preview
    from PIL import Image

    picture = preview_image(model.model.process_latent_out(clean), to_rgb)  # [h, w, 3]
    pixels = (picture * 255).round().to(torch.uint8).numpy()
    return "JPEG", Image.fromarray(pixels), latent_preview.MAX_PREVIEW_RESOLUTION


def check_identity_parts(adapter: IdentityAdapter, shape: FaceShape, feats: Tensor) -> None:
    """Raises ValueError when the 3D face or the face encoder's features [1, P, C] do not belong to the adapter."""
    _check_shape(adapter, shape)
    _check_feats(adapter, feats)


def _check_shape(adapter: IdentityAdapter, shape: FaceShape) -> None:
    expected = adapter.config.vertex_counts[0]
    if shape.vertices.shape[0] != expected:
        raise ValueError(
            f"Expected a 3D face of {expected} vertices, got {shape.vertices.shape[0]}. "
            "Use a FLAME head, which is what the adapter was trained with."
        )
    if not shape.vertices.isfinite().all():
        raise ValueError("Expected finite vertices, got NaN or infinite ones. Make the 3D face again.")
    check_order(shape.vertices.cpu().numpy(), adapter.topology.template.numpy(), name="The 3D face")


def _check_feats(adapter: IdentityAdapter, feats: Tensor) -> None:
    expected = adapter.config.vit_tokens, adapter.config.vit_width
    if tuple(feats.shape[1:]) != expected:
        raise ValueError(
            f"The face encoder gives features {list(feats.shape[1:])}, the adapter expects {list(expected)}. "
            "Load the encoder that belongs to the model: EVA02_CLIP_L_336_psz14_s6B.pt for the released one."
        )
