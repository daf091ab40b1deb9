"""The face encoder's network against timm's and open_clip's full model."""

from __future__ import annotations

import re

import pytest
import torch
from evaclip import SMALL, faces, relative, unsettle
from torch.nn import functional as F

from fantasyid_core.face.encoder import FaceEncoder, prepare_pixels
from fantasyid_core.face.eva import EvaConfig, rotary_table, rotate


@pytest.fixture(scope="module")
def full():
    """The image tower of open_clip's EVA02-L-14-336 with random weights; its `trunk` is timm's model."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is the encoder's reference")
    torch.manual_seed(0)
    return unsettle(open_clip.create_model("EVA02-L-14-336", pretrained=None).visual, seed=1)


@pytest.fixture(scope="module")
def cut(full):
    """Our encoder with the same weights, shared in memory where the shapes allow it."""
    with torch.device("meta"):
        encoder = FaceEncoder()
    weights = full.trunk.state_dict()
    encoder.trunk.load_published_state((name, weights[name]) for name in encoder.trunk.published_state())
    return encoder


@pytest.fixture(scope="module")
def runs(full, cut):
    """Features of each."""
    caught = {}
    hook = full.trunk.blocks[19].register_forward_hook(lambda block, inputs, out: caught.update(full=out))
    with torch.inference_mode():
        full(prepare_pixels(faces(), 336))
        caught["cut"] = cut.encode(faces())
    hook.remove()
    return caught


def test_features_equal_the_full_model(cut, runs):
    assert runs["cut"].shape == (1, 577, 1024) == (1, cut.tokens, cut.width)
    assert relative(runs["cut"], runs["full"]) <= 1e-6


def test_only_twenty_blocks_exist(full, cut):
    assert (cut.name, cut.image_size, len(cut.trunk.blocks)) == ("EVA02-CLIP-L-14-336", 336, 20)
    stem = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
    kept = {
        name: tensor.shape
        for name, tensor in full.trunk.state_dict().items()
        if name in stem or re.match(r"blocks\.1?\d\.", name)
    }
    assert {name: tensor.shape for name, tensor in cut.trunk.published_state().items()} == kept
    live = sum(shape.numel() for shape in kept.values())
    padding = 20 * 2 * (2736 - 2730) * (1024 + 1)
    assert sum(parameter.numel() for parameter in cut.parameters()) == live + padding


def test_layers_come_from_the_given_operations():
    class Counting(torch.nn.Module):
        Linear, LayerNorm, Conv2d = torch.nn.Linear, torch.nn.LayerNorm, torch.nn.Conv2d

    made = []
    Counting.Linear = lambda *args, **kwargs: made.append(args) or torch.nn.Linear(*args, **kwargs)
    FaceEncoder(SMALL, Counting)
    assert len(made) == 2 * 7


def test_the_rotary_table_turns_rows_and_columns():
    config = EvaConfig.tiny()
    head = config.width // config.heads
    x = torch.randn(1, 1 + config.grid**2, config.heads, head, generator=torch.Generator().manual_seed(6))
    turned = rotate(x, rotary_table(config))
    for token, (row, column) in enumerate((r, c) for r in range(config.grid) for c in range(config.grid)):
        for pair in range(head // 2):
            place = row if pair < head // 4 else column
            step = pair % (head // 4) * 2 / (head // 2)
            angle = torch.tensor(place / config.grid * config.rope_grid / 10000**step)
            a, b = x[0, token + 1, :, 2 * pair], x[0, token + 1, :, 2 * pair + 1]
            found = turned[0, token + 1, :, 2 * pair : 2 * pair + 2].unbind(-1)
            assert torch.allclose(found[0], a * angle.cos() - b * angle.sin(), atol=1e-5)
            assert torch.allclose(found[1], b * angle.cos() + a * angle.sin(), atol=1e-5)
    assert torch.equal(turned[:, 0], x[:, 0])
    assert F.mse_loss(turned.norm(dim=-1), x.norm(dim=-1)) < 1e-10
