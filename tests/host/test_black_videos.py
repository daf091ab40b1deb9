"""Numbers that are not finite would make a black video without a word: the run ends early, with a sentence."""

from __future__ import annotations

import pytest
import torch
from comfy_process import NodeError
from tiny_video import node, video

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")


def test_a_model_that_overflows_ends_the_sampling_in_that_step(host, pack, monkeypatch):
    import comfy.ldm.cogvideo.model

    kind, calls = comfy.ldm.cogvideo.model.CogVideoXTransformer3DModel, []
    forward = kind.forward

    def overflowing(self, *args, **kwargs):
        calls.append(1)
        return forward(self, *args, **kwargs) * (float("inf") if len(calls) == 2 else 1.0)

    monkeypatch.setattr(kind, "forward", overflowing)
    with pytest.raises(NodeError, match="Sampler: In step 2 of 4 the model gave numbers that are not finite"):
        host.run(video(steps=4, cfg=1.0))
    assert len(calls) == 2


def test_a_vae_that_overflows_is_named_with_its_type(host, pack, monkeypatch):
    host.run(video(steps=1))
    module = __import__(pack.__name__ + ".fantasyid_core.host.comfy.vae", fromlist=["_decode"])
    decode = module._decode
    monkeypatch.setattr(module, "_decode", lambda *args: decode(*args) * float("nan"))
    prompt = video(steps=1)
    prompt["d"]["inputs"]["tile"] = 128
    with pytest.raises(
        NodeError, match="DecodeVideo: The VAE gave numbers that are not finite .* in float32.*fp32-vae"
    ):
        host.run(prompt, cached=True)


def test_a_latent_that_somebody_else_spoiled_is_not_decoded(host, pack, monkeypatch):
    spoil = host.node_classes["FantasyID_Sampler"]
    original = spoil.execute.__func__

    def spoiled(cls, **inputs):
        output = original(cls, **inputs)
        output.result[0]["samples"][0, 0, 0, 0, 0] = torch.nan
        return output

    monkeypatch.setattr(spoil, "execute", classmethod(spoiled))
    with pytest.raises(
        NodeError, match="DecodeVideo: Expected the latent of a video, got one with numbers that are not"
    ):
        host.run({**video(steps=1), "o2": node("PreviewImage", images=["p", 2])})
