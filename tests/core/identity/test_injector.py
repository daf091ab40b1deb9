"""Injection: golden output, brute-force attention, weights, batches, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from golden import network_input, relative_error
from small import inputs_of, make_adapter

from fantasyid_core.identity.network.fit import layers_by_block


@pytest.fixture
def tokens(tiny_adapter):
    with torch.no_grad():
        return tiny_adapter.encode(*inputs_of(tiny_adapter))


@pytest.fixture
def hidden(tiny_adapter):
    return torch.randn(2, 10, tiny_adapter.config.dit_width, generator=torch.Generator().manual_seed(3))


def brute_force(layer, tokens, hidden):
    """The release's formula, head by head in float64."""
    layer = layer.double()
    q, kv = layer.to_q(layer.hidden_norm(hidden.double())), layer.to_kv(layer.id_norm(tokens.double()))
    width, inner = q.shape[-1] // layer.heads, q.shape[-1]
    out = torch.zeros_like(q)
    for head in range(layer.heads):
        part = slice(head * width, (head + 1) * width)
        k, v = kv[..., :inner][..., part], kv[..., inner:][..., part]
        weight = torch.softmax(q[..., part] @ k.transpose(1, 2) / math.sqrt(width), dim=-1)
        out[..., part] = weight @ v
    return layer.to_out(out)


def test_layer_attention_is_the_official_one(reference_adapter, reference_tokens, golden):
    hidden = network_input("hidden_states", (1, 24, 3072))
    with torch.no_grad():
        delta = reference_adapter.injector(reference_tokens)(0, hidden)
    assert relative_error(delta, golden["layer_attention.0"]) <= 1e-5


def test_every_layer_equals_the_formula(tokens, hidden):
    adapter = make_adapter()
    with torch.no_grad():
        injector = adapter.injector(tokens)
        got = [injector(layer, hidden) for layer in range(len(injector))]
        for layer, delta in enumerate(got):
            assert relative_error(delta, brute_force(adapter.layers[layer], tokens, hidden)) < 1e-5


def test_keys_and_values_are_projected_once(tiny_adapter, tokens, hidden):
    calls = []
    handles = [layer.to_kv.register_forward_hook(lambda *_: calls.append(1)) for layer in tiny_adapter.layers]
    with torch.no_grad():
        injector = tiny_adapter.injector(tokens)
        for _ in range(5):
            injector(0, hidden)
    for handle in handles:
        handle.remove()
    assert len(calls) == tiny_adapter.config.injected_layers


def test_strength_and_layer_weights_scale_the_delta(tiny_adapter, tokens, hidden):
    with torch.no_grad():
        plain = tiny_adapter.injector(tokens)(1, hidden)
        scaled = tiny_adapter.injector(tokens, strength=0.5, layer_weights=[0, 3])
        assert torch.allclose(scaled(1, hidden), 1.5 * plain)
        assert torch.equal(scaled(0, hidden), torch.zeros_like(hidden))
        assert torch.equal(tiny_adapter.injector(tokens, strength=0)(1, hidden), torch.zeros_like(hidden))


def test_identities_repeat_for_both_halves_of_guidance(tiny_adapter, tokens):
    two = torch.cat([tokens, tokens + 1])
    hidden = torch.randn(4, 3, tiny_adapter.config.dit_width)
    with torch.no_grad():
        stacked = tiny_adapter.injector(two)(0, hidden)
        alone = tiny_adapter.injector(two[1:])(0, hidden[3:])
    assert torch.allclose(stacked[3:], alone, atol=1e-5)
    with pytest.raises(ValueError, match="2 identities cannot be spread over a batch of 3"):
        tiny_adapter.injector(two)(0, hidden[:3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": math.nan}, "strength must be a finite number"),
        ({"strength": math.inf}, "strength must be a finite number"),
        ({"layer_weights": [1.0]}, "Expected 2 layer weights, one per injected layer, got 1"),
        ({"layer_weights": [1.0, math.nan]}, "Layer weights must be finite"),
    ],
)
def test_bad_weights_are_refused(tiny_adapter, tokens, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_adapter.injector(tokens, **arguments)


def test_tokens_of_another_adapter_are_refused(tiny_adapter, tokens):
    with pytest.raises(ValueError, match=r"Expected identity tokens \[B, .*Encode the identity again"):
        tiny_adapter.injector(tokens[..., :-1])


def test_blocks_are_injected_at_every_interval():
    assert layers_by_block(42, 1, 42) == {i: i for i in range(42)}
    assert layers_by_block(21, 2, 42) == {2 * i: i for i in range(21)}
    assert layers_by_block(21, None, 42) == layers_by_block(21, 2, 42)
    with pytest.raises(ValueError, match="21 injected layers .* 30 blocks"):
        layers_by_block(21, 2, 30)
