"""Tokens of several pictures: closed forms, and what each way does to the injection's attention."""

from __future__ import annotations

import pytest
import torch
from small import inputs_of

from fantasyid_core.identity.steering.combining import combine_tokens


def sets(count, dtype=torch.float32, shape=(1, 5, 8)):
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(shape, generator=generator).to(dtype) for _ in range(count)]


def test_average_is_the_mean_over_the_pictures():
    one, two, three = sets(3)
    assert torch.allclose(combine_tokens([one, two, three]), (one + two + three) / 3, atol=1e-7)
    assert torch.equal(combine_tokens([one], "average"), one)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_average_is_summed_in_single_precision(dtype):
    tokens = [torch.full((1, 2, 3), value, dtype=dtype) for value in (60000.0, 60000.0, 1.0, 1.0)]
    mean = combine_tokens(tokens)
    assert mean.dtype == dtype
    exact = torch.stack([each.double() for each in tokens]).mean(0).to(dtype)
    assert torch.equal(mean, exact)  # in half precision the sum would be infinite


def test_double_precision_is_kept():
    tokens = sets(4, torch.float64)
    assert torch.allclose(combine_tokens(tokens), sum(tokens) / 4, rtol=0, atol=1e-15)


def test_concatenate_lines_the_pictures_up_along_the_tokens():
    one, two = sets(2)
    joined = combine_tokens([one, two], "concatenate")
    assert joined.shape == (1, 10, 8)
    assert torch.equal(joined[:, :5], one) and torch.equal(joined[:, 5:], two)


@pytest.fixture
def scene(tiny_adapter):
    feats, vertices = inputs_of(tiny_adapter)
    with torch.no_grad():
        tokens = [tiny_adapter.encode(feats + shift, vertices) for shift in (0.0, 0.7, -1.3)]
    hidden = torch.randn(2, 10, tiny_adapter.config.dit_width, generator=torch.Generator().manual_seed(3))
    return tiny_adapter, tokens, hidden


@pytest.mark.parametrize("count", [2, 6])
def test_one_picture_given_several_times_is_injected_as_once(scene, count):
    adapter, tokens, hidden = scene
    with torch.no_grad():
        for layer in range(adapter.config.injected_layers):
            alone = adapter.injector(tokens[0])(layer, hidden)
            joined = adapter.injector(combine_tokens(tokens[:1] * count, "concatenate"))(layer, hidden)
            assert torch.allclose(joined, alone, rtol=1e-5, atol=1e-6 * float(alone.abs().max()))
            averaged = adapter.injector(combine_tokens(tokens[:1] * count))(layer, hidden)
            assert torch.allclose(averaged, alone, rtol=1e-4, atol=1e-5 * float(alone.abs().max()))


def test_concatenated_pictures_share_one_softmax_in_any_order(scene):
    adapter, tokens, hidden = scene
    layer = adapter.layers[0]
    with torch.no_grad():
        joined = adapter.injector(combine_tokens(tokens, "concatenate"))(0, hidden)
        turned = adapter.injector(combine_tokens(tokens[::-1], "concatenate"))(0, hidden)
        assert torch.allclose(joined, turned, rtol=1e-4, atol=1e-6)
        # By hand: each picture's own attention, weighed by its share of the softmax's sum.
        q = layer.to_q(layer.hidden_norm(hidden)).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        parts, sums = [], []
        for each in tokens:
            k, v = layer.project(each)
            weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).exp()
            parts.append(weights @ v)
            sums.append(weights.sum(-1, keepdim=True))
        by_hand = layer.to_out((sum(parts) / sum(sums)).transpose(1, 2).flatten(-2))
    assert torch.allclose(joined, by_hand, rtol=1e-4, atol=1e-6)
    alone = [adapter.injector(each)(0, hidden) for each in tokens]
    assert not any(torch.allclose(joined, each, rtol=1e-2) for each in alone)


@pytest.mark.parametrize(
    ("tokens", "how", "message"),
    [
        ([], "average", "at least one picture, got none"),
        (sets(2), "mean", "out of average, concatenate, got 'mean'"),
        ([*sets(1), torch.zeros(1, 5, 9)], "average", r"one shape, got \[1, 5, 8\], \[1, 5, 9\]. Encode all"),
        ([*sets(1), torch.zeros(1, 4, 8)], "concatenate", r"one shape, got \[1, 5, 8\], \[1, 4, 8\]"),
        ([torch.zeros(5, 8)] * 2, "concatenate", r"\[B, Nid, Cid\] of one shape, got \[5, 8\]"),
    ],
)
def test_bad_tokens_are_refused(tokens, how, message):
    with pytest.raises(ValueError, match=message):
        combine_tokens(tokens, how)
