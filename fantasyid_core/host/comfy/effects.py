"""The effect meter under the host's memory management: measures once how much each slider changes the identity."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ...face.consisid import load_readers, prepare_face
from ...identity.fingerprint import adapter_fingerprint
from ...shape.edit.controls import face_controls
from ...shape.edit.effect import NONE, Effect, control_effects, without_effect
from ...shape.edit.shapespace import COMPONENTS
from .encode import load_branch

if TYPE_CHECKING:
    from ...face.align import FaceCrop
    from ...identity.adapter import IdentityAdapter
    from ...shape.faceshape import FaceShape
    from ...shape.reconstruct.flame import FlameModel
    from .encode import HostedFaceEncoder

KEPT = 8  # measurements, of a few kilobytes each
# of the encoder that saw the face; by identity, since an encoder has no fingerprint, and only while it lives
_kept: WeakKeyDictionary[object, OrderedDict[str, dict[str, Effect]]] = WeakKeyDictionary()


def measure_effects(
    adapter: IdentityAdapter,
    encoder: HostedFaceEncoder,
    face: FaceCrop,
    shape: FaceShape,
    flame: FlameModel | None = None,
    folders: tuple[str | os.PathLike, ...] = (),
) -> dict[str, Effect]:
    """Control name -> its effect on the identity tokens of this person at the value 1; kept for the last people.

    Every control takes two encodings, shown in the host's progress bar; the host's interrupt ends it between two.
    The picture's part needs a shape with faces. Raises ValueError when encoder or shape do not belong to the adapter.
    """
    kept, key = _kept.setdefault(encoder.patcher.model, OrderedDict()), _key(adapter, face, shape, flame)
    if key not in kept:
        kept[key] = _measured(adapter, encoder, face, shape, flame, folders)
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]


def shown_effects(effects: dict[str, Effect], variant: str) -> dict[str, list]:
    """Effects for the browser: name -> [change by vertices, change by the picture, reason]; rounding counts as 0."""
    return {
        name: [_clean(effect.vertices), _clean(effect.picture or 0.0), without_effect(effect, variant)]
        for name, effect in effects.items()
    }


def _measured(adapter, encoder, face, shape, flame, folders) -> dict[str, Effect]:
    import comfy.model_management
    import comfy.utils

    if adapter.config.reads_shape:
        adapter.check_shape(shape)
    branch = load_branch(adapter, encoder.patcher)

    reads_shape, see = adapter.config.reads_shape, encoder.encode
    if adapter.config.is_consisid:
        readers = load_readers(folders, approximate=True)
        see = lambda view: prepare_face(view, encoder.features, readers).features  # noqa: E731

    def encode(feats, vertices):
        return adapter.encode(feats, vertices if reads_shape else None, branch).float().cpu()

    effects = control_effects(see, encode, face, shape.vertices, shape.faces, shape.seen, flame=flame)
    bar, found = comfy.utils.ProgressBar(len(face_controls(shape.vertices, flame).controls)), {}
    for effect in effects:
        comfy.model_management.throw_exception_if_processing_interrupted()
        found[effect.name] = effect
        bar.update(1)
    return found


def _key(adapter, face, shape, flame) -> str:
    parts = hashlib.sha256(adapter_fingerprint(adapter).encode())
    for array in (face.crop, face.matrix, face.points, shape.vertices.numpy(), shape.seen, shape.faces):
        parts.update(b"none" if array is None else array.tobytes())
    if flame is not None:
        parts.update(flame.shape_directions[..., :COMPONENTS].contiguous().cpu().numpy().tobytes())
    return parts.hexdigest()


def _clean(change: float) -> float:
    return 0.0 if change < NONE else round(change, 6)
