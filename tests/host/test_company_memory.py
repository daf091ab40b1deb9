"""Identities beside the host's ways with memory and long videos: 8 bits, partial loading, two devices, windows.

Each is compared with the same identity without it, or with its own error on the plain model, and nothing may stay
behind. On the CPU: the processor's second name `cpu:0` stands for another GPU, and low VRAM is a budget forced on
the host's loader, so layers are cast where a GPU would also copy them.
"""

# ruff: noqa: F811 (fixtures imported from other modules)
from __future__ import annotations

import pytest
import torch
from golden import relative_error
from small import make_adapter, make_transformer_state
from test_attachment import (  # noqa: F401 (fixtures)
    CONDITIONING,
    CONFIG,
    NOISE,
    SIZES,
    adapter,
    comfy_host,
    resident,
    run,
    tokens,
)
from test_company import host_module, model, nothing_stays  # noqa: F401 (fixtures)
from test_lora import load_lora, make_lora  # noqa: F401 (fixture)

FRAMES = SIZES.latent_frames
LONG = torch.randn(1, 16, 2 * FRAMES - 1, *SIZES.latent_shape[2:], generator=torch.Generator().manual_seed(4))


@pytest.fixture
def unload(comfy_host):
    import comfy.model_management

    comfy.model_management.unload_all_models()
    yield comfy.model_management.unload_all_models
    comfy.model_management.unload_all_models()


def in_8_bits(adapter):
    """The adapter as a file of 8 bits gives it: matrices in float8, all else in bfloat16."""
    small = make_adapter()
    small.load_state_dict(adapter.state_dict())
    for parameter in small.parameters():
        parameter.data = parameter.data.to(torch.float8_e4m3fn if parameter.ndim > 1 else torch.bfloat16)
    return small


def test_8_bits_cost_the_identity_no_more_than_the_model(comfy_host, adapter, tokens, run):
    """8-bit model, adapter and both against bfloat16: at most twice the plain model's own loss by its 8 bits."""
    state = make_transformer_state(SIZES)
    full = comfy_host.load_model(state, config=CONFIG, dtype=torch.bfloat16)
    small = comfy_host.load_model(state, config=CONFIG, dtype=torch.float8_e4m3fn)
    assert small.model.diffusion_model.blocks[0].q.weight.dtype == torch.float8_e4m3fn
    plain = run(full, steps=2)
    own = relative_error(run(small, steps=2), plain)
    assert 0 < own < 0.2
    expected = run(comfy_host.attach(full, adapter, tokens), steps=2)
    for base, person in ((small, adapter), (full, in_8_bits(adapter)), (small, in_8_bits(adapter))):
        result = run(comfy_host.attach(base, person, tokens), steps=2)
        error = relative_error(result, expected)
        assert 0 < error <= 2 * own
        assert relative_error(result, plain) > 4 * error  # the person is there
    assert torch.equal(run(full, steps=2), plain)


@pytest.mark.parametrize("with_lora", [False, True], ids=["identity", "identity and LoRA"])
def test_a_model_that_does_not_fit_is_loaded_in_part(
    comfy_host,
    model,
    adapter,
    tokens,
    run,
    nothing_stays,
    load_lora,
    unload,
    monkeypatch,
    with_lora,
):
    """Against the full load: to the bit, with a LoRA (then added in every call) to rounding (1e-5)."""
    import comfy.model_patcher

    load, loaded = comfy.model_patcher.ModelPatcher.load, []

    def little(self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False):
        load(self, device_to, self.model_size() // 3, force_patch_weights, full_load=False)
        loaded.append((type(self.model).__name__, self.model.model_lowvram, self.model.lowvram_patch_counter))

    with nothing_stays(model):
        patched = load_lora(model, make_lora(model))[0] if with_lora else model
        patched = comfy_host.attach(patched, adapter, tokens)
        expected = run(patched)
        unload()
        with monkeypatch.context() as patch:
            patch.setattr(comfy.model_patcher.ModelPatcher, "load", little)
            result = run(patched)
            unload()
        assert relative_error(result, expected) < 1e-5 if with_lora else torch.equal(result, expected)
        (_, layers_in_part, _), (_, base_in_part, lora_weights) = sorted(
            loaded, key=lambda each: each[0] == "CogVideoX"
        )
        assert layers_in_part and base_in_part and (lora_weights > 0) == with_lora


def test_layers_pushed_out_while_sampling_change_nothing(
    comfy_host,
    model,
    adapter,
    tokens,
    run,
    nothing_stays,
    unload,
):
    """The host frees memory in the middle of a run (another model wants it): to the bit."""
    with nothing_stays(model):
        patched = comfy_host.attach(model, adapter, tokens)
        expected, freed = run(patched), []

        def push_out(step, *_):
            if step == 0:
                for each in (patched, *patched.get_additional_models()):
                    freed.append(each.partially_unload(each.offload_device, 2**40))

        assert torch.equal(run(patched, callback=push_out), expected)
        assert len(freed) == 2 and min(freed) > 0


def test_all_resident_weights_can_be_cast_by_the_host(comfy_host, model, adapter, tokens, run):
    """A plain layer that does not fit would stay on the wrong device: every matrix lies in a layer of the host's."""
    seen = []

    def look(*_):
        for layers in resident(patched):
            seen.extend(m for m in layers.modules() if list(m.parameters(recurse=False)))

    patched = comfy_host.attach(model, adapter, tokens)
    run(patched, steps=1, callback=look)
    assert len(seen) == 2 * adapter.config.injected_layers
    assert all(hasattr(module, "comfy_cast_weights") for module in seen)


@pytest.mark.parametrize("order", ["before", "after"])
def test_each_device_has_injection_weights_of_its_own(
    comfy_host,
    model,
    adapter,
    tokens,
    run,
    nothing_stays,
    unload,
    order,
):
    """Two devices, set up before or after attaching, against one: rounding (1e-5), as each half is a batch of one."""
    with nothing_stays(model):
        expected = run(comfy_host.attach(model, adapter, tokens))
        if order == "before":
            patched = comfy_host.attach(on_two_devices(model), adapter, tokens)
        else:
            patched = on_two_devices(comfy_host.attach(model, adapter, tokens))
        assert len(patched.get_additional_models_with_key("multigpu")) == 1
        seen = {}

        def look(*_):
            for patcher in (patched, *patched.get_additional_models_with_key("multigpu")):
                (layers,) = resident(patcher)
                seen[str(patcher.load_device)] = layers.state_dict()

        assert relative_error(run(patched, callback=look), expected) < 1e-5
        unload()
    assert set(seen) == {"cpu", "cpu:0"}
    for name, weight in seen["cpu"].items():
        other = seen["cpu:0"][name]
        assert torch.equal(weight, other) and weight.data_ptr() != other.data_ptr()
    for patcher in (patched, *patched.get_additional_models_with_key("multigpu")):
        assert resident(patcher) == []


def on_two_devices(model):
    """A clone of `model` that the host's own sampling spreads over two devices."""
    patched = model.clone()
    if not hasattr(patched, "deepclone_multigpu"):
        pytest.skip("this ComfyUI cannot sample on several devices: company with it is NOT tested")
    clone = patched.deepclone_multigpu(new_load_device=torch.device("cpu:0"))
    clone.is_multigpu_base_clone = True
    patched.set_additional_models("multigpu", [clone])
    patched.match_multigpu_clones()
    return patched


def windows(model, length=FRAMES, causal_window_fix=False, **more):
    """`model` behind Context Windows (Manual) over the latent frames."""
    node = host_module("comfy_extras.nodes_context_windows").ContextWindowsManualNode
    settings = {"context_stride": 1, "closed_loop": False, "fuse_method": "pyramid", "dim": 2, "freenoise": False}
    schedule = {"context_length": length, "context_overlap": 1, "context_schedule": "standard_static"}
    return node.execute(model, **schedule, **settings, causal_window_fix=causal_window_fix, **more).result[0]


def prediction(model, noise, conditioning=CONDITIONING):
    """D of one step in the middle of the schedule, through the host's own sampling."""
    import comfy.sample
    import comfy.samplers

    found = []

    class OneStep(comfy.samplers.Sampler):
        def sample(self, guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar):
            found.append(guider(noise, sigmas[:1], **extra_args))
            return found[0]

    with torch.inference_mode():
        empty, sigmas = torch.zeros_like(noise), torch.tensor([1.0, 0.0])
        comfy.sample.sample_custom(model, noise, 6.0, OneStep(), sigmas, *conditioning, empty, disable_pbar=True)
    return found[0]


def test_a_window_as_long_as_the_video_changes_nothing(comfy_host, model, adapter, tokens, run, nothing_stays):
    """The host leaves the windows out: to the bit, whichever node comes first."""
    with nothing_stays(model):
        person = comfy_host.attach(model, adapter, tokens)
        expected = run(person)
        assert torch.equal(run(windows(person)), expected)
        assert torch.equal(run(comfy_host.attach(windows(model), adapter, tokens)), expected)


@pytest.mark.parametrize("order", ["before", "after"])
def test_windows_of_the_models_own_length_each_show_the_person(
    comfy_host,
    model,
    adapter,
    tokens,
    nothing_stays,
    order,
):
    """A longer video in the host's samplers, against its windows predicted one by one and mixed by hand: rounding."""
    mask = torch.zeros(64, 96)
    mask[:, :48] = 1
    with nothing_stays(model):
        person = comfy_host.attach(model, adapter, tokens, mask=mask)
        if order == "before":
            result = prediction(comfy_host.attach(windows(model), adapter, tokens, mask=mask), LONG)
        else:
            result = prediction(windows(person), LONG)
        first, second = prediction(person, LONG[:, :, :FRAMES]), prediction(person, LONG[:, :, FRAMES - 1 :])
        shared = (first[:, :, -1:] + second[:, :, :1]) / 2  # both windows end with their smallest weight
        expected = torch.cat([first[:, :, :-1], shared, second[:, :, 1:]], 2)
        assert relative_error(result, expected) < 1e-5
        assert relative_error(result, prediction(windows(model), LONG)) > 1e-3


def test_the_hosts_windows_keep_the_first_picture_when_asked(comfy_host, model):
    """docs/comfyui.md names the settings: then every window is told the picture of its first frame."""
    from comfy.patcher_extension import WrappersMP

    seen = []

    def watch(executor, x, t, c_concat=None, *rest, **options):
        seen.append(c_concat[:, :, 0].clone())
        return executor(x, t, c_concat, *rest, **options)

    picture = torch.randn(1, 16, 1, *SIZES.latent_shape[2:])
    conditioning = [[[text, {"concat_latent_image": picture}]] for ((text, _),) in CONDITIONING]
    patched = windows(model, cond_retain_index_list="0")
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "watch", watch)
    prediction(patched, LONG, conditioning)
    assert len(seen) == 2 and torch.equal(seen[0], seen[1]) and seen[0].abs().max() > 0


def test_windows_of_another_length_are_refused(comfy_host, model, adapter, tokens, run, nothing_stays):
    """Shorter windows, and those the host lengthens by a frame: the model knows its own number of frames only."""
    message = f"context windows of {FRAMES} latent frames.*got {{}}. Set context_length.*causal_window_fix off"
    with nothing_stays(model):
        person = comfy_host.attach(model, adapter, tokens)
        with pytest.raises(ValueError, match=message.format(FRAMES - 1)):
            run(windows(person, length=FRAMES - 1))
        with pytest.raises(ValueError, match=message.format(FRAMES + 1)):
            prediction(windows(person, causal_window_fix=True), LONG)
        assert resident(person) == []


def test_a_mask_over_frames_is_refused_in_windows(comfy_host, model, adapter, tokens, nothing_stays):
    """It is as long as one window and would be repeated in each; without windows, the same node works after it."""
    mask = torch.zeros(FRAMES, 64, 96)
    mask[0] = 1
    with nothing_stays(model):
        person = comfy_host.attach(model, adapter, tokens, mask=mask)
        windowed = windows(person)
        with pytest.raises(ValueError, match="mask of one picture for a video longer than"):
            prediction(windowed, LONG)
        assert torch.equal(prediction(windowed, NOISE), prediction(person, NOISE))
        prediction(windows(comfy_host.attach(model, adapter, tokens, mask=mask[:1])), LONG)


def test_our_sampler_refuses_a_longer_video(comfy_host, model, adapter, tokens):
    with pytest.raises(ValueError, match="knows this one size"):
        comfy_host.sample(windows(comfy_host.attach(model, adapter, tokens)), LONG, *CONDITIONING, steps=1)
