"""FantasyID-Tiny as it comes along, through Load Model and the shipped workflow, in the real ComfyUI."""

from __future__ import annotations

import json

import numpy as np
import pytest
from comfy_process import ROOT
from workflow_form import api_form, kinds_of

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
DECODED = {"11:4": "as is", "12:4": "wider face", "13:4": "sharper jaw", "14:4": "blended"}
SCALED = "15:4"  # the node that gets all four side by side
RELEASE_LACKS = ("CLIPTextEncode", {"text": "nods"}, "clip", 2)


@pytest.fixture
def prompt(host, pack) -> dict:
    workflow = json.loads((ROOT / "workflows" / "tiny_demo.json").read_text(encoding="utf-8"))
    return api_form(workflow, {kind: host.object_info(kind) for kind in kinds_of(workflow)})


def test_the_demo_runs_with_what_comes_along(host, prompt, decoded):
    import av

    found = decoded(prompt)
    assert len(found) == len(DECODED)
    assert all(frames.shape == (9, 64, 64, 3) and frames.std() > 0.05 for frames in found)
    pairs = [(one, other) for i, one in enumerate(found) for other in found[:i]]
    assert all((one - other).abs().max() > 2 / 255 for one, other in pairs)  # an edit changes the video
    saved = sorted((host.output_dir / "video").glob("FantasyID-Tiny*.mp4"))[-1]
    with av.open(saved) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 9 and frames[0].shape == (520, 520, 3)


def test_the_host_makes_what_the_command_makes(host, prompt, decoded):
    """The same numbers whether ComfyUI's class or diffusers' runs the transformer."""
    from fantasyid_core.tinymodel.sampler import TinySampler
    from fantasyid_core.tools.demo import make_cast

    (member,) = make_cast([3])
    text = prompt["3"]["inputs"]["text"]
    ours = TinySampler()(member.shape.vertices.numpy(), member.picture[None], text, seed=0)
    prompt[SCALED]["inputs"]["image"] = ["11:4", 0]  # of the four videos the first alone
    (hosted,) = ((frames.numpy() * 255).round() for frames in decoded(prompt))
    difference = np.abs(hosted - ours)
    assert difference.mean() < 0.05 and difference.max() <= 4  # of 255


def test_a_step_without_guidance_asks_the_transformer_once(host, prompt):
    from fantasyid_core.tinymodel.sampler import TinySampler
    from fantasyid_core.tools.demo import make_cast

    (member,) = make_cast([3])
    sampler, asked = TinySampler(steps=5), []
    sampler.networks.transformer.register_forward_pre_hook(lambda *_: asked.append(1))
    sampler(member.shape.vertices.numpy(), member.picture[None], prompt["3"]["inputs"]["text"], seed=2)
    assert len(asked) == 5


def test_a_release_has_no_text_encoder_to_give(host, small_host_models):
    kind, inputs, name, output = RELEASE_LACKS
    prompt = {
        "1": {"class_type": "FantasyID_LoadModel", "inputs": {"model": "FantasyID", "dtype": "fp32"}},
        "2": {"class_type": kind, "inputs": {**inputs, name: ["1", output]}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }
    host.run(prompt)  # the host tells the page, and leaves out what would need the output
    (told,) = [data["exception_message"] for event, data in host.events if event == "execution_error"]
    assert "for FantasyID-Tiny only. For other models connect Load CLIP" in told
