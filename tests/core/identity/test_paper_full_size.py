"""The paper variant at its full size: one layer at the real width, on one core."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from golden import relative_error

from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.identity.fixed import load_fixed
from fantasyid_core.identity.projections import Share
from fantasyid_core.identity.steering.token_weights import WeightedTokens
from fantasyid_core.tools.bench import stand_in_topology

TOKENS = TransformerConfig().video_tokens


@pytest.fixture(scope="module")
def adapter():
    config = AdapterConfig.paper(injected_layers=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        topology = replace(stand_in_topology(config), template=torch.randn(config.vertex_counts[0], 3))
        adapter = IdentityAdapter(config, topology)
        torch.nn.init.normal_(adapter.layers[0].to_out.weight, std=0.01)  # one step away from zero
    return adapter


@pytest.fixture(scope="module")
def inputs(adapter):
    generator = torch.Generator().manual_seed(1)
    shapes = (1, adapter.config.vit_tokens, adapter.config.vit_width), (1, adapter.config.vertex_counts[0], 3)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_gradients_reach_every_tensor_at_the_real_widths(adapter, inputs):
    """Two latent frames of 30x45 tokens; the weights and all of the identity branch are the real ones."""
    tokens = adapter.encode(*inputs)
    assert tokens.shape == (1, 350, 3072)
    hidden = torch.randn(1, 2 * 1350, 3072, generator=torch.Generator().manual_seed(2))
    (adapter.injector(tokens).add(0, hidden) - 1).square().mean().backward()
    missed = [name for name, value in adapter.named_parameters() if value.grad is None or not value.grad.any()]
    adapter.zero_grad()
    assert not missed and not [name for name, value in adapter.named_parameters() if value.grad is not None]


def test_one_layer_at_the_real_number_of_tokens(adapter, inputs):
    assert TOKENS == 17_550
    hidden = torch.randn(1, TOKENS, 3072, generator=torch.Generator().manual_seed(3))
    layer = adapter.layers[0]
    with torch.no_grad():
        tokens = adapter.encode(*inputs)
        delta = load_fixed(layer, [WeightedTokens(tokens)], torch.float32).add(None, hidden, [Share()])
        assert delta.shape == hidden.shape and torch.isfinite(delta).all()
        last = hidden[:, -1350:]  # frames do not see each other
        assert relative_error(delta[:, -1350:], layer(tokens, last)) < 1e-5
