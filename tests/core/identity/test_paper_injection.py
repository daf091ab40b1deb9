"""Injection of the paper variant against its formula in float64, in every form and for every use."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from golden import relative_error
from paperadapter import trained_adapter, untrained_adapter
from small import inputs_of, seed_module
from torch.nn import functional as F

from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.identity.fixed import add_people, fixed_layer, load_fixed, tokens_within
from fantasyid_core.identity.injector import Injector
from fantasyid_core.identity.kept import ConvolvedLayer
from fantasyid_core.identity.network.frame_filter import FilteredAttention
from fantasyid_core.identity.projections import Share
from fantasyid_core.identity.steering.regions import Region
from fantasyid_core.identity.steering.token_weights import WeightedTokens, weight_tokens

GRID = (4, 6)
FRAME = 24
CONFIG = AdapterConfig.paper(
    dit_width=48, attention_heads=4, attention_head_dim=8, reducer_widths=(8, 8, 8, 48), grid=GRID
)
SIZES = TransformerConfig.tiny()


def make_layer(config=CONFIG, seed=0):
    return seed_module(FilteredAttention(config), seed).requires_grad_(False)


def make_tokens(count=9, seed=1, batch=1, width=48):
    return torch.randn(batch, count, width, generator=torch.Generator().manual_seed(seed))


def make_hidden(batch=2, frames=3, width=48):
    return 3 * torch.randn(batch, frames * FRAME, width, generator=torch.Generator().manual_seed(2)) + 0.5


def formula(layer, tokens, hidden, log_weights=None):
    """Attention head by head, the convolution as a sum over the nine neighbours, layer norm, projection."""
    layer = copy.deepcopy(layer).double()
    q = layer.to_q(layer.hidden_norm(hidden.double()))
    k, v = layer.to_kv(layer.id_norm(tokens.double())).chunk(2, dim=-1)
    parts = []
    for q_head, k_head, v_head in zip(*(x.chunk(layer.heads, dim=-1) for x in (q, k, v)), strict=True):
        logits = q_head @ k_head.transpose(1, 2) / math.sqrt(q_head.shape[-1])
        logits = logits if log_weights is None else logits + log_weights.double()
        parts.append(torch.softmax(logits, dim=-1) @ v_head)
    attended = torch.cat(parts, dim=-1)
    height, width = layer.grid
    frames = attended.unflatten(1, (-1, height, width))  # [B, T, h, w, C]
    padded = F.pad(frames, (0, 0, 1, 1, 1, 1))
    kernel = layer.filter.conv.weight[:, 0]
    convolved = layer.filter.conv.bias + sum(
        padded[:, :, dy : dy + height, dx : dx + width] * kernel[:, dy, dx] for dy in range(3) for dx in range(3)
    )
    filtered = attended + convolved.flatten(1, 3)
    mean, variance = filtered.mean(-1, keepdim=True), filtered.var(-1, keepdim=True, unbiased=False)
    normed = (filtered - mean) / (variance + 1e-5).sqrt()
    return (normed * layer.filter.norm.weight + layer.filter.norm.bias) @ layer.to_out.weight.T


def load(layer, people, dtype=torch.float32):
    form = load_fixed(layer, people, dtype)
    assert type(form) is ConvolvedLayer
    return form


def test_the_layer_and_its_fixed_form_are_the_formula():
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden()
    expected = formula(layer, tokens, hidden)
    form = load(layer, [WeightedTokens(tokens)])
    assert relative_error(layer(tokens, hidden), expected) < 1e-5
    assert relative_error(form.add(None, hidden, [Share()]), expected) < 1e-5
    assert relative_error(form.add(hidden, hidden, [Share()]), hidden + expected) < 1e-5


def test_frames_do_not_see_each_other_and_neighbours_do():
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden(1)
    changed = hidden.clone()
    middle = FRAME + 2 * GRID[1] + 3  # row 2, column 3 of the second frame
    changed[:, middle] += torch.linspace(-5, 5, 48)  # not the same for all channels, which the norm would take out
    reached = (layer(tokens, changed) - layer(tokens, hidden)).abs().amax(-1)[0] > 1e-7
    around = {middle + dy * GRID[1] + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    assert set(reached.nonzero().flatten().tolist()) == around


def test_an_untrained_adapter_changes_nothing_to_the_bit():
    adapter = untrained_adapter()
    hidden = torch.randn(2, 48, 192)
    with torch.no_grad():
        tokens = adapter.encode(*inputs_of(adapter))
        fixed = adapter.injector(tokens)
    for injector in (fixed, adapter.injector(adapter.encode(*inputs_of(adapter)))):
        assert torch.equal(injector.add(1, hidden), hidden)
        assert torch.equal(injector(0, hidden), torch.zeros_like(hidden))


def test_training_and_sampling_add_the_same():
    adapter = trained_adapter()
    tokens = adapter.encode(*inputs_of(adapter))
    hidden = torch.randn(2, 48, 192, generator=torch.Generator().manual_seed(4))
    fixed = adapter.injector(tokens, strength=0.7, layer_weights=[1.0, -2.0])
    trained = adapter.requires_grad_().injector(tokens, strength=0.7, layer_weights=[1.0, -2.0])
    for layer, weight in enumerate((0.7, -1.4)):
        expected = weight * formula(copy.deepcopy(adapter.layers[layer]).requires_grad_(False), tokens, hidden)
        assert relative_error(fixed(layer, hidden).detach(), expected) < 1e-5
        got = trained(layer, hidden)
        assert got.requires_grad and relative_error(got.detach(), expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_exact_as_the_layer_in_half_precision(dtype):
    config = AdapterConfig.paper(
        dit_width=256, attention_heads=4, attention_head_dim=64, reducer_widths=(8, 8, 8, 256), grid=GRID
    )
    layer = make_layer(config)
    layer.to_q.weight.mul_(4)
    layer = layer.to(dtype)
    tokens, hidden = make_tokens(40, width=256), make_hidden(1, 4, 256).to(dtype)
    expected = formula(layer, tokens, hidden)
    error = relative_error(load(layer, [WeightedTokens(tokens)], dtype).add(None, hidden, [Share()]), expected)
    assert error <= 1.2 * relative_error(layer(tokens.to(dtype), hidden), expected)
    assert error <= {torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]


def test_eight_bit_weights_work_as_the_releases_do():
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden()
    small = copy.deepcopy(layer).to(torch.float8_e4m3fn)
    wide = copy.deepcopy(small).to(torch.float32)
    assert {value.dtype for value in small.parameters()} == {torch.float8_e4m3fn}
    form = load_fixed(small, [WeightedTokens(tokens)], torch.float32)
    assert relative_error(form.add(None, hidden, [Share()]), formula(wide, tokens, hidden)) < 1e-5


def test_several_people_each_have_their_own_filter_and_add_up():
    layer, hidden = make_layer(), make_hidden()
    people = [WeightedTokens(make_tokens(seed=seed)) for seed in (1, 2, 3)]
    form = load(layer, people)
    expected = 0.5 * formula(layer, people[0].tokens, hidden) - 2 * formula(layer, people[2].tokens, hidden)
    shares = [Share(0.5), None, Share(-2.0)]
    assert relative_error(form.add(None, hidden, shares), expected) < 1e-5
    assert relative_error(form.add(hidden, hidden, shares), hidden + expected) < 1e-5
    assert form.add(hidden, hidden, [None] * 3) is hidden


def test_regions_cut_after_the_filter():
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden()
    for weights in (torch.linspace(0, 1, 72), (torch.arange(72) < 5).float()):
        region = Region.of(weights[None, :, None])
        got = load(layer, [WeightedTokens(tokens)]).add(None, hidden, [Share(2.0, region)])
        assert relative_error(got, 2 * weights[:, None] * formula(layer, tokens, hidden)) < 1e-5


@pytest.mark.parametrize(("face", "shape"), [(1, 0), (0, 1), (2, 1), (0.5, 3)])
def test_token_weights_work_as_the_releases_do(face, shape):
    config = AdapterConfig.paper_tiny()
    layer = seed_module(FilteredAttention(config)).requires_grad_(False)
    tokens, hidden = make_tokens(config.id_tokens, width=192), make_hidden(width=192)
    person = weight_tokens(config, tokens, face, shape)
    groups = torch.tensor([face] * 4 + [shape] * 42).double().log()
    expected = formula(layer, tokens, hidden, groups)
    assert relative_error(load(layer, [person]).add(None, hidden, [Share()]), expected) < 1e-5


def test_a_group_that_the_adapter_does_not_make_leaves_nothing_to_add():
    config = AdapterConfig.paper_tiny(use_face=False)
    layer = seed_module(FilteredAttention(config)).requires_grad_(False)
    hidden = make_hidden(width=192)
    nobody = weight_tokens(config, make_tokens(config.id_tokens, width=192), 1.0, 0.0)
    someone = WeightedTokens(make_tokens(5, width=192))
    if nobody is not None:
        form = load(layer, [nobody, someone])
        expected = formula(layer, someone.tokens, hidden)
        assert relative_error(form.add(None, hidden, [Share(), Share()]), expected) < 1e-5
        assert form.add(hidden, hidden, [Share(), None]) is hidden


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_chunks_are_whole_frames_and_change_nothing(frames):
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden(frames=7)
    form, shares = (
        load(layer, [WeightedTokens(tokens)]),
        [Share(1.0, Region.of(torch.linspace(0, 1, 168)[None, :, None]))],
    )
    budget = frames * FRAME * 2 * (form.floats_per_token + 48) * 4
    assert tokens_within(form, budget, hidden) == frames * FRAME
    assert tokens_within(form, 1, hidden) == FRAME
    whole = add_people(form, hidden, shares)
    assert relative_error(add_people(form, hidden, shares, budget), whole) < 1e-6
    injector = Injector([layer], tokens, budget=budget)
    assert relative_error(injector.add(0, hidden), hidden + formula(layer, tokens, hidden)) < 1e-5


def test_training_in_chunks_is_training_as_a_whole():
    layer, tokens, hidden = make_layer().requires_grad_(), make_tokens(), make_hidden(1)
    results = []
    for budget in (None, 1):
        layer.zero_grad()
        Injector([layer], tokens, budget=budget).add(0, hidden).square().sum().backward()
        results.append(layer.filter.conv.weight.grad.clone())
    assert results[0].any() and relative_error(results[1], results[0]) < 1e-5


@pytest.mark.parametrize("count", [1, 23, 25, 71])
def test_broken_frames_are_refused(count):
    layer, tokens = make_layer(), make_tokens()
    hidden = torch.randn(1, count, 48)
    message = f"whole latent frames of 4x6 video tokens .a multiple of 24., got {count} tokens"
    with pytest.raises(ValueError, match=message):
        layer(tokens, hidden)
    with pytest.raises(ValueError, match=message):
        load(layer, [WeightedTokens(tokens)]).add(None, hidden, [Share()])


def test_other_numbers_of_frames_work():
    layer, tokens = make_layer(), make_tokens()
    hidden = make_hidden(1, 5)
    whole = layer(tokens, hidden)
    window = layer(tokens, hidden[:, FRAME : 3 * FRAME])
    assert relative_error(window, whole[:, FRAME : 3 * FRAME]) < 1e-6


def test_identities_repeat_for_both_halves_of_guidance():
    layer, hidden = make_layer(), make_hidden(4)
    tokens = make_tokens(batch=2)
    got = load(layer, [WeightedTokens(tokens)]).add(None, hidden, [Share()])
    assert relative_error(got, formula(layer, tokens.repeat(2, 1, 1), hidden)) < 1e-5
    with pytest.raises(ValueError, match="2 identities cannot be spread over a batch of 3"):
        layer(tokens, hidden[:3])


def test_what_is_kept_is_what_is_counted():
    layer, people = (
        make_layer(),
        [WeightedTokens(make_tokens(seed=1)), WeightedTokens(make_tokens(seed=2), torch.zeros(9))],
    )
    form = fixed_layer(layer, people)
    assert form.weight_count == sum(value.numel() for value in form.parameters())
    assert form.weight_count == sum(value.numel() for value in form.weights(layer, people).values())


def test_a_model_of_another_grid_is_refused():
    adapter = trained_adapter()
    injector = adapter.injector(adapter.encode(*inputs_of(adapter)))
    injector.check_width(192, SIZES.frame_grid)
    for check in (lambda: adapter.check_grid(6, 4), lambda: injector.check_width(192, (6, 4))):
        with pytest.raises(ValueError, match="latent frames of 4x6 video tokens, this model's have 6x4"):
            check()
