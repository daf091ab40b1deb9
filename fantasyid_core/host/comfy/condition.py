"""What the model is told beside the prompt: the face as the first picture, and the size of the video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...config import CONSISID, TransformerConfig
from .corrections import native_sizes
from .layers import KEY
from .preview import PREVIEW_KEY, preview_map
from .vae import encode_crop

if TYPE_CHECKING:
    from ...face.align import FaceCrop

WITHOUT_PICTURE = "fantasyid_without_picture"  # attachment of a MODEL that was trained without a first picture


def shows_parsed(model) -> bool:
    """Whether the host's MODEL is ConsisID's, loaded as such or with one of its adapters applied."""
    entries = model.get_attachment(KEY) or ()
    loaded_as = getattr(model.model, "fantasyid_variant", "")
    return loaded_as == CONSISID or any(entry.adapter.config.is_consisid for entry in entries)


def condition_video(positive, negative, vae, face: FaceCrop, model=None):
    """The face as the video's first picture: positive, negative, and an empty LATENT of the model's own size.

    Without `model` the size is that of CogVideoX-5B-I2V 1.0. The LATENT carries the map for live previews. Raises
    ValueError for a crop with its background when the model is ConsisID.
    """
    import comfy.model_management
    import node_helpers

    sizes = TransformerConfig() if model is None else native_sizes(model)
    without = model is not None and model.attachments.get(WITHOUT_PICTURE)
    if model is not None and face.parsed is None and shows_parsed(model):
        raise ValueError(
            "ConsisID is shown face and hair on white as the first picture, got the whole crop. Connect the output "
            "face of Encode Identity here."
        )
    values = {} if without else {"concat_latent_image": encode_crop(vae, face.first_image(), sizes)}
    empty = torch.zeros(1, *sizes.latent_shape, device=comfy.model_management.intermediate_device())
    latent = {"samples": empty, PREVIEW_KEY: preview_map(vae)}
    conditionings = (node_helpers.conditioning_set_values(each, values) for each in (positive, negative))
    return *conditionings, latent
