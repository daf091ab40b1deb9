"""Every attention backend computes the same video with the identity, and leaves nothing; what is lacking is told."""

from __future__ import annotations

import sys

import pytest
import torch
from small import inputs_of, make_adapter, make_transformer_state

from fantasyid_core.config import TransformerConfig
from fantasyid_core.host.diffusers import load_transformer
from fantasyid_core.host.diffusers.attention import JointAttention, attending, check_attention
from fantasyid_core.host.diffusers.denoise import make_denoiser
from fantasyid_core.host.diffusers.mechanisms import attached, cache_of
from fantasyid_core.machine.settings import Settings
from fantasyid_core.options import ATTENTIONS, NATIVE
from fantasyid_core.sampling import make_steps, sample

CPU, STEPS = torch.device("cpu"), 3
SIZES = TransformerConfig.tiny(max_text_seq_length=12)


@pytest.fixture(scope="module")
def transformer():
    return load_transformer(make_transformer_state(SIZES), {"max_text_seq_length": 12, **vars(SIZES)})


@pytest.fixture(scope="module")
def identity():
    adapter = make_adapter(injected_layers=SIZES.num_layers, dit_width=SIZES.width, interval=1)
    with torch.no_grad():
        tokens = adapter.encode(*inputs_of(adapter))
    return lambda strength: adapter.injector(tokens, strength)


def video(transformer, injector, attention, cache=None):
    channels, frames, height, width = SIZES.latent_shape
    draw = torch.Generator().manual_seed(0)
    noise, picture = torch.randn(2, 1, frames, channels, height, width, generator=draw)
    prompts = torch.randn(2, SIZES.max_text_seq_length, SIZES.text_embed_dim, generator=draw)
    with torch.inference_mode(), attached(transformer, injector, cache, STEPS, attention=attention) as clock:
        denoise = make_denoiser(transformer, prompts, picture, 6.0, torch.float32, clock)
        return sample(denoise, noise, make_steps(STEPS), "ddim")


@pytest.mark.parametrize("word", ATTENTIONS[1:3])
def test_a_backend_computes_the_same_video(transformer, identity, word):
    check_attention(word, CPU)
    before = {name: (type(each), id(each)) for name, each in transformer.attn_processors.items()}
    exact = video(transformer, identity(1.0), NATIVE)
    found = video(transformer, identity(1.0), word)
    assert torch.allclose(found, exact, atol=1e-4) and (found - exact).norm() <= 1e-5 * exact.norm()
    assert torch.equal(video(transformer, identity(0.0), word), video(transformer, identity(0.0), word))
    assert {name: (type(each), id(each)) for name, each in transformer.attn_processors.items()} == before


def test_the_backend_is_what_computes(transformer, identity, monkeypatch):
    """diffusers' own processor would pass over it."""
    from diffusers.models import attention_dispatch

    seen, original = [], attention_dispatch.dispatch_attention_fn

    def watched(query, key, value, **options):
        seen.append((options["backend"].value, tuple(query.shape)))
        return original(query, key, value, **options)

    monkeypatch.setattr(attention_dispatch, "dispatch_attention_fn", watched)
    video(transformer, identity(1.0), "native-math")
    tokens = SIZES.video_tokens + SIZES.max_text_seq_length
    assert seen == [("_native_math", (2, tokens, SIZES.num_attention_heads, 64))] * SIZES.num_layers * STEPS
    with attending(transformer, "native-math"):
        assert all(isinstance(each, JointAttention) for each in transformer.attn_processors.values())


def test_a_backend_beside_a_cache(transformer, identity):
    cache = cache_of("pyramid")
    plain = video(transformer, identity(1.0), NATIVE, cache)
    assert torch.allclose(video(transformer, identity(1.0), "native-math", cache), plain, atol=1e-4)


def test_what_is_lacking_is_told(monkeypatch):
    for word in ATTENTIONS[3:]:
        with pytest.raises(RuntimeError, match=f"{word} computes on an NVIDIA GPU, got the device cpu. Choose --att"):
            check_attention(word, CPU)
    with pytest.raises(RuntimeError, match="flash-3 cannot be used here. .*Or choose --attention native"):
        check_attention("flash-3", torch.device("cuda"))
    with pytest.raises(ValueError, match="Expected a attention among native, .*got 'quick'"):
        Settings("a", attention="quick")
    check_attention(NATIVE, CPU)
    monkeypatch.setitem(sys.modules, "diffusers.models.attention_dispatch", None)
    monkeypatch.delattr("diffusers.models.attention_dispatch", raising=False)
    with pytest.raises(RuntimeError, match="flash comes with diffusers 0.35, installed is .*choose --attention native"):
        check_attention("flash", CPU)
    check_attention(NATIVE, CPU)
