"""Encodes a person once, under the host's memory management.

ModelPatchers also hold the networks that are used outside sampling, so that the host decides what stays on the device.
The identity branch computes in float32, whatever the dtype of its weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...face.consisid import load_readers, prepare_face
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
        return self.features(face.pixels())[0][-1]

    def features(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Float32 states, each [1, P, C], and CLIP vector [1, Cv] of pixels [1, 3, S, S], as `FaceEncoder.features`."""
        import comfy.model_management

        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        with module_listening(self.patcher.model):
            states, vector = self.patcher.model.features(pixels)
        return tuple(state.float() for state in states), None if vector is None else vector.float()


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


class EncodedPerson(NamedTuple):
    """tokens: float32 [1, Nid, Cid] on the host's intermediate device. face: the same, with what the video model is
    shown of it. notes: sentences for the user. approximate: those of them that say what is missing in the tokens."""

    tokens: Tensor
    face: FaceCrop
    notes: tuple[str, ...] = ()
    approximate: tuple[str, ...] = ()


def encode_person(
    adapter: IdentityAdapter,
    encoder: HostedFaceEncoder,
    face: FaceCrop,
    shape: FaceShape | None = None,
    references: str = AVERAGE,
    folders: Iterable[str | os.PathLike] = (),
    approximate: bool = False,
) -> EncodedPerson:
    """A person, from the face and, for a model that reads one, the 3D shape.

    A face with further views is encoded view by view; `references` says how `combine_tokens` joins them. folders: the
    host's models folders, for the further networks that ConsisID sees with; approximate: to do without those that are
    missing. Raises ValueError when encoder or shape do not belong to the adapter, or the result is not finite, and
    what `load_readers` raises.
    """
    import comfy.model_management

    adapter.check_shape(shape)  # before the encoder has worked
    views, notes, missing = (face, *face.others), (), ()
    if adapter.config.is_consisid:
        readers = load_readers(folders, approximate)
        prepared = [prepare_face(view, encoder.features, readers) for view in counted(views)]
        feats, face = [view.features for view in prepared], replace(prepared[0].face, others=face.others)
        notes, missing = tuple(dict.fromkeys(note for view in prepared for note in view.notes)), readers.notes
    else:
        feats = [encoder.encode(view) for view in counted(views)]
    branch = load_branch(adapter)
    tokens = combine_tokens([adapter.encode(view, shape, branch) for view in feats], references)
    return EncodedPerson(tokens.to(comfy.model_management.intermediate_device()), face, notes, missing)


def load_branch(adapter: IdentityAdapter, *others) -> torch.nn.Module:
    """The adapter's identity branch in float32 on the host's device; `others` are ModelPatchers to be loaded, too."""
    import comfy.model_management

    patcher = encoder_patcher(adapter)
    comfy.model_management.load_models_gpu([patcher, *others], force_full_load=True)
    return patcher.model
