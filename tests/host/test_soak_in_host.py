"""Long use of the real ComfyUI: attached and detached a thousand times, and cancelled at random.

The short version of each test runs always, the long one with `pytest -m soak`.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import tracemalloc

import pytest
import torch
from comfy_process import ROOT, Interrupted
from small import inputs_of, make_adapter, make_transformer_state
from workflow_form import api_form, kinds_of

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
    return api_form(workflow, {kind: host.object_info(kind) for kind in kinds_of(workflow)})


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
