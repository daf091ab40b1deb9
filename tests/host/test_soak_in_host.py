"""Long use of the real ComfyUI: attached and detached a thousand times, cancelled at random, fed with odd values.

The short version of each test runs always, the long one with `pytest -m soak`.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import json
import random
import tracemalloc

import pytest
import torch
from comfy_process import ROOT, Interrupted, NodeError
from small import inputs_of, make_adapter, make_transformer_state
from workflow_form import WITHOUT_EFFECT, api_form

from fantasyid_core.config import TransformerConfig

# Attached and detached

SIZES = TransformerConfig.tiny(max_text_seq_length=16)
NOISE = torch.randn(1, *SIZES.latent_shape, generator=torch.Generator().manual_seed(0))
TEXT = [[[torch.full((1, 16, 64), value), {}]] for value in (0.1, -0.1)]


def digest(model) -> str:
    parts = hashlib.sha256()
    for key, value in sorted(model.model.state_dict().items()):
        parts.update(key.encode() + value.contiguous().view(torch.uint8).numpy().tobytes())
    return parts.hexdigest()


def marks_of(model) -> tuple:
    """What an identity could leave on the model that it was attached to."""
    modules = model.model.modules()
    hooks = sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in modules)
    held = [model.wrappers, model.callbacks, model.attachments, model.additional_models, model.object_patches]
    return (
        hooks,
        json.dumps(model.model_options, default=str, sort_keys=True),
        repr([sorted(map(str, each)) for each in held]),
    )


def bytes_in_use() -> int:
    """Python's own memory, and that of all tensors that are alive."""
    gc.collect()
    tensors = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
               for each in gc.get_objects() if isinstance(each, torch.Tensor)}  # fmt: skip
    return tracemalloc.get_traced_memory()[0] + sum(tensors.values())


def attach_and_detach(cycles: int) -> int:
    """How many bytes more are in use after the cycles than after the first two."""
    from fantasyid_core.host import comfy

    config = {name: getattr(SIZES, name) for name in TransformerConfig.__dataclass_fields__}
    model, adapter = comfy.load_model(make_transformer_state(SIZES), config=config), make_adapter()
    with torch.no_grad():
        tokens = adapter.encode(*inputs_of(adapter))

    def cycle():
        patched = comfy.attach(model, adapter, tokens)
        with torch.inference_mode():
            return comfy.sample(patched, NOISE, *TEXT, steps=1, solver="ddim")

    tracemalloc.start()
    try:
        first = cycle()
        cycle()
        before, marks, start = digest(model), marks_of(model), bytes_in_use()
        for _ in range(cycles):
            assert torch.equal(cycle(), first)
        assert digest(model) == before and marks_of(model) == marks
        return bytes_in_use() - start
    finally:
        tracemalloc.stop()


def test_attaching_and_detaching_ten_times_leaves_nothing(host):
    assert attach_and_detach(10) < 2**20


@pytest.mark.soak
def test_attaching_and_detaching_a_thousand_times_leaves_nothing(host, capsys):
    grown = attach_and_detach(1000)
    with capsys.disabled():
        print(f"\n1000 cycles: {grown} bytes more in use")
    assert grown < 2**20


# Cancelled at random


@pytest.fixture
def demo(host, pack) -> dict:
    pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
    workflow = json.loads((ROOT / "workflows" / "tiny_demo.json").read_text(encoding="utf-8"))
    kinds = {node["type"] for node in workflow["nodes"]} - set(WITHOUT_EFFECT)
    return api_form(workflow, {kind: host.object_info(kind) for kind in kinds})


def cancel_at_random(host, demo, decoded, runs: int) -> int:
    """Runs the demo and cancels about half of the runs somewhere; returns how many were cancelled."""
    import comfy.model_management

    moments, cancelled = random.Random(0), 0
    expected = decoded(demo)
    reports = sum(event == "progress" for event, _ in host.events)
    for number in range(runs):
        left = moments.randrange(1, 2 * reports)

        def stop(value, total, preview):
            nonlocal left
            left -= 1
            if left == 0:
                comfy.model_management.interrupt_current_processing()

        host.on_progress = stop
        try:
            found = decoded(demo)
        except Interrupted:
            cancelled += 1
            continue
        finally:
            host.on_progress = None
            comfy.model_management.interrupt_current_processing(False)
        assert all(map(torch.equal, found, expected)), f"run {number} gave another video"
    assert all(map(torch.equal, decoded(demo), expected))
    return cancelled


def test_a_few_runs_with_cancels_leave_nothing(host, demo, decoded):
    cancel_at_random(host, demo, decoded, 3)


@pytest.mark.soak
def test_five_hundred_runs_with_cancels_leave_nothing(host, demo, decoded, capsys):
    cancelled = cancel_at_random(host, demo, decoded, 500)
    with capsys.disabled():
        print(f"\n500 runs: {cancelled} cancelled, the others equal to the bit")
    assert 50 < cancelled < 450


# Odd values

ODD = (
    None, True, -1, 0, 1, 7, 0.5, -0.25, 2**31, 2**63, 2**64, -(2**70), 1e308, float("nan"), float("inf"), "", " ", "x",
    "a" * 5000, "a\0b", "../../etc/passwd", "{}", "[]", "null", '{"version": 99}', "0:0, 1:1", "1,5", "視頻 😀", [], {},
    ["m", 99], ["nowhere", 0],
)  # fmt: skip


def node(name, **inputs):
    return {"class_type": f"FantasyID_{name}", "inputs": inputs}


def everything() -> dict:
    """A prompt with most nodes of the pack, all inputs of which are named."""
    timing = {"start_percent": 0.0, "end_percent": 1.0, "fade_in": 0.0, "fade_out": 0.0, "schedule": ""}
    weights = {"layers": "all", "face_weight": 1.0, "shape_weight": 1.0, "feather": 0.0, "identity_guidance": 1.0}
    return {
        "m": node("LoadModel", model="FantasyID-Tiny", dtype="default (file's own)"),
        "p": node("SamplePerson", seed=1_000_000_000, picture=0),
        "cf": node("CropFace", image=["p", 2], detector="none", which_face="largest", number=0, padding=0.0,
                   hair_margin=0.0, neck_margin=0.0, rotation=0.0, points="", references=6),
        "e": node("EditShape", shape=["p", 1], edit="{}", flame="none"),
        "b": node("BlendShapes", shape_1=["p", 1], place='{"version": 1, "x": 0, "y": 0}', exaggeration=0.0,
                  shape_2=["e", 0], weights=""),
        "w": node("WarpFace", face=["p", 0], before=["p", 1], after=["e", 0]),
        "v": node("ShapePreview", shape=["e", 0], before=["p", 1], frames=1, size=64),
        "sf": node("SaveShape", shape=["b", 0], filename_prefix="soak/face", format=".ply"),
        "i": node("EncodeIdentity", adapter=["m", 1], encoder=["m", 4], face=["w", 0], shape=["e", 0],
                  references="average"),
        "si": node("SaveIdentity", identity=["i", 0], filename_prefix="soak/person"),
        "x": node("MixIdentities", identity_1=["i", 0], identity_2=["i", 0], weight_1=1.0, weight_2=1.0),
        "a": node("ApplyIdentity", model=["m", 0], adapter=["m", 1], identity=["x", 0], strength=1.0,
                  region="everywhere", **timing, **weights),
        "t": node("EncodePrompt", clip=["m", 2], text="nods"),
        "c": node("VideoConditioning", positive=["t", 0], negative=["t", 0], vae=["m", 3], face=["w", 0],
                  model=["m", 0]),
        "s": node("Sampler", model=["a", 0], positive=["c", 0], negative=["c", 1], latent=["c", 2], seed=0, steps=1,
                  cfg=1.0, solver="ddim"),
        "d": node("DecodeVideo", vae=["m", 3], latent=["s", 0], tile=0),
        "o": {"class_type": "PreviewImage", "inputs": {"images": ["d", 0]}},
    }  # fmt: skip


def places() -> list[tuple[str, str, object]]:
    """Every input of every node with every odd value; those that make the run long are left out."""
    long = {("s", "steps"), ("v", "frames"), ("v", "size")}
    return [
        (name, key, value)
        for name, each in everything().items()
        if name != "o"
        for key in each["inputs"]
        for value in ODD
        if not ((name, key) in long and isinstance(value, int) and value > 7)
    ]


def failed_below(host) -> str | None:
    """The last frame of the traceback of the last run, where it lies in no file of the pack."""
    for event, data in host._executor.status_messages if host._executor else ():
        if event == "execution_error" and data["node_type"].startswith("FantasyID"):
            last = data["traceback"][-1].strip().splitlines()[0]
            if "fantasyid_core" not in last and "/nodes/" not in last.replace("\\", "/"):
                return f"{data['exception_type']}: {data['exception_message']} {last}"
    return None


def feed_odd_values(host, chosen) -> list[str]:
    wrong = []
    for name, key, value in chosen:
        prompt = copy.deepcopy(everything())
        prompt[name]["inputs"][key] = value
        try:
            host.run(prompt, cached=True)
        except NodeError:
            if below := failed_below(host):
                wrong.append(f"{prompt[name]['class_type']}.{key} = {str(value)[:40]!r}: {below}")
        except Exception as error:  # the host itself does not take the value; no node has run
            assert not isinstance(error, AssertionError)
    return wrong


def test_some_odd_values_end_in_an_error_of_the_node(host, pack):
    pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
    host.run(everything())
    assert not feed_odd_values(host, random.Random(1).sample(places(), 40))


@pytest.mark.soak
def test_every_odd_value_at_every_input_ends_in_an_error_of_the_node(host, pack, capsys):
    pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
    chosen = places()
    wrong = feed_odd_values(host, chosen)
    with capsys.disabled():
        print(f"\n{len(chosen)} odd values: {len(wrong)} ended below a node")
    assert not wrong, "\n".join(wrong)
