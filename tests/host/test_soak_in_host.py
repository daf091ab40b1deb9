"""Long use of the real ComfyUI: attached and detached a thousand times, and cancelled at random.

The short version of each test runs always, the long one with `pytest -m soak`.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import json
import os
import random
import tracemalloc
from typing import NamedTuple

import psutil
import pytest
import torch
from comfy_process import ROOT, Interrupted
from small import inputs_of, make_adapter, make_transformer_state
from torch._subclasses.fake_tensor import FakeTensor
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
    return tracemalloc.get_traced_memory()[0] + bytes_of_tensors(gc.get_objects())


def bytes_of_tensors(objects: list) -> int:
    """Of all tensors among the objects; those that a compiler of models plans with have no memory."""
    found = {}
    for each in objects:
        if isinstance(each, torch.Tensor) and not isinstance(each, FakeTensor):
            found[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return sum(found.values())


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


class Use(NamedTuple):
    """What a process holds: bytes of tensors that are alive, objects of Python, bytes of memory."""

    tensors: int
    objects: int
    resident: int


def in_use() -> Use:
    gc.collect()
    objects = gc.get_objects()
    return Use(bytes_of_tensors(objects), len(objects), psutil.Process().memory_info().rss)


def in_use_after(host, demo) -> Use:
    """After a whole run: one that was cancelled may have loaded less."""
    host.run(with_seed(demo, SEEDS), cached=True)
    return in_use()


def with_seed(demo: dict, seed: int) -> dict:
    prompt = copy.deepcopy(demo)
    for each in prompt.values():
        if each["class_type"] == "FantasyID_Sampler":
            each["inputs"]["seed"] = seed
    return prompt


SEEDS, WHOLE = 3, 10  # noises that take turns; every so many runs begin without anything from the one before


def cancel_at_random(host, demo, decoded, runs: int) -> tuple[int, Use, Use]:
    """Runs the demo and cancels about half of the runs somewhere; returns how many were cancelled, and what was in use
    before and after.

    Each run has another noise than the one before, so that the host computes all four videos anew, and keeps what does
    not depend on it, as after a click on Run. Every `WHOLE`th run begins from nothing.
    """
    import comfy.model_management

    moments, cancelled, before = random.Random(0), 0, None
    expected, reports = [], []  # of each noise; of a run that begins with what the one before has left, and of another
    for seed in range(SEEDS):
        expected.append(decoded(with_seed(demo, seed), cached=seed > 0))
        reports.insert(0, sum(event == "progress" for event, _ in host.events))
    for number in range(runs):
        whole = number % WHOLE == WHOLE - 1
        left = moments.randrange(1, 2 * reports[-1 if whole else 0])

        def stop(value, total, preview):
            nonlocal left
            left -= 1
            if left == 0:
                comfy.model_management.interrupt_current_processing()

        host.on_progress = stop
        seed = (number + 1) % SEEDS
        try:
            found = decoded(with_seed(demo, seed), cached=not whole)
            assert all(map(torch.equal, found, expected[seed])) and len(found) == 4, f"run {number}: another video"
        except Interrupted:
            cancelled += 1
        finally:
            host.on_progress = None
            comfy.model_management.interrupt_current_processing(False)
        if number == runs // 10:  # what is loaded once is loaded by now
            before = in_use_after(host, demo)
    after = in_use_after(host, demo)
    assert all(map(torch.equal, decoded(with_seed(demo, 0)), expected[0]))
    return cancelled, before, after


def test_a_few_runs_with_cancels_leave_nothing(host, demo, decoded):
    cancel_at_random(host, demo, decoded, 3)


@pytest.mark.soak
def test_five_hundred_runs_with_cancels_leave_nothing(host, demo, decoded, capsys):
    runs = int(os.environ.get("FANTASYID_SOAK_RUNS", 500))
    cancelled, before, after = cancel_at_random(host, demo, decoded, runs)
    with capsys.disabled():
        print(f"\n{runs} runs: {cancelled} cancelled, the others equal to the bit; {before} before, {after} after")
    assert runs // 10 < cancelled < runs - runs // 10
    assert after.tensors - before.tensors < 2**20
