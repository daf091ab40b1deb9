"""The face encoder's tower against open_clip's full model."""

from __future__ import annotations

import re

import pytest
import torch
from evaclip import faces, relative, unsettle

from fantasyid_core.face.encoder import EvaConfig, FaceEncoder, prepare_pixels


@pytest.fixture(scope="module")
def full():
    """The image tower of open_clip's EVA02-L-14-336 with random weights; its `trunk` is timm's model."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is the encoder's reference")
    torch.manual_seed(0)
    return unsettle(open_clip.create_model("EVA02-L-14-336", pretrained=None).visual, seed=1)


def with_weights_of(full, config: EvaConfig | None = None) -> FaceEncoder:
    """Our encoder with the same weights, shared in memory."""
    encoder, weights = FaceEncoder(config), full.trunk.state_dict()
    encoder.trunk.load_state_dict({name: weights[name] for name in encoder.trunk.state_dict()}, assign=True)
    return encoder.eval()


@pytest.fixture(scope="module")
def wanted(full):
    """The outputs of all blocks, and the picture's vector."""
    states = []
    hooks = [block.register_forward_hook(lambda block, inputs, out: states.append(out)) for block in full.trunk.blocks]
    with torch.inference_mode():
        vector = full(prepare_pixels(faces(), 336))
    for hook in hooks:
        hook.remove()
    return states, vector


def test_features_equal_the_full_model(full, wanted):
    cut = with_weights_of(full)
    with torch.inference_mode():
        feats = cut.encode(faces())
    assert feats.shape == (1, 577, 1024) == (1, cut.tokens, cut.width)
    assert relative(feats, wanted[0][19]) <= 1e-6


def test_several_states_and_the_vector_equal_the_full_model(full, wanted):
    five = (3, 7, 11, 15, 19)
    encoder = with_weights_of(full, EvaConfig(depth=24, states=five, vector=768))
    with torch.inference_mode():
        states, vector = encoder.features(faces())
    for state, index in zip(states, five, strict=True):
        assert relative(state, wanted[0][index]) <= 1e-6
    assert vector.shape == (1, 768) and relative(vector, wanted[1]) <= 1e-6
    assert len(encoder.trunk.state_dict()) == len(full.trunk.state_dict())


def test_only_twenty_blocks_exist_and_take_no_memory_before_loading(full):
    cut = FaceEncoder()
    assert (cut.name, cut.image_size, len(cut.trunk.blocks)) == ("EVA02-CLIP-L-14-336", 336, 20)
    stem = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
    kept = {
        name: tensor.shape
        for name, tensor in full.trunk.state_dict().items()
        if name in stem or re.match(r"blocks\.1?\d\.", name)
    }
    assert {name: tensor.shape for name, tensor in cut.state_dict().items()} == {
        f"trunk.{name}": shape for name, shape in kept.items()
    }
    assert all(parameter.is_meta for parameter in cut.parameters())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"states": (20,)}, "states among the 20 blocks"),
        ({"states": (-1,)}, "states among the 20 blocks"),
        ({"vector": -1}, "length of the CLIP vector"),
        ({"width": 10}, "multiple of"),
        ({"depth": 0}, "positive whole numbers"),
    ],
)
def test_impossible_towers_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        EvaConfig(**changes)
