"""Identity guidance in the real host: its formula, its cost, and what it refuses."""

# ruff: noqa: F811 (fixtures of another file)
from __future__ import annotations

import pytest
import torch
from golden import relative_error
from test_attachment import (  # noqa: F401 (fixtures)
    CONDITIONING,
    NOISE,
    adapter,
    comfy_host,
    model,
    resident,
    run,
    tokens,
)


@pytest.fixture
def branches(model, monkeypatch):
    """How many videos each call of the model gets."""
    sizes, forward = [], model.model.diffusion_model.forward
    monkeypatch.setattr(
        model.model.diffusion_model,
        "forward",
        lambda x, *args, **options: (sizes.append(len(x)), forward(x, *args, **options))[1],
    )
    return sizes


def one_step(patched, cfg, comfy_host):
    """The guided prediction D of the first step."""
    seen = []
    with torch.inference_mode():
        comfy_host.sample(
            patched, NOISE, *CONDITIONING, steps=2, cfg=cfg, solver="ddim",
            callback=lambda step, clean, *_: seen.append(clean.clone()),
        )  # fmt: skip
    return seen[0]


@pytest.mark.parametrize("cfg", [1.0, 6.0])
@pytest.mark.parametrize("guidance", [0.0, 2.5])
def test_guidance_is_its_formula(comfy_host, model, adapter, tokens, branches, cfg, guidance):
    """D_uncond + cfg (D_cond - D_uncond) + (g - 1) (D_cond - D_without)."""
    with_person = comfy_host.attach(model, adapter, tokens)
    plain, cond = (one_step(patched, 1.0, comfy_host) for patched in (model, with_person))
    now = one_step(with_person, cfg, comfy_host)
    branches.clear()
    got = one_step(comfy_host.attach(model, adapter, tokens, identity_guidance=guidance), cfg, comfy_host)
    assert branches == [2 if cfg == 1 else 3] * 2  # 1.5 times the two branches, in one batch
    assert relative_error(got, now + (guidance - 1) * (cond - plain)) < 1e-5
    assert relative_error(got, now) > 1e-3


@pytest.mark.parametrize("guidance", [None, 1, 1.0])
def test_guidance_of_one_costs_nothing(comfy_host, model, adapter, tokens, run, branches, guidance):
    plain = run(comfy_host.attach(model, adapter, tokens))
    branches.clear()
    assert torch.equal(run(comfy_host.attach(model, adapter, tokens, identity_guidance=guidance)), plain)
    assert branches == [2] * 3


def test_there_is_no_third_branch_where_the_person_does_not_act(comfy_host, model, adapter, tokens, run, branches):
    run(comfy_host.attach(model, adapter, tokens, identity_guidance=2, end_percent=0.5), steps=4)
    assert branches == [3, 3, 2, 2]


def test_only_the_guided_person_is_left_out_of_the_third_branch(comfy_host, model, adapter, tokens):
    other = tokens.flip(-1)
    first = comfy_host.attach(model, adapter, other, strength=0.5)
    both = comfy_host.attach(first, adapter, tokens)
    guided = comfy_host.attach(first, adapter, tokens, identity_guidance=3)
    direction = one_step(both, 1.0, comfy_host) - one_step(first, 1.0, comfy_host)
    expected = one_step(both, 6.0, comfy_host) + 2 * direction
    assert relative_error(one_step(guided, 6.0, comfy_host), expected) < 1e-5


def test_people_with_unlike_guidance_are_refused(comfy_host, model, adapter, tokens):
    first = comfy_host.attach(model, adapter, tokens, identity_guidance=2)
    comfy_host.attach(first, adapter, tokens, identity_guidance=2)
    comfy_host.attach(first, adapter, tokens)
    with pytest.raises(ValueError, match="one identity guidance for all people who have one, got 2.0, 3.0"):
        comfy_host.attach(first, adapter, tokens, identity_guidance=3)


def stock_sample(guider, steps=3):
    import comfy.samplers

    sampling = guider.model_patcher.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", steps)
    with torch.inference_mode():
        return guider.sample(NOISE, torch.zeros_like(NOISE), comfy.samplers.sampler_object("euler"), sigmas, seed=0)


def test_a_stock_guider_is_guided_too(comfy_host, model, adapter, tokens, branches):
    import comfy.samplers

    results = []
    for guidance in (1, 2):
        guider = comfy.samplers.CFGGuider(comfy_host.attach(model, adapter, tokens, identity_guidance=guidance))
        guider.set_conds(*CONDITIONING)
        guider.set_cfg(4.0)
        results.append(stock_sample(guider))
    assert branches == [2] * 3 + [3] * 3
    assert relative_error(*results) > 1e-3


def test_a_guider_of_its_own_kind_is_refused(comfy_host, model, adapter, tokens):
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG

    patched = comfy_host.attach(model, adapter, tokens, identity_guidance=2)
    guider = Guider_DualCFG(patched)
    guider.set_conds(CONDITIONING[0], CONDITIONING[1], CONDITIONING[1])
    guider.set_cfg(4.0, 2.0)
    with pytest.raises(ValueError, match="guider with one prompt and one cfg .* got Guider_DualCFG"):
        stock_sample(guider)
    assert resident(patched) == [] and patched.get_attachment("fantasyid_guider") is None


def test_a_cfg_of_zero_is_refused(comfy_host, model, adapter, tokens, run):
    with pytest.raises(ValueError, match="needs a cfg above 0"):
        run(comfy_host.attach(model, adapter, tokens, identity_guidance=2), cfg=0.0)


@pytest.mark.parametrize("order", ["cache first", "cache last"])
def test_caching_tells_the_branches_apart(comfy_host, model, adapter, tokens, run, order):
    """With a threshold that reuses nothing, the cache changes nothing; with a high one it reuses whole steps."""
    from comfy_extras.nodes_easycache import EasyCacheNode

    def cached(threshold):
        cache = lambda patched: EasyCacheNode.execute(patched, threshold, 0.0, 1.0, False).result[0]  # noqa: E731
        attach = lambda patched: comfy_host.attach(patched, adapter, tokens, identity_guidance=2)  # noqa: E731
        return attach(cache(model)) if order == "cache first" else cache(attach(model))

    plain = run(comfy_host.attach(model, adapter, tokens, identity_guidance=2), steps=6)
    assert torch.equal(run(cached(0.0), steps=6), plain)
    assert torch.isfinite(run(cached(3.0), steps=6)).all()


def test_two_devices_share_three_branches(comfy_host, model, adapter, tokens, run):
    import comfy.model_management

    patched = comfy_host.attach(model, adapter, tokens, identity_guidance=2)
    expected = run(patched)
    clone = patched.deepclone_multigpu(new_load_device=torch.device("cpu:0"))
    clone.is_multigpu_base_clone = True
    patched.set_additional_models("multigpu", [clone])
    try:
        assert relative_error(run(patched), expected) < 1e-5
    finally:
        comfy.model_management.unload_all_models()
