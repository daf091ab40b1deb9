"""Attaching identities to the host's MODEL: reversible, beside other packs, leaving nothing behind."""

from __future__ import annotations

import math
import weakref

import pytest
import torch
from golden import relative_error
from small import inputs_of, make_adapter, make_transformer_state

from fantasyid_core.config import TransformerConfig

SIZES = TransformerConfig.tiny(max_text_seq_length=16)
CONFIG = {name: getattr(SIZES, name) for name in TransformerConfig.__dataclass_fields__}
NOISE = torch.randn(1, *SIZES.latent_shape, generator=torch.Generator().manual_seed(0))
CONDITIONING = [[[torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(seed)), {}]] for seed in (1, 2)]


@pytest.fixture(scope="module")
def comfy_host(host):
    from fantasyid_core.host import comfy

    return comfy


@pytest.fixture(scope="module")
def model(comfy_host):
    return comfy_host.load_model(make_transformer_state(SIZES), config=CONFIG)


@pytest.fixture(scope="module")
def adapter():
    return make_adapter()


@pytest.fixture(scope="module")
def tokens(adapter):
    with torch.no_grad():
        return adapter.encode(*inputs_of(adapter))


@pytest.fixture
def run(comfy_host):
    def run(model, steps=3, **options):
        with torch.inference_mode():
            return comfy_host.sample(model, NOISE, *CONDITIONING, steps=steps, solver="ddim", **options)

    return run


def injection_of(patched):
    from comfy.patcher_extension import WrappersMP

    (wrapper,) = patched.get_wrappers(WrappersMP.APPLY_MODEL, "fantasyid")
    return wrapper


def resident(patched):
    """What is kept for sampling."""
    from fantasyid_core.host.comfy.layers import layers_of

    return layers_of(patched)


def hooks_of(model):
    return [len(block._forward_hooks) for block in model.model.diffusion_model.blocks]


def test_attach_detach_and_attach_again_leave_the_model_bit_identical(comfy_host, model, adapter, tokens, run):
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    plain = run(model)
    changed = run(comfy_host.attach(model, adapter, tokens))
    assert relative_error(changed, plain) > 1e-3
    assert torch.equal(run(model), plain)
    assert torch.equal(run(comfy_host.attach(model, adapter, tokens)), changed)
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
    assert hooks_of(model) == [0, 0]
    assert not model.wrappers.get("apply_model", {}).get("fantasyid") and not model.get_additional_models()


def test_strength_zero_is_the_plain_model_to_the_bit(comfy_host, model, adapter, tokens, run):
    assert torch.equal(run(comfy_host.attach(model, adapter, tokens, strength=0.0)), run(model))


def test_both_hosts_add_the_same(comfy_host, model, adapter, tokens):
    # The host's layers are rebuilt from its own operations; what they add is what the core's layers add.
    from fantasyid_core.host.comfy.layers import layers_of, prepare_layers, release_layers
    from fantasyid_core.identity.projections import Share

    patched = comfy_host.attach(model, adapter, tokens)
    hidden = torch.randn(2, 7, 192, generator=torch.Generator().manual_seed(3))
    prepare_layers(patched, injection_of(patched).entries, [0])
    with torch.no_grad():
        theirs = layers_of(patched)[0].forms["1"].add(None, hidden, [Share()])
        assert relative_error(theirs, adapter.injector(tokens)(1, hidden)) < 1e-6
        assert relative_error(theirs, adapter.layers[1](tokens, hidden)) < 1e-5
    release_layers(patched)
    assert layers_of(patched) == []


def test_keys_and_values_are_projected_once_per_run(comfy_host, model, adapter, tokens, run):
    """Of 50 steps with two halves of guidance the release projects them 100 times."""
    calls = []
    handles = [layer.to_kv.register_forward_hook(lambda *_: calls.append(1)) for layer in adapter.layers]
    patched = comfy_host.attach(model, adapter, tokens)
    run(patched, steps=50)
    assert len(calls) == adapter.config.injected_layers
    run(patched, steps=1)
    for handle in handles:
        handle.remove()
    assert len(calls) == 2 * adapter.config.injected_layers
    assert resident(patched) == []


@pytest.mark.parametrize("error", ["interrupt", "failure"])
def test_a_run_that_ends_early_leaves_nothing_behind(comfy_host, model, adapter, tokens, run, error):
    import comfy.model_management

    plain = run(model)
    patched = comfy_host.attach(model, adapter, tokens)
    seen = []

    def stop(step, clean, x, total):
        seen.append(step)
        assert resident(patched)
        if step == 1 and error == "interrupt":
            comfy.model_management.interrupt_current_processing()
        elif step == 1:
            raise RuntimeError("disk on fire")

    expected = comfy.model_management.InterruptProcessingException if error == "interrupt" else RuntimeError
    with pytest.raises(expected):
        run(patched, steps=8, callback=stop)
    assert seen == [0, 1]  # within one step
    assert hooks_of(model) == [0, 0] and not resident(patched)
    assert torch.equal(run(model), plain)


def test_other_packs_patches_on_the_same_model_coexist(comfy_host, model, adapter, tokens, run):
    """One pack wraps block 0's forward, another adds a wrapper of its own, whichever comes first."""
    from comfy.patcher_extension import WrappersMP

    def add_others(patcher):
        patcher = patcher.clone()
        forward = patcher.get_model_object("diffusion_model.blocks.0.forward")

        def brighter(*args, **kwargs):
            hidden, text = forward(*args, **kwargs)
            return hidden * 1.1, text

        patcher.add_object_patch("diffusion_model.blocks.0.forward", brighter)
        patcher.add_wrapper_with_key(
            WrappersMP.APPLY_MODEL, "other", lambda executor, *args, **kwargs: executor(*args, **kwargs) * 0.9
        )
        return patcher

    plain, ours = run(model), run(comfy_host.attach(model, adapter, tokens))
    others = run(add_others(model))
    first = run(comfy_host.attach(add_others(model), adapter, tokens))
    second = run(add_others(comfy_host.attach(model, adapter, tokens)))
    assert torch.equal(first, second)
    for single in (plain, ours, others):
        assert relative_error(first, single) > 1e-3
    assert torch.equal(run(model), plain)


def test_two_identities_read_the_same_hidden_states(comfy_host, model, adapter, tokens, run):
    half = comfy_host.attach(model, adapter, tokens, strength=0.5)
    twice = comfy_host.attach(half, adapter, tokens, strength=0.5)
    assert relative_error(run(twice), run(comfy_host.attach(model, adapter, tokens))) < 1e-5


def test_two_adapters_travel_together(comfy_host, model, adapter, tokens, run):
    other = make_adapter(seed=5)
    both = comfy_host.attach(comfy_host.attach(model, adapter, tokens), other, tokens)
    seen = []
    result = run(both, callback=lambda *_: seen.append(len(resident(both))))
    assert set(seen) == {2}
    assert relative_error(result, run(comfy_host.attach(model, adapter, tokens))) > 1e-3
    swapped = comfy_host.attach(comfy_host.attach(model, other, tokens), adapter, tokens)
    assert relative_error(run(swapped), result) < 1e-5


def test_the_range_limits_the_steps(comfy_host, model, adapter, tokens):
    from fantasyid_core.host.comfy.attachment import progress_of
    from fantasyid_core.sampling import make_steps

    patched = comfy_host.attach(model, adapter, tokens, start_percent=0.2, end_percent=0.6)
    (entry,) = injection_of(patched).entries
    sampling = patched.get_model_object("model_sampling")
    active = [entry.weight_at(progress_of(sampling, sampling.sigmas[step.timestep])) for step in make_steps(10)]
    assert active == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]


def test_an_empty_range_costs_nothing(comfy_host, model, adapter, tokens, run):
    patched = comfy_host.attach(model, adapter, tokens, start_percent=1.0, end_percent=1.0)
    assert torch.equal(run(patched), run(model))


def test_a_mask_confines_the_identity(comfy_host, model, adapter, tokens):
    mask = torch.zeros(64, 96)
    mask[:, :48] = 1
    patched = comfy_host.attach(model, adapter, tokens, mask=mask)
    (entry,) = injection_of(patched).entries
    weights = entry.region.weights.reshape(3, 4, 6)
    assert torch.equal(weights[..., :3], torch.ones(3, 4, 3)) and torch.equal(weights[..., 3:], torch.zeros(3, 4, 3))


def test_while_sampling_only_the_folded_layers_are_resident(comfy_host, model, adapter, tokens, run):
    import comfy.model_management

    comfy.model_management.unload_all_models()
    patched = comfy_host.attach(model, adapter, tokens)
    others = comfy.model_management.current_loaded_models[:]  # what other tests have left
    loaded, kept = [], []

    def look(*_):
        loaded.extend(
            entry.model.model for entry in comfy.model_management.current_loaded_models if entry not in others
        )
        kept.extend(resident(patched))

    run(patched, steps=1, callback=look)
    assert {id(module) for module in loaded} == {id(model.model), *(id(module) for module in kept)}
    assert len(kept) == 1 and not {"to_q", "to_kv", "to_out"} & {name.split(".")[-2] for name in kept[0].state_dict()}


def test_the_memory_is_free_after_the_run(comfy_host, model, adapter, tokens, run):
    import comfy.model_management

    comfy.model_management.unload_all_models()
    patched, kept = comfy_host.attach(model, adapter, tokens), []
    others = comfy.model_management.current_loaded_models[:]  # what other tests have left
    run(patched, steps=1, callback=lambda *_: kept.extend(weakref.ref(layers) for layers in resident(patched)))
    assert len(kept) == 1 and kept[0]() is None
    (left,) = (entry for entry in comfy.model_management.current_loaded_models if entry not in others)
    assert left.model.model is model.model


def test_layers_that_do_not_fit_stay_where_they_are(comfy_host, model, adapter, tokens, run, monkeypatch):
    """The host's low-VRAM loading: some of the folded matrices are loaded, the others are cast in every call."""
    import comfy.model_management
    import comfy.model_patcher

    patched, states = comfy_host.attach(model, adapter, tokens), []
    expected = run(patched)
    load = comfy.model_patcher.ModelPatcher.load

    def little(self, device_to=None, lowvram_model_memory=0, full_load=False, **options):
        if self.model in resident(patched):
            states.append(self.model)
            return load(self, device_to, lowvram_model_memory=0.9 * self.model_size(), full_load=False, **options)
        return load(self, device_to, lowvram_model_memory=lowvram_model_memory, full_load=full_load, **options)

    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "load", little)
    assert torch.equal(run(patched), expected)
    (layers,) = states
    assert layers.model_lowvram and 0 < layers.model_loaded_weight_memory < sum(p.nbytes for p in layers.parameters())


def test_a_step_that_the_run_did_not_foresee_is_prepared_then(comfy_host, model, adapter, tokens, run):
    """Samplers with steps between the steps may reach a range that holds none of the announced ones."""
    import comfy.samplers

    guider = comfy.samplers.CFGGuider(comfy_host.attach(model, adapter, tokens, start_percent=0.42, end_percent=0.48))
    guider.set_conds(*CONDITIONING)
    guider.set_cfg(6.0)
    sampling = guider.model_patcher.get_model_object("model_sampling")
    sigmas, between = sampling.sigmas[[999, 599, 499]], sampling.sigmas[549]
    seen = []

    def sampler(predict, x, sigmas, extra_args, **_options):
        for sigma in (sigmas[0], between, sigmas[2]):
            predict(x, sigma.expand(1), **extra_args)
            seen.append(len(resident(guider.model_patcher)))
        return x

    with torch.inference_mode():
        sampler = comfy.samplers.KSAMPLER(sampler)
        guider.sample(NOISE, torch.zeros_like(NOISE), sampler, torch.cat([sigmas, torch.zeros(1)]), seed=0)
    assert seen == [0, 1, 1] and resident(guider.model_patcher) == []


def test_outside_a_sampler_the_model_says_so(comfy_host, model, adapter, tokens):
    patched = comfy_host.attach(model, adapter, tokens)
    with pytest.raises(RuntimeError, match="runs in the host's samplers only"), torch.inference_mode():
        patched.model.apply_model(
            NOISE, torch.ones(1), torch.zeros(1, 16, *NOISE.shape[2:]), CONDITIONING[0][0][0],
            transformer_options={"wrappers": patched.wrappers},
        )  # fmt: skip
    assert hooks_of(model) == [0, 0]


def test_two_devices_share_the_work(comfy_host, model, adapter, tokens, run):
    """The host's own sampling on several GPUs, with the processor's second name as the other device."""
    import comfy.model_management

    patched = comfy_host.attach(model, adapter, tokens, schedule=[(0, 0.5), (1, 1)])
    expected = run(patched)
    clone = patched.deepclone_multigpu(new_load_device=torch.device("cpu:0"))
    clone.is_multigpu_base_clone = True
    assert clone.model is not patched.model
    patched.set_additional_models("multigpu", [clone])
    devices = []

    def look(*_):
        for patcher in (patched, *patched.get_additional_models_with_key("multigpu")):
            devices.append((patcher.load_device, *map(id, resident(patcher))))

    try:
        assert relative_error(run(patched, callback=look), expected) < 1e-5  # each half in a batch of its own
    finally:
        comfy.model_management.unload_all_models()
    assert len(set(devices)) == 2 and len({layers for _, layers in devices}) == 2
    for patcher in (patched, *patched.get_additional_models_with_key("multigpu")):
        assert resident(patcher) == []


def test_the_model_can_be_made_again(model):
    make, arguments = model.cached_patcher_init
    again = make(*arguments, disable_dynamic=True)
    for key, value in model.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], value)


def test_attaching_keeps_no_copy_of_the_adapters_weights(comfy_host, model, adapter, tokens):
    patched = comfy_host.attach(model, adapter, tokens)
    assert patched.get_additional_models() == [] and resident(patched) == []
    own = {p.data_ptr() for p in adapter.encoder.parameters()}
    assert {p.data_ptr() for p in comfy_host.encoder_patcher(adapter).model.parameters()} == own


def test_the_identity_branch_runs_on_the_host(comfy_host, adapter, tokens):
    import comfy.model_management

    patcher = comfy_host.encoder_patcher(adapter)
    comfy.model_management.load_models_gpu([patcher])
    with torch.inference_mode():
        feats, vertices = inputs_of(adapter)
        assert relative_error(patcher.model(feats, vertices), tokens) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_half_precision_models_sample_finite_latents(comfy_host, adapter, tokens, run, dtype):
    model = comfy_host.load_model(make_transformer_state(SIZES), config=CONFIG, dtype=dtype)
    patched = comfy_host.attach(model, adapter, tokens)
    assert torch.isfinite(run(patched)).all()
    assert model.model.diffusion_model.patch_embed.pos_embedding.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": math.nan}, "strength must be a finite number"),
        ({"start_percent": 1.5}, "start and end between 0 and 1, got 1.5"),
        ({"layer_weights": [1, 2, 3]}, "Expected 2 layer weights"),
        ({"tokens": torch.zeros(1, 8, 31)}, "Expected identity tokens"),
        ({"tokens": torch.full((1, 8, 32), math.nan)}, "finite identity tokens"),
        ({"mask": torch.zeros(3)}, "Expected a mask"),
        ({"adapter": make_adapter(dit_width=96)}, "made for a transformer of width 96, this model has 192"),
        ({"adapter": make_adapter(injected_layers=3)}, "3 injected layers"),
    ],
)
def test_bad_arguments_are_refused(comfy_host, model, adapter, tokens, arguments, message):
    values = {"adapter": adapter, "tokens": tokens, **arguments}
    with pytest.raises(ValueError, match=message):
        comfy_host.attach(model, **values)


def test_another_size_is_refused_in_the_middle_of_a_stock_run(comfy_host, model, adapter, tokens):
    import comfy.sample
    import comfy.samplers

    patched = comfy_host.attach(model, adapter, tokens)
    noise = torch.zeros(1, 16, 2, 8, 12)
    with pytest.raises(ValueError, match="this one size"), torch.inference_mode():
        comfy.sample.sample_custom(
            patched, noise, 6.0, comfy.samplers.sampler_object("euler"), torch.tensor([1.0, 0.0]), *CONDITIONING, noise
        )
