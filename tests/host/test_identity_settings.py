"""An artist's controls in the real host: when, where, how much of what, and several people."""

# ruff: noqa: F811 (fixtures of another file)
from __future__ import annotations

import math

import pytest
import torch
from golden import relative_error
from test_attachment import (  # noqa: F401 (fixtures)
    CONDITIONING,
    NOISE,
    SIZES,
    adapter,
    comfy_host,
    hooks_of,
    injection_of,
    model,
    resident,
    run,
    tokens,
)

from fantasyid_core.identity.folded import FoldedLayer
from fantasyid_core.identity.kept import SharedLayer
from fantasyid_core.identity.steering.combining import combine_tokens

HALVES = torch.zeros(2, 64, 96)
HALVES[0, :, :48] = 1
HALVES[1, :, 48:] = 1


@pytest.fixture(scope="module")
def other_tokens(tokens):
    return tokens.flip(-1) * 0.8


@pytest.fixture
def deltas():
    """deltas(patched, timestep) -> block -> what its hook adds to given hidden states."""

    def deltas(patched, timestep=500):
        import comfy.model_management

        added, blocks = {}, patched.model.diffusion_model.blocks
        hidden = torch.randn(1, SIZES.video_tokens, SIZES.width, generator=torch.Generator().manual_seed(9))

        class Executor:
            class_obj = patched.model

            def __call__(self, *_args):
                for index, block in enumerate(blocks):
                    for hook in block._forward_hooks.values():
                        added[index] = hook(block, (), (hidden, None))[0] - hidden

        comfy.model_management.load_models_gpu([patched])
        patched.pre_run()
        try:
            sigma = patched.get_model_object("model_sampling").sigmas[timestep].reshape(1)
            injection_of(patched)(Executor(), NOISE, sigma)
        finally:
            patched.cleanup()
        return added

    return deltas


def progress_weights(comfy_host, model, adapter, tokens, **controls):
    """The entry's weight in each of ten steps."""
    from fantasyid_core.host.comfy.attachment import progress_of
    from fantasyid_core.sampling import make_steps

    patched = comfy_host.attach(model, adapter, tokens, **controls)
    sampling = patched.get_model_object("model_sampling")
    (entry,) = injection_of(patched).entries
    return [entry.weight_at(progress_of(sampling, sampling.sigmas[step.timestep])) for step in make_steps(10)]


def test_fades_follow_the_sampling(comfy_host, model, adapter, tokens):
    weights = progress_weights(comfy_host, model, adapter, tokens, fade_in=0.5, fade_out=0.2)
    # The ten steps lie at 0, 100, 200 .. 900 of 999.
    expected = [min(1, step * 100 / 999 / 0.5, (1 - step * 100 / 999) / 0.2) for step in range(10)]
    assert weights == pytest.approx(expected)


def test_a_schedule_follows_the_sampling(comfy_host, model, adapter, tokens):
    points = [(0.0, 0.0), (0.3, 1.0), (1.0, 0.3)]
    weights = progress_weights(comfy_host, model, adapter, tokens, schedule=points)
    again = progress_weights(
        comfy_host, model, adapter, tokens,
        schedule=lambda p: p / 0.3 if p < 0.3 else 1 - (p - 0.3),
    )  # fmt: skip
    assert weights == pytest.approx(again) and weights[0] == 0 and weights[3] == pytest.approx(1, abs=1e-3)


def test_a_schedule_of_ones_changes_nothing_and_of_halves_is_half_the_strength(comfy_host, model, adapter, tokens, run):
    plain = run(comfy_host.attach(model, adapter, tokens))
    assert torch.equal(run(comfy_host.attach(model, adapter, tokens, schedule=[(0, 1), (1, 1)])), plain)
    half = run(comfy_host.attach(model, adapter, tokens, schedule=lambda progress: 0.5))
    assert torch.equal(half, run(comfy_host.attach(model, adapter, tokens, strength=0.5)))


def test_strength_is_linear_at_the_injection_and_may_be_negative(comfy_host, model, adapter, tokens, deltas):
    one, minus = (deltas(comfy_host.attach(model, adapter, tokens, strength=s)) for s in (1.0, -0.7))
    assert sorted(one) == [0, 1]
    for block in one:
        assert relative_error(minus[block], -0.7 * one[block]) < 1e-5


@pytest.mark.parametrize(
    "controls",
    [
        {"strength": 0.0},
        {"layer_weights": [0, 0]},
        {"face_weight": 0, "shape_weight": 0},
        {"mask": torch.zeros(64, 96)},
        {"start_percent": 1.0},
        {"start_percent": 0.99},
        {"schedule": [(0, 0.0)]},
        {"identity_guidance": 3.0, "strength": 0.0},
    ],
)
def test_what_never_shows_costs_nothing(comfy_host, model, adapter, tokens, run, controls, monkeypatch):
    """No layers, no hooks, no third branch; equal to the bit."""
    patched, seen = comfy_host.attach(model, adapter, tokens, **controls), []
    forward = model.model.diffusion_model.forward

    def watched(x, *args, **options):
        seen.append((len(x), resident(patched), hooks_of(model)))
        return forward(x, *args, **options)

    plain = run(model)
    monkeypatch.setattr(model.model.diffusion_model, "forward", watched)
    assert torch.equal(run(patched), plain)
    assert seen == [(2, [], [0, 0])] * 3


def test_a_layer_of_weight_zero_is_neither_prepared_nor_hooked(comfy_host, model, adapter, tokens, run, deltas):
    patched, seen = comfy_host.attach(model, adapter, tokens, layer_weights=[0, 1]), []
    run(patched, callback=lambda *_: seen.extend(resident(patched)))
    assert all(list(layers.forms) == ["1"] for layers in seen)
    assert list(deltas(patched)) == [1]


def test_masks_confine_to_the_bit_at_the_injection(comfy_host, model, adapter, tokens, deltas):
    whole = deltas(comfy_host.attach(model, adapter, tokens))
    half = deltas(comfy_host.attach(model, adapter, tokens, mask=HALVES[0]))
    for block, delta in half.items():
        delta = delta.reshape(3, 4, 6, -1)
        assert delta[:, :, 3:].abs().max() == 0
        assert relative_error(delta[:, :, :3], whole[block].reshape(3, 4, 6, -1)[:, :, :3]) < 1e-5


def test_a_feathered_mask_fades(comfy_host, model, adapter, tokens):
    (entry,) = injection_of(comfy_host.attach(model, adapter, tokens, mask=HALVES[0], feather=64)).entries
    row = entry.region.weights.reshape(3, 4, 6)[0, 0]
    assert row[0] == 1 and row[-1] == 0 and torch.all(row[:-1] > row[1:] - 1e-6)
    assert torch.allclose(row, 1 - row.flip(0), atol=0.02)


@pytest.mark.parametrize("way", ["masks", "side by side"])
def test_two_people_in_two_halves_each_get_their_own(comfy_host, model, adapter, tokens, other_tokens, deltas, way):
    people = (tokens, other_tokens)
    alone = [deltas(comfy_host.attach(model, adapter, person)) for person in people]
    patched = model
    for person, mask in zip(people, HALVES, strict=True):
        mask = mask if way == "masks" else comfy_host.SIDE_BY_SIDE
        patched = comfy_host.attach(patched, adapter, person, mask=mask)
    for block, delta in deltas(patched).items():
        left, right = delta.reshape(3, 4, 6, -1).split(3, dim=2)
        assert relative_error(left, alone[0][block].reshape(3, 4, 6, -1)[:, :, :3]) < 1e-5
        assert relative_error(right, alone[1][block].reshape(3, 4, 6, -1)[:, :, 3:]) < 1e-5


def test_people_side_by_side_move_together_when_one_more_comes(comfy_host, model, adapter, tokens):
    patched = model
    for count in (1, 2, 3):
        patched = comfy_host.attach(patched, adapter, tokens, mask=comfy_host.SIDE_BY_SIDE, feather=8)
        regions = [entry.region for entry in injection_of(patched).entries]
        if count == 1:
            assert regions == [None]
            continue
        total = sum(region.weights for region in regions)
        assert torch.allclose(total, torch.ones_like(total), atol=1e-5)
        middles = [float((r.weights.reshape(3, 4, 6)[0, 0] * torch.arange(6)).sum()) for r in regions]
        assert middles == sorted(middles)
    with pytest.raises(ValueError, match="1 to 3 people side by side in 96 pixels, got 4"):
        comfy_host.attach(patched, adapter, tokens, mask=comfy_host.SIDE_BY_SIDE)


def test_all_people_share_one_hook_per_block_and_one_projection(
    comfy_host, model, adapter, tokens, other_tokens, monkeypatch
):
    patched, seen = model, []
    for person in (tokens, other_tokens, tokens * 0.5):
        patched = comfy_host.attach(patched, adapter, person, strength=0.4)
    forward = model.model.diffusion_model.forward

    def watched(*args, **options):
        (layers,) = resident(patched)
        seen.append((hooks_of(model), [type(form) for form in layers.forms.values()], layers.people))
        return forward(*args, **options)

    monkeypatch.setattr(model.model.diffusion_model, "forward", watched)
    with torch.inference_mode():
        comfy_host.sample(patched, NOISE, *CONDITIONING, steps=1)
    assert seen == [([1, 1], [SharedLayer, SharedLayer], {0: (0, 1, 2), 1: (0, 1, 2)})]


def test_people_with_ranges_of_their_own_act_in_these_alone(comfy_host, model, adapter, tokens, other_tokens, run):
    """In every step the same as only those who show."""
    early, late = {"end_percent": 0.4}, {"start_percent": 0.5}
    both = comfy_host.attach(comfy_host.attach(model, adapter, tokens, **early), adapter, other_tokens, **late)
    states = {}
    for name, patched in (("both", both), ("early", comfy_host.attach(model, adapter, tokens, **early))):
        states[name] = []
        run(patched, steps=4, callback=lambda i, clean, *_, name=name: states[name].append(clean.clone()))
    assert relative_error(states["both"][1], states["early"][1]) < 1e-5
    assert relative_error(states["both"][3], states["early"][3]) > 1e-3


def test_concatenated_references_take_the_shared_form(comfy_host, model, adapter, tokens, run):
    """A picture given twice is the picture."""
    twice = combine_tokens([tokens] * 3, "concatenate")
    patched, seen = comfy_host.attach(model, adapter, twice), []
    result = run(patched, callback=lambda *_: seen.extend(resident(patched)))
    assert {type(form) for layers in seen for form in layers.forms.values()} == {SharedLayer}
    single = comfy_host.attach(model, adapter, tokens)
    assert relative_error(result, run(single, callback=lambda *_: seen.extend(resident(single)))) < 1e-5
    assert {type(form) for form in seen[-1].forms.values()} == {FoldedLayer}


def test_face_and_shape_are_weighted_apart(comfy_host, model, adapter, tokens, run):
    count = adapter.config.face_tokens
    face_only = run(comfy_host.attach(model, adapter, tokens, shape_weight=0))
    assert torch.equal(face_only, run(comfy_host.attach(model, adapter, tokens[:, :count])))
    shape_only = run(comfy_host.attach(model, adapter, tokens, face_weight=0))
    assert torch.equal(shape_only, run(comfy_host.attach(model, adapter, tokens[:, count:])))
    assert relative_error(face_only, shape_only) > 1e-3
    assert torch.equal(
        run(comfy_host.attach(model, adapter, tokens, face_weight=1, shape_weight=1)),
        run(comfy_host.attach(model, adapter, tokens)),
    )
    twice = torch.cat([tokens, tokens[:, :count]], dim=1)
    doubled = run(comfy_host.attach(model, adapter, tokens, face_weight=2))
    assert relative_error(doubled, run(comfy_host.attach(model, adapter, twice))) < 1e-4


def test_a_memory_budget_changes_nothing_but_rounding(comfy_host, model, adapter, tokens, run, monkeypatch):
    from fantasyid_core.identity.folded import FoldedLayer

    monkeypatch.setattr(FoldedLayer, "unit", 16)  # of 72 video tokens
    plain, seen = run(comfy_host.attach(model, adapter, tokens)), []
    add = FoldedLayer.add
    monkeypatch.setattr(
        FoldedLayer,
        "add",
        lambda form, onto, hidden, shares: seen.append(hidden.shape[1]) or add(form, onto, hidden, shares),
    )
    chunked = run(comfy_host.attach(model, adapter, tokens, memory_budget=1))
    assert set(seen) == {16, 8} and relative_error(chunked, plain) < 1e-5


def test_little_free_memory_brings_chunks(comfy_host, model, adapter, tokens, run, monkeypatch):
    from fantasyid_core.host.comfy import attachment

    budgets, add_people = [], attachment.add_people

    def watched(form, hidden, shares, budget, onto):
        budgets.append(budget)
        return add_people(form, hidden, shares, budget, onto)

    monkeypatch.setattr(attachment, "add_people", watched)
    patched = comfy_host.attach(model, adapter, tokens)
    plain = run(patched)
    assert set(budgets) == {None}
    monkeypatch.setattr(attachment, "free_memory", lambda device: 20_000)
    assert relative_error(run(patched), plain) < 1e-5
    assert budgets[-1] == 10_000


def test_too_many_people_for_the_memory_are_refused_before_sampling(
    comfy_host, model, adapter, tokens, run, monkeypatch
):
    from fantasyid_core.host.comfy import layers

    patched = comfy_host.attach(comfy_host.attach(model, adapter, tokens), adapter, tokens)
    monkeypatch.setattr(layers, "free_memory", lambda device: 10)
    with pytest.raises(RuntimeError, match="memory for 2 identities .* Attach fewer people"):
        run(patched)
    assert resident(patched) == []


def test_the_cost_is_told_before_sampling(comfy_host, model, adapter, tokens, run):
    assert comfy_host.describe_cost(model) == "No identity, 0 MiB while sampling."
    patched, kept = comfy_host.attach(model, adapter, tokens.repeat(1, 500, 1)), []
    run(patched, steps=1, callback=lambda *_: kept.extend(p.nbytes for p in resident(patched)[0].parameters()))
    assert comfy_host.describe_cost(patched) == f"1 identity, {sum(kept) / 2**20:.0f} MiB while sampling."
    assert sum(kept) > 2**20
    guided = comfy_host.attach(patched, adapter, tokens, identity_guidance=2)
    assert comfy_host.describe_cost(guided).startswith("2 identities, ")
    assert comfy_host.describe_cost(guided).endswith("1.5 times the model's work (twice at cfg 1).")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_percent": 0.6, "end_percent": 0.5}, "end after the start, got start 0.6 and end 0.5"),
        ({"fade_in": -1}, "fades between 0 and 1"),
        ({"schedule": [(0.5, 1), (0.1, 1)]}, "in order"),
        ({"face_weight": -1}, "weights of face and shape of 0 or more"),
        ({"mask": torch.zeros(5, 64, 96)}, r"1, 3 \(latent\) or 9 \(video\) frames, got 5"),
        ({"mask": "left"}, "Expected a region among everywhere, side by side, got 'left'"),
        ({"mask": HALVES[0], "feather": -3}, "feather of 0 pixels or more, got -3"),
        ({"identity_guidance": math.nan}, "Identity guidance must be a finite number"),
        ({"memory_budget": 0}, "memory budget in bytes, above 0"),
    ],
)
def test_bad_controls_are_refused(comfy_host, model, adapter, tokens, arguments, message):
    with pytest.raises(ValueError, match=message):
        comfy_host.attach(model, adapter, tokens, **arguments)
