"""The folded and the shared form of a layer against its formula in float64, for every way they are used."""

from __future__ import annotations

import copy
import math
import weakref

import pytest
import torch
from golden import relative_error
from linearlayers import watch_linear_layers
from small import seed_module

from fantasyid_core.config import AdapterConfig
from fantasyid_core.identity import projections
from fantasyid_core.identity.fixed import add_people, fixed_layer, load_fixed, tokens_within
from fantasyid_core.identity.folded import FoldedLayer
from fantasyid_core.identity.injector import Injector
from fantasyid_core.identity.kept import SharedLayer
from fantasyid_core.identity.network.attention import LayerAttention
from fantasyid_core.identity.projections import Share
from fantasyid_core.identity.steering.regions import Region
from fantasyid_core.identity.steering.token_weights import WeightedTokens

CONFIG = AdapterConfig(dit_width=48, attention_heads=4, attention_head_dim=24, id_width=32)
FULL = AdapterConfig()
COUNT = 9  # tokens of one person: folded is the cheaper form up to 12 of them


def make_layer(config=CONFIG, seed=0):
    return seed_module(LayerAttention(config), seed).requires_grad_(False)


def make_tokens(count=COUNT, seed=1, batch=1, width=CONFIG.id_width):
    return torch.randn(batch, count, width, generator=torch.Generator().manual_seed(seed))


def make_hidden(batch=2, count=21, width=CONFIG.dit_width):
    return 3 * torch.randn(batch, count, width, generator=torch.Generator().manual_seed(2)) + 0.5


def formula(layer, tokens, hidden, log_weights=None):
    """The release's formula, written out, in float64."""
    layer = copy.deepcopy(layer).double()
    q = layer.to_q(layer.hidden_norm(hidden.double()))
    k, v = layer.to_kv(layer.id_norm(tokens.double())).chunk(2, dim=-1)
    q, k, v = (x.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for x in (q, k, v))
    logits = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    if log_weights is not None:
        logits = logits + log_weights.double()
    return layer.to_out((torch.softmax(logits, dim=-1) @ v).transpose(1, 2).flatten(2))


def make_form(kind, layer, people, dtype=torch.float32):
    with torch.device("meta"):
        form = kind(layer, people).requires_grad_(False)
    form.load_state_dict({k: v.to(dtype) for k, v in form.weights(layer, people).items()}, assign=True)
    return form


@pytest.fixture(params=[FoldedLayer, SharedLayer])
def kind(request):
    return request.param


def test_both_forms_are_the_formula(kind):
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden()
    form = make_form(kind, layer, [WeightedTokens(tokens)])
    expected = formula(layer, tokens, hidden)
    assert relative_error(form.add(None, hidden, [Share()]), expected) < 1e-6
    assert relative_error(form.add(hidden, hidden, [Share()]), hidden + expected) < 1e-6


def test_at_the_real_sizes_folded_is_the_formula_to_five_digits():
    layer, tokens = make_layer(FULL), make_tokens(FULL.id_tokens, width=FULL.id_width)
    hidden = make_hidden(1, 64, FULL.dit_width)
    form = load_fixed(layer, [WeightedTokens(tokens)], torch.float32)
    assert isinstance(form, FoldedLayer)
    with torch.no_grad():
        delta = form.add(None, hidden, [Share()])
    assert relative_error(delta, formula(layer, tokens, hidden)) <= 3e-6  # processors add in other orders
    assert relative_error(delta, layer(tokens, hidden)) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_exact_as_the_layer_in_half_precision(kind, dtype):
    """Against float64, with sharp attention and a large part that all logits share."""
    layer = make_layer(AdapterConfig(dit_width=256, attention_heads=4, attention_head_dim=64, id_width=128))
    layer.to_q.weight.mul_(6)
    layer = layer.to(dtype)
    tokens = make_tokens(40, width=128) + 2 * make_tokens(1, seed=5, width=128)
    hidden = make_hidden(1, 200, 256).to(dtype)
    hidden[..., 7] += 60
    expected = formula(layer, tokens, hidden)
    form = make_form(kind, layer, [WeightedTokens(tokens)], dtype)
    error = relative_error(form.add(None, hidden, [Share()]), expected)
    unfolded = relative_error(layer(tokens.to(dtype), hidden), expected)
    assert error <= 1.1 * unfolded
    assert error <= {torch.float16: 2e-3, torch.bfloat16: 1.5e-2}[dtype]


def test_several_people_add_up(kind):
    layer, hidden = make_layer(), make_hidden()
    people = [WeightedTokens(make_tokens(seed=seed)) for seed in (1, 2, 3)]
    shares = [Share(0.5), None, Share(-2.0)]
    expected = 0.5 * formula(layer, people[0].tokens, hidden) - 2 * formula(layer, people[2].tokens, hidden)
    form = make_form(kind, layer, people)
    assert relative_error(form.add(None, hidden, shares), expected) < 1e-6
    assert relative_error(form.add(hidden, hidden, shares), hidden + expected) < 1e-6
    assert form.add(hidden, hidden, [None] * 3) is hidden


def test_a_batch_of_people_is_spread_over_both_halves_of_guidance():
    layer, hidden = make_layer(), make_hidden(4)
    tokens = make_tokens(batch=2)
    form = load_fixed(layer, [WeightedTokens(tokens)], torch.float32)
    delta = form.add(None, hidden, [Share()])
    assert relative_error(delta, formula(layer, tokens.repeat(2, 1, 1), hidden)) < 1e-6
    with pytest.raises(ValueError, match="One identity is folded at a time"):
        FoldedLayer(layer, [WeightedTokens(tokens)])


@pytest.mark.parametrize(
    ("batches", "counts", "kind"),
    [
        ([1], [115], FoldedLayer),
        ([1], [133], FoldedLayer),  # D*I / (D*H - I) = 133.57
        ([1], [134], SharedLayer),
        ([1], [230], SharedLayer),  # two concatenated references
        ([1, 1], [115, 115], SharedLayer),
        ([1, 1], [36, 79], FoldedLayer),
        ([2], [115], SharedLayer),
    ],
)
def test_the_cheaper_form_is_taken(batches, counts, kind):
    with torch.device("meta"):
        layer = LayerAttention(FULL)
        people = [WeightedTokens(torch.empty(b, n, FULL.id_width)) for b, n in zip(batches, counts, strict=True)]
        form = fixed_layer(layer, people)
    assert type(form) is kind


def test_the_forms_need_little_memory():
    """Of 42 layers in one dtype: the release's one person 54 %, and people of the shared form hardly more each."""
    with torch.device("meta"):
        layer = LayerAttention(FULL)

        def share(people):
            people = [WeightedTokens(torch.empty(1, FULL.id_tokens, FULL.id_width))] * people
            form = fixed_layer(layer, people)
            assert form.weight_count == sum(p.numel() for p in form.parameters())
            return form.weight_count / whole

        whole = sum(p.numel() for p in layer.parameters())
        assert 0.53 < share(1) <= 0.55
        assert share(2) < 0.65 and share(6) - share(2) < 4 * 0.025


def test_weights_of_tokens_are_how_often_they_are_there(kind):
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden()
    weights = torch.zeros(COUNT)
    weights[2] = math.log(2)
    form = make_form(kind, layer, [WeightedTokens(tokens, weights), WeightedTokens(tokens)])
    twice = torch.cat([tokens, tokens[:, 2:3]], dim=1)
    assert relative_error(form.add(None, hidden, [Share(), None]), formula(layer, twice, hidden)) < 1e-6
    assert relative_error(form.add(None, hidden, [None, Share()]), formula(layer, tokens, hidden)) < 1e-6


@pytest.mark.parametrize("covered", [0, 5, 20, 21])
def test_a_region_confines_to_the_bit(kind, covered):
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden()
    weights = torch.zeros(1, 21, 1)
    weights[:, :covered] = torch.linspace(0.2, 1, max(covered, 1))[:covered, None]
    region = Region.of(weights)
    assert (region.rows is None) == (covered >= 20)
    form = make_form(kind, layer, [WeightedTokens(tokens)])
    got = form.add(hidden, hidden, [Share(0.7, region)])
    assert torch.equal(got[:, covered:], hidden[:, covered:])
    assert relative_error(got, hidden + 0.7 * weights * formula(layer, tokens, hidden)) < 1e-6
    delta = form.add(None, hidden, [Share(0.7, region)])
    assert torch.allclose(hidden + delta, got, atol=1e-5)


def test_only_the_tokens_of_a_region_are_computed(monkeypatch):
    seen = []
    layer, hidden = make_layer(), make_hidden()
    weights = torch.zeros(1, 21, 1)
    weights[:, 3:7] = 1
    form = make_form(FoldedLayer, layer, [WeightedTokens(make_tokens())])
    watch_linear_layers(monkeypatch, seen)
    form.add(hidden, hidden, [Share(1.0, Region.of(weights))])
    assert seen == [4, 4]


def test_chunks_give_the_same_and_stay_within_the_budget(kind, monkeypatch):
    layer, hidden = make_layer(), make_hidden(2, 700)
    form = make_form(kind, layer, [WeightedTokens(make_tokens()), WeightedTokens(make_tokens(seed=4))])
    weights = torch.rand(1, 700, 1, generator=torch.Generator().manual_seed(0)).round()
    shares = [Share(0.5), Share(1.0, Region.of(weights))]
    whole = add_people(form, hidden, shares)
    seen = []
    watch_linear_layers(monkeypatch, seen)
    per_token = 2 * 4 * (form.floats_per_token + 48)
    for budget, chunk in ((1, 256), (300 * per_token, 256), (512 * per_token, 512)):
        seen.clear()
        assert tokens_within(form, budget, hidden) == chunk
        parts = add_people(form, hidden, shares, budget)
        assert relative_error(parts, whole) < 1e-6  # within rounding
        assert max(seen) == chunk
    seen.clear()
    assert torch.equal(add_people(form, hidden, shares, 10**9), whole) and max(seen) == 700


def test_gradients_reach_the_tokens_the_layer_and_the_video():
    layer, tokens, hidden = make_layer(), make_tokens().requires_grad_(), make_hidden().requires_grad_()
    layer.requires_grad_(True)
    leaves = [tokens, hidden, layer.to_kv.weight, layer.to_q.weight]
    expected = torch.autograd.grad(layer(tokens, hidden).square().sum(), leaves)
    got = torch.autograd.grad(Injector([layer], tokens)(0, hidden).square().sum(), leaves)
    for ours, theirs in zip(got, expected, strict=True):
        assert relative_error(ours, theirs) < 1e-5


def test_gradients_reach_the_video_through_the_forms(kind):
    layer, tokens, hidden = make_layer(), make_tokens(), make_hidden().requires_grad_()
    (expected,) = torch.autograd.grad((hidden + layer(tokens, hidden)).square().sum(), hidden)
    form = make_form(kind, layer, [WeightedTokens(tokens)])
    (got,) = torch.autograd.grad(add_people(form, hidden, [Share()]).square().sum(), hidden)
    assert relative_error(got, expected) < 1e-5


def test_fixing_a_layer_leaves_its_gradients_on():
    layer = make_layer().requires_grad_(True)
    person = WeightedTokens(make_tokens())
    for people in ([person], [person] * 9):  # folded, and kept, which takes projections of the layer as they are
        load_fixed(layer, people, torch.float32)
        assert all(parameter.requires_grad for parameter in layer.parameters())


def test_the_injector_keeps_no_layer():
    layers = [make_layer(seed=seed) for seed in (0, 1)]
    injector = Injector(layers, make_tokens())
    alive = [weakref.ref(layer) for layer in layers]
    del layers
    assert [ref() for ref in alive] == [None, None] and len(injector) == 2


def test_hidden_states_are_left_as_they_are(kind):
    layer, hidden = make_layer(), make_hidden()
    before = hidden.clone()
    form = make_form(kind, layer, [WeightedTokens(make_tokens()), WeightedTokens(make_tokens(seed=3))])
    with torch.no_grad():
        form.add(hidden, hidden, [Share(), Share(0.5, Region.of(torch.ones(1, 21, 1)))])
    assert torch.equal(hidden, before)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_computed_as_a_convolution_where_that_is_faster(bias, monkeypatch):
    """On a CPU with oneDNN, in float32, without gradients; the result is the same, and lies in memory as it did."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch is without oneDNN: the faster way is NOT tested; install the usual build")
    layer, x, called = torch.nn.Linear(48, 20, bias=bias), make_hidden(2, 21), []
    conv2d = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *given: called.append(1) or conv2d(*given))
    expected = layer(x).detach()
    with torch.no_grad():
        got = projections.linear(layer, x)
        assert called and got.is_contiguous() and relative_error(got, expected) < 1e-6
        called.clear()
        projections.linear(layer.bfloat16(), x.bfloat16())
    assert projections.linear(layer.float(), x).requires_grad and not called
