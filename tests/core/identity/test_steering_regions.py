"""Masks on video tokens: how they are averaged, their soft edges, and people side by side."""

from __future__ import annotations

import math

import pytest
import torch

from fantasyid_core.config import TransformerConfig
from fantasyid_core.identity.steering.regions import Region, feathered, side_by_side, token_mask

SIZES = TransformerConfig.tiny()  # 9 frames of 64x96 pixels: 3 latent frames of 4x6 tokens


def test_a_picture_is_averaged_over_every_token_in_every_frame():
    mask = torch.zeros(64, 96)
    mask[:16, :24] = 1  # the first token wholly, its right neighbour by half
    weights = token_mask(mask, SIZES).reshape(3, 4, 6)
    expected = torch.zeros(4, 6)
    expected[0, 0], expected[0, 1] = 1, 0.5
    assert torch.equal(weights, expected.expand(3, 4, 6))


def test_frames_are_grouped_as_the_vae_groups_them():
    """The first picture by itself, then four at a time."""
    mask = torch.zeros(9, 64, 96)
    mask[0] = 1
    mask[3:5] = 1
    assert token_mask(mask, SIZES).reshape(3, -1).mean(1).tolist() == [1.0, 0.5, 0.0]


def test_a_mask_may_be_as_long_as_the_latent():
    mask = torch.tensor([0.0, 0.25, 1.0])[:, None, None].expand(3, 8, 12)
    assert token_mask(mask, SIZES).reshape(3, -1).mean(1).tolist() == [0.0, 0.25, 1.0]


def test_a_coarse_mask_is_drawn_larger_and_values_are_cut():
    weights = token_mask(torch.tensor([[-1.0, 2.0]]), SIZES).reshape(3, 4, 6)
    assert weights.min() == 0 and weights.max() == 1
    assert torch.allclose(weights, 1 - weights.flip(2), atol=1e-6)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(3), r"Expected a mask \[H, W\]"),
        (torch.zeros(0, 5), r"Expected a mask \[H, W\]"),
        (torch.full((4, 4), math.nan), "of finite numbers"),
        (torch.zeros(8, 64, 96), r"of 1, 3 \(latent\) or 9 \(video\) frames, got 8"),
    ],
)
def test_other_masks_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        token_mask(mask, SIZES)


def test_an_edge_becomes_a_straight_ramp():
    mask = torch.zeros(1, 20, 40)
    mask[..., 20:] = 1
    soft = feathered(mask, 8)
    assert torch.allclose(soft[0, 0, 16:24], torch.arange(1, 9) / 9, atol=1e-6)
    assert soft[0, :, :16].max() < 1e-6 and torch.allclose(soft[0, :, 24:], torch.ones(20, 16))
    assert torch.equal(feathered(mask, 1), mask)
    for width in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match="feather of 0 pixels or more"):
            feathered(mask, width)


@pytest.mark.parametrize(("count", "feather"), [(1, 0), (2, 0), (2, 40), (3, 60), (5, 144)])
def test_people_side_by_side_share_the_picture(count, feather):
    masks = side_by_side(count, feather)
    assert len(masks) == count and all(mask.shape == (480, 720) for mask in masks)
    assert torch.allclose(sum(masks), torch.ones(480, 720), atol=1e-5)
    for index, mask in enumerate(masks):
        assert abs(float(mask.mean()) - 1 / count) < 0.01
        assert mask[0, int(720 * (index + 0.5) / count)] == pytest.approx(1, abs=5e-3)
    if count == 2:
        soft = ((masks[0][0] > 0) & (masks[0][0] < 1)).sum()
        assert abs(int(soft) - feather) <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "1 to 22 people side by side in 720 pixels, got 0"),
        ((23,), "1 to 22 people"),
        ((2, 361), "feather of 0 to 360 pixels between 2 people, got 361"),
        ((2, -1), "feather of 0 to 360 pixels"),
        ((2, math.nan), "feather of 0 to 360 pixels"),
    ],
)
def test_regions_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        side_by_side(*arguments)


def test_regions_know_which_tokens_they_cover():
    weights = torch.zeros(1, 10, 1)
    weights[:, 2:5] = torch.tensor([0.5, 1.0, 0.25])[:, None]
    weights[:, 7] = 1e-8  # left by rounding
    region = Region.of(weights)
    assert region.rows.tolist() == [2, 3, 4] and region.row_weights.flatten().tolist() == [0.5, 1.0, 0.25]
    assert region.part(slice(1, 4)).weights.flatten().tolist() == [0.0, 0.5, 1.0]
    half = region.to(torch.device("cpu"), torch.float16)
    assert half.weights.dtype == half.row_weights.dtype == torch.float16 and half.rows.dtype == torch.int64
    assert Region.of(torch.ones(1, 10, 1)).rows is None
    assert Region.of(torch.zeros(1, 10, 1)).is_empty and not region.is_empty
