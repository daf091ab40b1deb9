"""The identity under every mechanism of diffusers, alone and in pairs: near the exact video, and without a trace."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack

import pytest
import torch
from small import inputs_of, make_adapter, make_transformer_state

from fantasyid_core.config import TransformerConfig
from fantasyid_core.host.diffusers import attach, load_transformer, rotary_table
from fantasyid_core.host.diffusers.mechanisms import (
    FASTER,
    FIRST_BLOCK,
    MAG,
    PYRAMID,
    TAYLOR,
    Cache,
    Clock,
    cache_of,
    cached,
    calibrated,
    check_cache,
    compiled,
    stored_in_8_bits,
)
from fantasyid_core.machine.sizes import stays_whole
from fantasyid_core.sampling import make_steps, sample

LAYERS, STEPS = 3, 10
# Relative difference of the latents to the exact video's, of a random network whose steps differ more than a trained
# one's; measured with a third of it.
TOLERANCE = {FIRST_BLOCK: 0.3, FASTER: 0.3, PYRAMID: 0.3, TAYLOR: 0.3, MAG: 0.3, "8 bits": 0.2, "compiled": 1e-5}


@pytest.fixture(scope="module")
def sizes():
    return TransformerConfig.tiny(num_layers=LAYERS, max_text_seq_length=12)


@pytest.fixture(scope="module")
def transformer(sizes):
    return load_transformer(make_transformer_state(sizes), {"max_text_seq_length": 12, **vars(sizes)})


@pytest.fixture(scope="module")
def identity(sizes):
    adapter = make_adapter(injected_layers=LAYERS, dit_width=sizes.width, interval=1)
    with torch.no_grad():
        tokens = adapter.encode(*inputs_of(adapter))
    return lambda strength: adapter.injector(tokens, strength)


def video(transformer, sizes, injector=None, cache=None, eight_bits=False, compile=False):
    """Latents of a short run, the mechanisms around it as in the pipeline."""
    channels, frames, height, width = sizes.latent_shape
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1, frames, channels, height, width, generator=draw)
    picture = torch.randn(1, frames, sizes.in_channels - channels, height, width, generator=draw)
    text = torch.randn(2, sizes.max_text_seq_length, sizes.text_embed_dim, generator=draw)
    rotary, clock = rotary_table(sizes, torch.device("cpu")), Clock()

    def denoise(x, step):
        clock.timestep = step.timestep
        seen = torch.cat([x, picture], dim=2).repeat(2, 1, 1, 1, 1)
        times = torch.full((2,), step.timestep)
        given = {"hidden_states": seen, "encoder_hidden_states": text, "timestep": times}
        v = transformer(**given, image_rotary_emb=rotary, return_dict=False)[0]
        negative, positive = v.chunk(2)
        return step.clean_from_velocity(x, negative + 6 * (positive - negative))

    with torch.inference_mode(), ExitStack() as stack:
        if eight_bits:
            stack.enter_context(stored_in_8_bits(transformer, torch.float32))
        if injector is not None:
            stack.enter_context(attach(transformer, injector, inside=True))
        stack.enter_context(cached(transformer, cache, STEPS, clock))
        if compile:
            stack.enter_context(compiled(transformer, "eager"))
        return sample(denoise, x, make_steps(STEPS), "ddim")


def state_of(transformer) -> tuple:
    """What a mechanism may not change: weights by their hash and dtype, hooks, and what modules compute with."""
    digest = hashlib.sha256()
    for name, value in transformer.state_dict().items():
        digest.update(f"{name} {value.dtype}".encode() + value.contiguous().numpy().tobytes())
    traces = [
        (len(part._forward_hooks), len(part._forward_pre_hooks), "forward" in vars(part),
         hasattr(part, "_diffusers_hook"),
         part._compiled_call_impl is None)
        for part in transformer.modules()
    ]  # fmt: skip
    return digest.hexdigest(), traces, transformer.is_cache_enabled


@pytest.fixture(scope="module")
def ratios(transformer, sizes, identity):
    with calibrated(transformer, STEPS) as measured:
        video(transformer, sizes)
    return tuple(measured)


def mechanism(name, ratios) -> dict:
    made = {
        "8 bits": {"eight_bits": True},
        "compiled": {"compile": True},
        FIRST_BLOCK: {"cache": Cache(FIRST_BLOCK, 0.2)},
        MAG: {"cache": Cache(MAG, 0.1, ratios=ratios)},
    }
    return made.get(name) or {"cache": Cache(name, every=2)}


def relative(a, b) -> float:
    return float((a - b).norm() / b.norm())


PAIRS = [(FIRST_BLOCK, "8 bits"), (PYRAMID, "8 bits"), (FIRST_BLOCK, "compiled"), ("8 bits", "compiled")]


@pytest.mark.parametrize("names", [*((name,) for name in TOLERANCE), *PAIRS], ids=" and ".join)
def test_the_identity_survives_every_mechanism(transformer, sizes, identity, ratios, names):
    before = state_of(transformer)
    options = {key: value for name in names for key, value in mechanism(name, ratios).items()}
    exact = video(transformer, sizes, identity(1.0))
    plain = video(transformer, sizes, **options)
    shown = video(transformer, sizes, identity(1.0), **options)
    assert relative(shown, exact) <= sum(TOLERANCE[name] for name in names)
    # The identity is what makes the difference, and it is the exact video's.
    assert relative(shown, exact) < relative(plain, exact)
    if "8 bits" not in names:
        assert torch.equal(video(transformer, sizes, identity(0.0), **options), plain)
    else:
        assert relative(video(transformer, sizes, identity(0.0), **options), plain) <= 1e-6
    assert state_of(transformer) == before
    assert torch.equal(video(transformer, sizes, identity(1.0)), exact)


@pytest.mark.parametrize("name", [FIRST_BLOCK, FASTER, PYRAMID, TAYLOR, MAG])
def test_a_cache_computes_less(transformer, sizes, identity, ratios, name):
    calls = []
    counted = transformer.transformer_blocks[1].attn1.to_q
    handle = counted.register_forward_hook(lambda module, inputs, output: calls.append(output.shape[0]))
    try:
        video(transformer, sizes, identity(1.0), **mechanism(name, ratios))
    finally:
        handle.remove()
    assert sum(calls) < 2 * STEPS


def test_a_cache_that_leaves_blocks_out_needs_the_identity_inside(transformer, sizes, identity):
    """Why `inside` is there: hooks around blocks would add the identity to blocks that are left out, once more."""
    right = video(transformer, sizes, identity(1.0), cache=Cache(FIRST_BLOCK, 5.0))
    with attach(transformer, identity(1.0)):
        wrong = video(transformer, sizes, cache=Cache(FIRST_BLOCK, 5.0))
    exact = video(transformer, sizes, identity(1.0))
    assert relative(right, exact) < relative(wrong, exact)


def test_two_videos_share_no_memory_of_steps(transformer, sizes, identity):
    first = video(transformer, sizes, identity(1.0), cache=Cache(FIRST_BLOCK, 0.2))
    assert torch.equal(video(transformer, sizes, identity(1.0), cache=Cache(FIRST_BLOCK, 0.2)), first)


def test_8_bits_are_a_quarter_of_float32(transformer):
    with stored_in_8_bits(transformer, torch.float32):
        dtypes = {name: value.dtype for name, value in transformer.named_parameters()}
    eight = {name for name, dtype in dtypes.items() if dtype == torch.float8_e4m3fn}
    assert "transformer_blocks.0.attn1.to_q.weight" in eight and "transformer_blocks.2.ff.net.2.weight" in eight
    assert not [name for name in eight if stays_whole(name)]
    assert {name for name in dtypes if not stays_whole(name)} - eight <= {name for name in dtypes if "bias" in name}


def test_each_word_for_a_cache_chooses_its_mechanism(monkeypatch):
    from fantasyid_core.host.diffusers import mechanisms

    assert cache_of("exact") is None
    assert cache_of("balanced").threshold < cache_of("fast").threshold
    for word in ("first-block", "faster", "pyramid", "taylor"):
        assert cache_of(word).mechanism == word
        check_cache(cache_of(word))
    with pytest.raises(ValueError, match="needs the model's own ratios"):
        cache_of("mag")
    with pytest.raises(ValueError, match="a cache among exact, balanced, fast"):
        cache_of("tea")
    with pytest.raises(ValueError, match="threshold of 0 to 10 and 1 to 50 steps, got 0.1 and 0"):
        Cache(FASTER, 0.1, 0)
    monkeypatch.setitem(mechanisms._NAMES, TAYLOR, "OfAnotherVersion")
    with pytest.raises(RuntimeError, match="comes with diffusers 0.36, installed is .*choose --cache exact"):
        check_cache(cache_of("taylor"))
