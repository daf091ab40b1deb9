"""Identities beside what else users put around the host's MODEL: compiling, caching, attention overrides, LoRA.

Each companion is compared with the same model without it (to rounding), or, for one that approximates, with its
own error on the plain model; nothing may stay behind. On the CPU: torch.compile runs its front end (tracing,
guards, graph breaks) with the graphs executed as they are, no generated kernels. Devices and memory are in
`test_company_memory.py`.
"""

# ruff: noqa: F811 (fixtures imported from other modules)
from __future__ import annotations

import contextlib
import hashlib

import pytest
import torch
from golden import relative_error
from small import make_transformer_state
from test_attachment import (  # noqa: F401 (fixtures)
    CONFIG,
    SIZES,
    adapter,
    comfy_host,
    resident,
    run,
    tokens,
)
from test_lora import load_lora, make_lora  # noqa: F401 (fixture)

STEPS = 3
CACHED_STEPS = 14


@pytest.fixture(scope="module")
def model(comfy_host):
    """A model of this module's own, so that nothing done here reaches other modules' models."""
    return comfy_host.load_model(make_transformer_state(SIZES), config=CONFIG)


def footprint(model) -> dict:
    """What an attachment or a companion could leave behind on the plain model, in numbers that compare."""
    base, weights = model.model, hashlib.sha256()
    for key, value in sorted(base.state_dict().items()):
        weights.update(key.encode())
        weights.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    modules = list(base.modules())
    return {
        "weights": weights.hexdigest(),
        "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules),
        "modules": [id(m) for m in modules],
        "overridden methods": sorted(name for name, m in base.named_modules() if "forward" in m.__dict__),
        "weight functions": sum(
            len(getattr(m, "weight_function", ())) + len(getattr(m, "bias_function", ())) for m in modules
        ),
        "wrappers": sum(len(each) for kind in model.wrappers.values() for each in kind.values()),
        "callbacks": sum(len(each) for kind in model.callbacks.values() for each in kind.values()),
        "additional models": len(model.get_additional_models()),
        "attachments": sorted(model.attachments),
        "injections": sorted(model.injections),
        "patches": (len(model.patches), sorted(model.object_patches)),
        "options": sorted(model.model_options),
        "transformer options": sorted(model.model_options["transformer_options"]),
    }


@pytest.fixture
def nothing_stays(run):
    """with nothing_stays(model): ... - afterwards the plain model gives its bits and is as it was."""

    @contextlib.contextmanager
    def nothing_stays(model):
        plain, before = run(model), footprint(model)
        yield plain
        assert torch.equal(run(model), plain)
        assert footprint(model) == before

    return nothing_stays


def host_module(name: str):
    return pytest.importorskip(name, reason=f"this ComfyUI has no {name}: company with it is NOT tested")


class Compiler:
    """TorchCompileModel's own steps with a backend that counts graphs and runs them as they are."""

    def __init__(self):
        self.graphs = 0

    def backend(self, graph, _inputs):
        self.graphs += 1
        return graph

    def __call__(self, model):
        node = host_module("comfy_extras.nodes_torch_compile")
        torch._dynamo.reset()
        self.graphs = 0
        compiled = model.clone(disable_dynamic=True)
        options = {"guard_filter_fn": node.skip_torch_compile_dict}
        node.set_torch_compile_wrapper(model=compiled, backend=self.backend, options=options)
        return compiled


@pytest.fixture
def compiled():
    yield Compiler()
    torch._dynamo.reset()


def cached(name: str, reuse_threshold: float = 0.5):
    """model -> the model behind EasyCache or LazyCache, as their nodes set them up."""

    def cached(model):
        node = getattr(host_module("comfy_extras.nodes_easycache"), f"{name}Node")
        settings = {"reuse_threshold": reuse_threshold, "start_percent": 0.15, "end_percent": 0.95, "verbose": False}
        return node.execute(model, **settings).result[0]

    return cached


class AttentionOverride:
    """An attention kernel as the SageAttention nodes put it into `transformer_options`, which counts its calls."""

    def __init__(self):
        self.tokens: list[int] = []

    def __call__(self, model):
        changed = model.clone()

        def override(original, q, k, v, heads, *args, **kwargs):
            self.tokens.append(q.shape[-2])
            return original(q, k, v, heads, *args, **kwargs)

        changed.model_options["transformer_options"]["optimized_attention_override"] = override
        return changed


@pytest.fixture
def block_calls(model):
    """block_calls(action) -> its result and how often the first block ran."""

    def block_calls(action):
        calls = []
        hook = model.model.diffusion_model.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
        try:
            return action(), len(calls)
        finally:
            hook.remove()

    return block_calls


@pytest.mark.parametrize("order", ["before", "after"])
def test_compiled_is_as_uncompiled(comfy_host, model, adapter, tokens, run, nothing_stays, compiled, order):
    """Against the same identity uncompiled: rounding (1e-5); few new graphs, around where it appears and goes.

    Its strength changes in each of its seven steps, which must not compile anything anew. Which call compiles what
    depends a little on what ran in the process before.
    """
    controls = {"start_percent": 0.3, "end_percent": 0.9, "schedule": [(0, 0.4), (1, 1.6)]}
    with nothing_stays(model):
        expected = run(comfy_host.attach(model, adapter, tokens, **controls), steps=12)
        assert relative_error(expected, run(model, steps=12)) > 1e-3
        if order == "before":
            patched = comfy_host.attach(compiled(model), adapter, tokens, **controls)
        else:
            patched = compiled(comfy_host.attach(model, adapter, tokens, **controls))
        graphs = []
        result = run(patched, steps=12, callback=lambda *_: graphs.append(compiled.graphs))
        assert relative_error(result, expected) < 1e-5
        run(patched, steps=12)
    new = [late - early for early, late in zip(graphs, graphs[1:], strict=False)]
    assert graphs[0] > 0 and sum(each > 0 for each in new) <= 3 and sum(new) <= graphs[0]
    assert compiled.graphs == graphs[-1]  # the second run finds all of them


@pytest.mark.parametrize("name", ["EasyCache", "LazyCache"])
def test_caches_skip_blocks_and_keep_the_person(
    comfy_host, model, adapter, tokens, run, nothing_stays, block_calls, name
):
    """Against the uncached identity: at most 1.5 times the cache's own error on the plain model, at least 0.15.

    Which of the two nodes comes first makes no difference to the bit.
    """
    cache, steps = cached(name), CACHED_STEPS
    with nothing_stays(model):
        plain = run(model, steps=steps)
        own, own_calls = block_calls(lambda: run(cache(model), steps=steps))
        person = run(comfy_host.attach(model, adapter, tokens), steps=steps)
        first, calls = block_calls(lambda: run(comfy_host.attach(cache(model), adapter, tokens), steps=steps))
        second, again = block_calls(lambda: run(cache(comfy_host.attach(model, adapter, tokens)), steps=steps))
    assert torch.equal(first, second) and calls == again
    assert own_calls < steps and calls < steps and abs(calls - own_calls) <= 3
    error = relative_error(first, person)
    assert error <= max(1.5 * relative_error(own, plain), 0.15)
    assert error < 0.5 * relative_error(first, plain)  # the person, not the plain video


@pytest.mark.parametrize("order", ["before", "after"])
def test_an_attention_override_serves_the_blocks(comfy_host, model, adapter, tokens, run, nothing_stays, order):
    """Against the identity without it: to the bit, as this override computes the same; the blocks all go through it.

    The identity's own product is no attention of the host's kind (its keys are folded away), so no kernel that
    rounds q, k and v to 8 bits ever touches it: the override sees the blocks' tokens only.
    """
    override = AttentionOverride()
    with nothing_stays(model):
        person = comfy_host.attach(model, adapter, tokens)
        expected = run(person)
        patched = override(person) if order == "after" else comfy_host.attach(override(model), adapter, tokens)
        assert torch.equal(run(patched), expected)
    assert override.tokens == [SIZES.max_text_seq_length + SIZES.video_tokens] * (STEPS * SIZES.num_layers)


def test_an_attention_of_other_numbers_changes_the_blocks_alone(comfy_host, model, adapter, tokens, run):
    """A kernel that loses all attention: at the first block the identity adds what it adds without the kernel."""
    import comfy.patcher_extension

    def zero(original, q, k, v, heads, *args, **kwargs):
        return torch.zeros_like(original(q, k, v, heads, *args, **kwargs))

    def added(patched) -> torch.Tensor:
        """The first block's output after all hooks less that before them, in the first call."""
        block, seen = patched.model.diffusion_model.blocks[0], []

        def watch(executor, *args, **kwargs):
            before = block.register_forward_hook(lambda _m, _i, out: seen.append(out[0].clone()), prepend=True)
            after = block.register_forward_hook(lambda _m, _i, out: seen.append(out[0].clone()))
            try:
                return executor(*args, **kwargs)
            finally:
                before.remove()
                after.remove()

        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        patched.add_wrapper_with_key(kind, "watch", watch)
        run(patched, steps=1)
        return seen[0], seen[1] - seen[0]

    person = comfy_host.attach(model, adapter, tokens)
    with_zero = person.clone()
    with_zero.model_options["transformer_options"]["optimized_attention_override"] = zero
    (first, expected), (other, result) = added(person), added(with_zero)
    assert relative_error(other, first) > 1e-3
    injector = adapter.injector(tokens)
    with torch.inference_mode():
        assert relative_error(expected, injector(0, first)) < 1e-4
        assert relative_error(result, injector(0, other)) < 1e-4


@pytest.mark.parametrize("order", ["before", "after"])
def test_lora_leaves_the_weights_as_they_were(
    comfy_host,
    model,
    adapter,
    tokens,
    run,
    nothing_stays,
    load_lora,
    order,
):
    """Against the identity on a model with the LoRA merged into its file: rounding (1e-4)."""
    lora = make_lora(model)
    with nothing_stays(model):
        if order == "before":
            patched = comfy_host.attach(load_lora(model, lora)[0], adapter, tokens)
        else:
            patched = load_lora(comfy_host.attach(model, adapter, tokens), lora)[0]
        merged_state: dict[str, torch.Tensor] = {}
        result = run(patched, callback=lambda *_: merged_state.update(_copy(patched)))
    merged = comfy_host.load_model(make_transformer_state(SIZES), config=CONFIG)
    merged.model.load_state_dict(merged_state)
    assert relative_error(result, run(comfy_host.attach(merged, adapter, tokens))) < 1e-4
    assert relative_error(result, run(comfy_host.attach(model, adapter, tokens))) > 1e-3


def _copy(model) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.model.state_dict().items()}


COMPANIONS = {
    "torch.compile": (Compiler, "failure"),
    "EasyCache": (lambda: cached("EasyCache"), "interrupt"),
    "LazyCache": (lambda: cached("LazyCache"), "failure"),
    "attention override": (AttentionOverride, "interrupt"),
}


@pytest.mark.parametrize("companion", COMPANIONS)
def test_a_run_that_ends_early_leaves_nothing_of_either(
    comfy_host, model, adapter, tokens, run, nothing_stays, companion
):
    """The plain model, and a whole run of both, before and after a run that broke off: to the bit."""
    import comfy.model_management

    make, error = COMPANIONS[companion]

    def stop(step, *_):
        if step == 1 and error == "interrupt":
            comfy.model_management.interrupt_current_processing()
        elif step == 1:
            raise RuntimeError("disk on fire")

    with nothing_stays(model):
        patched = make()(comfy_host.attach(model, adapter, tokens))
        expected = run(patched)
        kind = comfy.model_management.InterruptProcessingException if error == "interrupt" else RuntimeError
        with pytest.raises(kind):
            run(patched, steps=4, callback=stop)
        assert resident(patched) == []
        assert torch.equal(run(patched), expected)
    torch._dynamo.reset()
