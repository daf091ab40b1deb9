"""A cancel does not wait for the end of a step, of a prompt's encoding, or of compiling."""

from __future__ import annotations

import sys
import threading

import pytest
from comfy_process import Interrupted
from tiny_video import node, release_video, video

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")


@pytest.fixture
def interrupted_at(monkeypatch):
    """interrupted_at(cls, number) -> the calls of `cls.forward` so far; the call of this number asks for the cancel."""
    import comfy.model_management

    def watch(cls, number: int) -> list:
        calls, forward = [], cls.forward

        def counted(self, *args, **kwargs):
            calls.append(self)
            if len(calls) == number:
                comfy.model_management.interrupt_current_processing()
            return forward(self, *args, **kwargs)

        monkeypatch.setattr(cls, "forward", counted)
        return calls

    return watch


def with_host_sampler(prompt: dict) -> dict:
    inputs = {name: prompt["s"]["inputs"][name] for name in ("positive", "negative", "seed", "steps", "cfg")}
    prompt["s"] = node("KSampler", model=["a", 0], latent_image=["c", 2], sampler_name="euler", scheduler="simple",
                       denoise=1.0, **inputs)  # fmt: skip
    return prompt


def without_identity(prompt: dict) -> dict:
    prompt["s"]["inputs"]["model"] = ["m", 0]
    return prompt


@pytest.mark.parametrize("change", [lambda prompt: prompt, without_identity, with_host_sampler],
                         ids=["identity", "plain model", "host's sampler"])  # fmt: skip
def test_sampling_ends_within_a_step_when_it_is_cancelled(host, pack, interrupted_at, change):
    import comfy.ldm.cogvideo.model

    prompt = change(video(steps=1))
    calls = interrupted_at(comfy.ldm.cogvideo.model.CogVideoXBlock, 2)
    with pytest.raises(Interrupted, match="node s"):
        host.run(prompt)
    assert len(calls) == 2
    assert not any(block._forward_pre_hooks or block._forward_hooks for block in calls)


def test_encoding_a_prompt_ends_within_a_block_when_it_is_cancelled(host, pack, small_host_models, interrupted_at):
    import comfy.text_encoders.t5

    calls = interrupted_at(comfy.text_encoders.t5.T5Block, 1)
    with pytest.raises(Interrupted, match="node [tn]"):
        host.run(release_video())
    assert len(calls) == 1
    assert not any(module._forward_pre_hooks for module in calls[0].modules())


def test_a_cancel_counts_while_the_renderer_is_compiled(host, pack, monkeypatch):
    import comfy.model_management

    portrait = sys.modules[f"{pack.__name__}.fantasyid_core.people.portrait"]
    compiling, ended = threading.Event(), threading.Event()

    def compile_for_long(*_):
        comfy.model_management.interrupt_current_processing()
        compiling.wait(60)
        ended.set()

    monkeypatch.setattr(portrait, "_portrait", compile_for_long)
    with pytest.raises(Interrupted, match="node p"):
        host.run({"p": node("FantasyID_SamplePerson", seed=1, picture=0)})
    assert not ended.is_set()
    compiling.set()
    assert ended.wait(60)
