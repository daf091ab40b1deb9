"""The effect meter: relative token changes, by the 3D face alone and by the picture that follows."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from fantasyid_core.face.align import TEMPLATE, FaceCrop
from fantasyid_core.shape import edit_shape, synthetic_head
from fantasyid_core.shape.edit.effect import Effect, control_effects, relative_change, without_effect

HEAD, FACES = synthetic_head(4)
DRAW = np.random.default_rng(0)
FACE = FaceCrop(DRAW.integers(0, 256, (512, 512, 3), dtype=np.uint8), np.eye(2, 3), TEMPLATE.astype(np.float32))


def see(face):
    """As features the mean colours of 16 x 16 squares."""
    squares = torch.from_numpy(face.crop.reshape(16, 32, 16, 32, 3).mean(axis=(1, 3)))
    return squares.reshape(1, 256, 3).float()


def depth_only(feats, vertices):
    return torch.cat([feats.flatten(1), 100 * vertices[..., 2]], dim=1)


def everything(feats, vertices):
    return torch.cat([feats.flatten(1), 100 * vertices.flatten(1)], dim=1)


def test_changes_are_those_of_the_tokens():
    effects = control_effects(see, everything, FACE, HEAD, FACES.numpy(), names=["mouth_width"])
    (effect,) = effects
    edited = edit_shape(HEAD, {"mouth_width": 1})
    before, after = everything(see(FACE), HEAD[None]), everything(see(FACE), edited[None])
    assert effect.vertices == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-5)
    assert effect.picture > 0


def test_an_adapter_that_reads_depth_alone_is_found_out():
    names = ["mouth_width", "nose_projection"]
    sideways, ahead = control_effects(see, depth_only, FACE, HEAD, FACES.numpy(), names=names)
    assert sideways.vertices < 0.01 * ahead.vertices and sideways.picture > 0


def test_without_a_mesh_the_picture_is_not_measured():
    (effect,) = control_effects(see, everything, FACE, HEAD, names=["age"])
    assert effect.picture is None


def test_every_control_is_measured_one_after_the_other():
    effects = control_effects(see, everything, FACE, HEAD)
    first = next(effects)
    assert isinstance(first, Effect) and len([first, *effects]) >= 30


@pytest.mark.parametrize(
    ("effect", "variant", "said"),
    [
        (Effect("a", 0.1, 0.1), "release", "^$"),
        (Effect("a", 0.0, 0.1), "release", "Works only by the picture.*Warp Face.*only the depth of a coarse version"),
        (Effect("a", 0.0, 0.1), "paper", "Works only by the picture.*adapter does not see"),
        (Effect("a", 0.0, 0.0), "release", "Without effect.*nothing that is seen in the picture"),
        (Effect("a", 0.0, None), "release", "Without effect.*Connect a shape with faces"),
    ],
)
def test_a_control_without_effect_is_explained(effect, variant, said):
    assert re.search(said, without_effect(effect, variant))


def test_bad_input_is_explained():
    with pytest.raises(ValueError, match="Unknown controls: third_eye"):
        control_effects(see, everything, FACE, HEAD, names=["third_eye"])
    with pytest.raises(ValueError, match="tokens of one shape"):
        relative_change(torch.zeros(2), torch.zeros(3))
