"""The conditions beside the prompt: the face as the first frame, and the size of the video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...config import CONSISID, TransformerConfig
from ...sampling.continuation import last_frames
from .corrections import native_sizes
from .layers import KEY
from .preview import PREVIEW_KEY, preview_map
from .vae import check_vae, encode_crop, encode_frames, picture_size

if TYPE_CHECKING:
    from ...face.align import FaceCrop

BEGIN = "fantasyid_begin"  # of a LATENT: latents [1, C, T, h, w], unscaled, which the video begins with
WITHOUT_PICTURE = "fantasyid_without_picture"  # attachment of a MODEL that was trained without a first picture


def shows_parsed(model) -> bool:
    """Whether the host's MODEL is ConsisID's, loaded as such or with one of its adapters applied."""
    entries = model.get_attachment(KEY) or ()
    loaded_as = getattr(model.model, "fantasyid_variant", "")
    return loaded_as == CONSISID or any(entry.adapter.config.is_consisid for entry in entries)


def condition_video(positive, negative, vae, face: FaceCrop, model=None, video=None):
    """The face as the video's first picture: positive, negative, and an empty LATENT of the model's own size.

    Without `model` the size is that of CogVideoX-5B-I2V 1.0. The LATENT carries the map for live previews.
    video: frames [T, H, W, 3] in 0..1 to be continued. Then its last frames are what the new video begins with, and
    the first of them is the first picture. Raises ValueError for a VAE that belongs to another model, for a crop with
    its background when the model is ConsisID, and for a video that cannot be continued.
    """
    import comfy.model_management
    import node_helpers

    sizes = TransformerConfig() if model is None else native_sizes(model)
    check_vae(vae, sizes)
    without = model is not None and model.attachments.get(WITHOUT_PICTURE)
    if model is not None and face.parsed is None and shows_parsed(model):
        raise ValueError(
            "ConsisID is shown face and hair on white as the first picture, got the whole crop. Connect the output "
            "face of Encode Identity here."
        )
    empty = torch.zeros(1, *sizes.latent_shape, device=comfy.model_management.intermediate_device())
    latent = {"samples": empty, PREVIEW_KEY: preview_map(vae)}
    picture = face.first_image()
    if video is not None:
        last = last_frames(video, picture_size(vae, sizes), sizes.latent_frames)
        latent[BEGIN], picture = encode_frames(vae, last), last[:1]
    values = {} if without else {"concat_latent_image": encode_crop(vae, picture, sizes)}
    conditionings = (node_helpers.conditioning_set_values(each, values) for each in (positive, negative))
    return *conditionings, latent


def check_conditioned(model, sizes: TransformerConfig, **prompts) -> None:
    """Raises ValueError, with the name of the prompt, unless each one carries the first picture that `model` expects.

    The host fills a missing picture with zeros without a word, and the video then shows anybody.
    """
    if model.attachments.get(WITHOUT_PICTURE):
        return
    expected = (sizes.out_channels, sizes.sample_height, sizes.sample_width)
    for name, conditioning in prompts.items():
        pictures = [values.get("concat_latent_image") for _, values in conditioning]
        if any(picture is None for picture in pictures):
            raise ValueError(
                f"Expected the {name} prompt from FantasyID Video Conditioning, with the face as the first picture of "
                "the video, got one without a picture. Connect the prompt to Video Conditioning, and the output "
                f"{name} of that node to this one."
            )
        found = [(picture.shape[1], *picture.shape[-2:]) for picture in pictures]
        if wrong := [shape for shape in found if shape != expected]:
            raise ValueError(
                f"Expected a first picture of {list(expected)} (channels, height, width of the latent) for this model, "
                f"got {list(wrong[0])} in the {name} prompt. Connect this model to FantasyID Video Conditioning, too."
            )


def picture_note(patcher, conds: dict) -> str:
    """A sentence when the prompts of a run lack the first picture that the model expects, else ""; conds: of the
    host's guider, name -> what it was given."""
    if patcher.get_attachment(WITHOUT_PICTURE):
        return ""
    lacking = [name for name, values in conds.items() if any("concat_latent_image" not in each for each in values)]
    if not lacking:
        return ""
    return (
        f"The prompts ({', '.join(lacking)}) hold no first picture, so the video begins from a black one. Connect them "
        "to FantasyID Video Conditioning, and that node's outputs to this one."
    )
