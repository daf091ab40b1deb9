"""The person is encoded once, under the host's memory management.

Networks that are used outside sampling are held by ModelPatchers too, so that the host decides what stays on the
device. The identity branch runs in float32 whatever its weights are kept in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...identity.steering.combining import combine_tokens
from ...options import AVERAGE
from ...running.progress import counted
from .casting import with_host_layers
from .layers import encoder_patcher
from .listening import module_listening

if TYPE_CHECKING:
    from ...face.align import FaceCrop
    from ...face.encoder import FaceEncoder
    from ...identity.adapter import IdentityAdapter
    from ...shape.faceshape import FaceShape


@dataclass(frozen=True, eq=False)
class HostedFaceEncoder:
    """A face encoder whose memory the host manages (the host looks for the name `patcher`)."""

    patcher: object

    def encode(self, face: FaceCrop) -> Tensor:
        """Float32 ViT features [1, P, C] of a face crop, on the encoder's device."""
        import comfy.model_management

        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        with module_listening(self.patcher.model):
            return self.patcher.model.encode(face.pixels()).float()


def host_face_encoder(encoder: FaceEncoder) -> HostedFaceEncoder:
    """`encoder` rebuilt from the host's layers, which the host can move and offload."""
    import comfy.model_management
    import comfy.model_patcher

    twin = with_host_layers(type(encoder)(encoder.config))
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
    references: str = AVERAGE,
) -> Tensor:
    """Identity tokens float32 [1, Nid, Cid] of a person and the 3D shape, on the host's intermediate device.

    A face with further views is encoded view by view; `references` says how `combine_tokens` joins them.
    Raises ValueError when encoder or shape do not belong to the adapter, or the result is not finite.
    """
    import comfy.model_management

    adapter.check_shape(shape)  # before the encoder has worked
    feats = [encoder.encode(view) for view in counted((face, *face.others))]
    branch = load_branch(adapter)
    tokens = combine_tokens([adapter.encode(view, shape, branch) for view in feats], references)
    return tokens.to(comfy.model_management.intermediate_device())


def load_branch(adapter: IdentityAdapter, *others) -> torch.nn.Module:
    """The adapter's identity branch in float32 on the host's device; `others` are ModelPatchers to be loaded, too."""
    import comfy.model_management

    patcher = encoder_patcher(adapter)
    comfy.model_management.load_models_gpu([patcher, *others], force_full_load=True)
    return patcher.model
