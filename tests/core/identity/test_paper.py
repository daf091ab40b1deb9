"""The paper variant's config and identity branch: what each part reads, gradients, ablations, bad input."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from golden import relative_error
from paperadapter import heads, trained_adapter, untrained_adapter
from small import inputs_of, make_adapter

import fantasyid_core.identity
from fantasyid_core.config import AdapterConfig, TransformerConfig, config_from_mapping
from fantasyid_core.identity.adapter import IdentityAdapter, make_encoder, make_layers
from fantasyid_core.identity.fingerprint import adapter_fingerprint
from fantasyid_core.identity.network.spiral_vertices import Standardisation, kept_vertices
from fantasyid_core.shape import synthetic_head, synthetic_topology
from fantasyid_core.shape.topology.topology import Transform, pool
from fantasyid_core.tools.bench import stand_in_topology

SWITCHES = [{}, {"use_face": False}, {"use_vertices": False}, {"shared_injection": True}]


@pytest.fixture(scope="module")
def adapter():
    return trained_adapter()


@pytest.mark.parametrize(("switches", "count"), list(zip(SWITCHES, (42 + 4, 42, 4, 42 + 4), strict=True)), ids=str)
def test_tokens_are_as_many_as_the_config_says(switches, count):
    adapter = trained_adapter(**switches)
    tokens = adapter.encode(*inputs_of(adapter, batch=2))
    assert tokens.shape == (2, count, 192) and adapter.config.id_tokens == count
    adapter.check_tokens(tokens)


def test_the_full_size_is_that_of_the_paper():
    config = AdapterConfig.paper()
    assert (config.vertex_counts[-1], config.face_tokens, config.id_tokens, config.fusion_layers) == (314, 36, 350, 6)
    assert config.id_width == config.dit_width == 3072 and len(config.reducer_widths) == 4
    assert config.grid == TransformerConfig().frame_grid == (30, 45)
    assert AdapterConfig.paper(dit_width=192).reducer_widths[-1] == AdapterConfig.paper(dit_width=192).id_width == 192


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_configs_survive_json(switches):
    config = AdapterConfig.paper_tiny(**switches)
    assert config_from_mapping(AdapterConfig, json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdapterConfig(variant="papre"), "Expected a variant among release, paper, consisid, got 'papre'"),
        (lambda: AdapterConfig(use_face=False), "The release variant has no switches"),
        (lambda: AdapterConfig(shared_injection=True), "The release variant has no switches"),
        (lambda: AdapterConfig.paper(use_face=False, use_vertices=False), "expected use_face or use_vertices"),
        (lambda: AdapterConfig.paper(face_tokens=0), "face_tokens above 0 with use_face"),
        (lambda: AdapterConfig.paper(id_width=2048), "id_width and the last of reducer_widths 3072"),
        (lambda: AdapterConfig.paper(reducer_strides=(4, 1, 1, 1)), "reducer_strides of 1"),
        (lambda: AdapterConfig.paper(spiral_widths=(8,)), "2 spiral_widths, one per pooling"),
        (lambda: AdapterConfig.paper(grid=(30, 0)), "a grid of two numbers above 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_all_three_coordinates_count(adapter):
    feats, vertices = inputs_of(adapter)
    plain = adapter.encode(feats, vertices)
    for axis in range(3):
        scale = torch.ones(3)
        scale[axis] = 1.2
        assert relative_error(adapter.encode(feats, vertices * scale), plain) > 1e-3


def test_every_part_of_the_face_counts(adapter):
    """A change at any one place of the mesh, or of the picture, reaches the tokens."""
    feats, vertices = inputs_of(adapter)
    plain = adapter.encode(feats, vertices)
    coarse = adapter.topology.down[1].indices[1][:42]  # vertices that every level keeps
    for vertex in coarse[::10].tolist():
        moved = vertices.clone()
        moved[:, vertex] += 0.01
        assert not torch.equal(adapter.encode(feats, moved), plain)
    assert not torch.equal(adapter.encode(feats + 0.1 * torch.randn(feats.shape), vertices), plain)


@pytest.mark.parametrize("switch", ["use_face", "use_vertices"])
def test_an_ablated_input_does_not_count(switch):
    adapter = trained_adapter(**{switch: False})
    feats, vertices = inputs_of(adapter)
    tokens = adapter.encode(feats, vertices)
    other = (feats + 1, vertices) if switch == "use_face" else (feats, 1.3 * vertices)
    assert torch.equal(adapter.encode(*other), tokens)
    assert not [name for name, _ in adapter.named_parameters() if name.startswith(_PARTS[switch])]


_PARTS = {"use_face": "encoder.face_", "use_vertices": "encoder.vertex_encoder"}


def test_face_tokens_come_first(adapter):
    """Outside, both variants give them in the same order, by which the controls tell them apart."""
    feats, vertices = inputs_of(adapter)
    encoder, seen = adapter.encoder, []
    handle = encoder.reducer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    tokens = adapter.encode(feats, vertices)
    handle.remove()
    reduced = seen[0].transpose(1, 2)  # vertices first, as the paper writes it
    assert torch.equal(tokens[:, :4], reduced[:, 42:]) and torch.equal(tokens[:, 4:], reduced[:, :42])


def test_the_spiral_encoder_is_the_formula(adapter):
    """Spiral convolution as a sum over the spiral, ELU, pooling, per level; then depth code and table."""
    encoder, topology = adapter.encoder.vertex_encoder, adapter.topology
    vertices = heads(2)
    x = encoder.standardisation(vertices).double()
    for convolution, spirals, down in zip(encoder.convolutions, topology.spirals, topology.down, strict=True):
        weight = convolution.layer.weight.double().unflatten(1, (9, -1))  # [Cout, length, Cin]
        x = sum(x[:, spirals[:, step]] @ weight[:, step].T for step in range(9)) + convolution.layer.bias.double()
        x = pool(torch.where(x > 0, x, x.exp() - 1), down)
    x = x @ encoder.projection.weight.double().T + encoder.projection.bias.double()
    z = pool(pool(vertices, topology.down[0]), topology.down[1])[..., 2:].double()
    back, front = (float(value) for value in topology.template[:, 2].aminmax())
    turns = (z - back) / (front - back) * 2 * math.pi
    wavelengths = 10000 ** (torch.arange(16, dtype=torch.float64) * 2 / 32)
    code = torch.stack([(turns / wavelengths).sin(), (turns / wavelengths).cos()], dim=-1).flatten(-2)
    assert relative_error(encoder(vertices), x + code + encoder.table.double()) < 1e-5


def test_vertices_that_pooling_drops_are_not_convolved(adapter, monkeypatch):
    """Where it only picks vertices the result is the same as of convolving all; where it mixes them, all are."""
    encoder, vertices = adapter.encoder.vertex_encoder, heads(2)
    tokens, down = encoder(vertices), adapter.topology.down[0]
    kept = kept_vertices(down)
    assert torch.equal(pool(vertices, down), vertices[:, kept])
    halves = Transform(down.indices.repeat(1, 2), down.values.repeat(2) / 2, down.shape)
    mixing = Transform(torch.cat([down.indices, down.indices.roll(1, 1)[:, :1]], 1), torch.ones(163), down.shape)
    assert kept_vertices(halves) is kept_vertices(mixing) is None
    monkeypatch.setattr("fantasyid_core.identity.network.spiral_vertices.kept_vertices", lambda down: None)
    assert relative_error(encoder(vertices), tokens) < 1e-6


def test_depth_reaches_from_the_back_of_the_head_to_the_tip_of_the_nose():
    encoder = untrained_adapter().encoder.vertex_encoder
    depth = encoder.depth(synthetic_head()[0][None])
    assert depth.shape == (1, 42, 1) and 0 <= depth.min() < 0.1 and 0.6 < depth.max() <= 1


def test_standardised_vertices_have_mean_zero_and_spread_one():
    standardisation = Standardisation(synthetic_head()[0])
    people = heads(500)
    assert standardisation(people).std() > 1.2
    standardisation.fit(people)
    result = standardisation(people)
    assert result.mean(0).abs().max() < 1e-3
    typical = result.std(0)
    assert typical.max() < 1.001
    far = people.std(0) > 0.5 * people.std(0).square().mean().sqrt()  # the others barely move
    assert typical[far].min() > 0.999


def test_vertices_that_never_move_are_not_blown_up():
    standardisation = Standardisation(synthetic_head()[0])
    people = heads(50)
    people[:, 7] = people[0, 7] + 1e-6 * torch.randn(50, 3)
    standardisation.fit(people)
    assert standardisation(people)[:, 7].abs().max() < 0.1


def test_a_shape_that_nobody_has_is_led_back_to_the_nearest_that_people_have():
    """Against least squares on the shapes themselves; people stay as they are, and so does all before the fit."""
    plain, within = Standardisation(synthetic_head()[0]), Standardisation(synthetic_head()[0], components=40)
    people, others = heads(60), heads(5, seed=1)
    assert torch.equal(within(others), plain(others))
    for each in (plain, within):
        each.fit(people)
    assert relative_error(within(people), plain(people)) < 1e-4
    bent = others + 0.02 * torch.randn(others.shape, generator=torch.Generator().manual_seed(2))
    axes = plain(people).flatten(1).double()
    target = plain(bent).flatten(1).double().T
    wanted = axes.T @ torch.linalg.lstsq(axes.T, target, rcond=1e-3, driver="gelsd").solution
    assert relative_error(within(bent).flatten(1), wanted.T) < 1e-3
    assert relative_error(within(bent), plain(bent)) > 0.3
    assert int(within.components.any(1).sum()) < 40  # no more than how people differ


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        (heads(1), r"at least 2 heads \[n, 642, 3\], got \[1, 642, 3\]"),
        (heads(3)[:, :-1], r"got \[3, 641, 3\]"),
        (heads(1)[0], r"got \[642, 3\]"),
        (heads(1).expand(3, -1, -1), "heads that differ"),
        (heads(3) * math.nan, "NaN"),
        (heads(3) / 0, "infinite"),
    ],
)
def test_heads_that_give_no_spread_are_refused(vertices, message):
    adapter = untrained_adapter()
    before = adapter.encoder.vertex_encoder.standardisation.spread.clone()
    with pytest.raises(ValueError, match=message):
        adapter.fit_vertices(vertices)
    assert torch.equal(adapter.encoder.vertex_encoder.standardisation.spread, before)


def test_fitting_is_part_of_the_checkpoint():
    fitted, other = untrained_adapter(), untrained_adapter()
    fitted.fit_vertices(heads(20))
    other.load_state_dict(fitted.state_dict())
    inputs = inputs_of(fitted)
    assert torch.equal(other.encode(*inputs), fitted.encode(*inputs))
    assert not torch.equal(untrained_adapter().encode(*inputs), fitted.encode(*inputs))
    untrained_adapter(use_vertices=False).fit_vertices(heads(20))  # nothing to do


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_keeps_millimetres(dtype):
    """Coordinates are compared with the mesh before they are rounded: bf16 has half a millimetre at 10 cm."""
    exact, half = untrained_adapter(), untrained_adapter()
    for adapter in (exact, half):
        adapter.fit_vertices(heads(20))
    half = half.to(dtype)
    vertices = heads(3, seed=1)
    wanted = exact.encoder.vertex_encoder.standardisation(vertices)
    got = half.encoder.vertex_encoder.standardisation(vertices)
    assert relative_error(got, wanted) < 0.01
    assert relative_error(half.encode(*inputs_of(half)), exact.encode(*inputs_of(exact))) < 0.05


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_gradients_reach_every_trainable_tensor_after_one_step(switches):
    adapter = untrained_adapter(**switches)
    feats, vertices = inputs_of(adapter)[0].expand(2, -1, -1), heads(2)
    hidden = torch.randn(2, 48, 192, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=1e-3)

    def backward():
        optimiser.zero_grad()
        injector = adapter.injector(adapter.encode(feats, vertices))
        sum((injector.add(layer, hidden) - 1).square().mean() for layer in range(2)).backward()

    def reached():
        return {name for name, value in adapter.named_parameters() if value.grad is not None and value.grad.any()}

    backward()
    assert reached() == {name for name, _ in adapter.named_parameters() if "to_out" in name and "layers" in name}
    optimiser.step()
    backward()
    assert {name for name, _ in adapter.named_parameters()} - reached() == set()


def test_bad_input_is_refused(adapter):
    feats, vertices = inputs_of(adapter)
    with pytest.raises(ValueError, match=r"Face features: expected \[B, 17, 32\]"):
        adapter.encode(feats[:, :-1], vertices)
    with pytest.raises(ValueError, match="Vertices: expected finite numbers"):
        adapter.encode(feats, vertices * math.nan)
    with pytest.raises(ValueError, match="Expected identity tokens .* 46, 192"):
        adapter.injector(torch.zeros(1, 46, 32))


def test_another_mesh_is_refused():
    config = AdapterConfig.paper_tiny()
    with pytest.raises(ValueError, match=r"mesh of \(642, 162, 42\) vertices per level, .* has \(162, 42, 12\)"):
        make_encoder(config, synthetic_topology(3, 2))


def test_a_topology_without_a_head_is_refused():
    config = AdapterConfig.paper_tiny()
    with pytest.raises(ValueError, match="whose template has a depth, got a flat one"):
        IdentityAdapter(config, stand_in_topology(config))


def test_fingerprints_tell_variants_and_ablations_apart_and_the_releases_stays_what_it_was():
    made = [make_adapter(), *(trained_adapter(**switches) for switches in SWITCHES), trained_adapter(seed=1)]
    assert len({adapter_fingerprint(each) for each in made}) == len(made)
    # Identities that were saved before the paper variant existed name this adapter.
    assert adapter_fingerprint(make_adapter()) == "f4985367b086230c"


def test_the_release_variant_is_not_touched_by_fitting():
    adapter = make_adapter()
    before = {name: value.clone() for name, value in adapter.state_dict().items()}
    adapter.fit_vertices(heads(5))
    assert all(torch.equal(value, before[name]) for name, value in adapter.state_dict().items())


def test_one_shared_injection_is_saved_and_trained_once():
    adapter = trained_adapter(shared_injection=True, injected_layers=5)
    assert len(adapter.layers) == 5 and len({id(layer) for layer in adapter.layers}) == 1
    assert not [name for name in adapter.state_dict() if name.startswith("layers.1")]
    assert sum(p.numel() for p in adapter.layers.parameters()) == sum(p.numel() for p in adapter.layers[4].parameters())
    with pytest.raises(IndexError, match="Expected a layer of 0 to 4, got 5"):
        adapter.layers[5]


def test_parameters_at_full_size_are_those_of_the_table_in_the_docs():
    text = (Path(fantasyid_core.identity.__file__).parent / "network" / "paper_variant.md").read_text(encoding="utf-8")
    for name, count in full_size_parts().items():
        assert f"| {name} | {count:,} |" in text


def full_size_parts() -> dict[str, int]:
    config = AdapterConfig.paper()
    topology = replace(stand_in_topology(config), template=torch.randn(config.vertex_counts[0], 3))
    with torch.device("meta"):
        layer = make_layers(replace(config, injected_layers=1))
        encoder = make_encoder(config, topology)
    parts = {
        "SpiralNet++ encoder": encoder.vertex_encoder,
        "C-Abstractor": encoder.face_abstractor,
        "MLP to the fusion's width": encoder.face_mlp,
        "layer norm before the fusion": encoder.balance,
        "fusion transformer": encoder.fusion,
        "ResConv1D": encoder.reducer,
        "injection, one layer": layer,
    }
    numbers = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    branch = sum(numbers.values()) - numbers["injection, one layer"]
    layers = config.injected_layers * numbers["injection, one layer"]
    return numbers | {"injection, 42 layers": layers, "identity branch": branch, "all": branch + layers}


def test_the_release_config_is_what_it_was():
    assert asdict(AdapterConfig())["variant"] == "release" and AdapterConfig().id_tokens == 115
    assert isinstance(IdentityAdapter(AdapterConfig.tiny(), synthetic_topology()).layers, torch.nn.ModuleList)
