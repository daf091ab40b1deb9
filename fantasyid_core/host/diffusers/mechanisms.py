"""diffusers' mechanisms that make sampling faster or smaller. Each one leaves the transformer as it was.

    with stored_in_8_bits(transformer, dtype), attach(transformer, injector, inside=True), cached(transformer, cache):
        ... with timestep(transformer, step): transformer(...)

The identity must be attached `inside`: a cache that skips blocks stores what a block returns, and the identity is part
of that. This module also removes what diffusers leaves behind (its 8-bit storage, empty registries).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

from ...options import BALANCED, CACHES, EXACT, FAST, NATIVE
from .attach import attach
from .attention import attending

FIRST_BLOCK, FASTER, PYRAMID, TAYLOR, MAG = CACHES[3:]
_SINCE = {FIRST_BLOCK: "0.34", FASTER: "0.33", PYRAMID: "0.32", TAYLOR: "0.36", MAG: "0.37"}
_NAMES = {
    FIRST_BLOCK: "FirstBlockCacheConfig",
    FASTER: "FasterCacheConfig",
    PYRAMID: "PyramidAttentionBroadcastConfig",
    TAYLOR: "TaylorSeerCacheConfig",
    MAG: "MagCacheConfig",
}
STAYS_WHOLE = "patch_embed", "time_embedding", "proj_out", "norm_out"
"""Modules that 8-bit storage leaves alone; norms are never among those that diffusers casts."""


@dataclass(frozen=True)
class Cache:
    """What a step reuses from earlier steps.

    mechanism: one of `options.CACHES` by name. threshold: of "first-block" and "mag": how much the first block's
    output (the model's residual) may differ, as a share; larger is faster. every: of "faster", "pyramid" and
    "taylor": steps from one computation to the next. ratios: of "mag", the model's own, which `calibrated` measures.
    """

    mechanism: str
    threshold: float = 0.08
    every: int = 2
    ratios: tuple[float, ...] = ()

    def __post_init__(self):
        if self.mechanism not in _NAMES:
            raise ValueError(f"Expected a cache among {', '.join(CACHES)}, got {self.mechanism!r}.")
        if not 0 <= self.threshold < 10 or not 1 <= self.every <= 50:
            raise ValueError(
                f"Expected a threshold of 0 to 10 and 1 to 50 steps, got {self.threshold} and {self.every}."
            )
        if self.mechanism == MAG and not self.ratios:
            raise ValueError(
                "The cache mag needs the model's own ratios, which nobody has measured for FantasyID yet. Measure them "
                "with `calibrated`, or choose first-block."
            )


_TRADES = {BALANCED: Cache(FIRST_BLOCK, 0.08), FAST: Cache(FIRST_BLOCK, 0.15)}


def cache_of(word: str, ratios: tuple[float, ...] = ()) -> Cache | None:
    """The cache that one of `options.CACHES` means; None for "exact". Raises ValueError for other words."""
    if word == EXACT:
        return None
    return _TRADES[word] if word in _TRADES else Cache(word, 0.06 if word == MAG else 0.08, ratios=ratios)


def check_cache(cache: Cache | None) -> None:
    """Raises RuntimeError when the installed diffusers lacks the mechanism."""
    if cache is not None:
        _config_class(cache.mechanism)


def _config_class(mechanism: str):
    import diffusers

    found = getattr(diffusers, _NAMES[mechanism], None)
    if found is None:
        raise RuntimeError(
            f"The cache {mechanism} comes with diffusers {_SINCE[mechanism]}, installed is {diffusers.__version__}. "
            "Update it (pip install --upgrade diffusers), or choose --cache exact."
        )
    return found


class Clock:
    """The current timestep, for mechanisms that ask for it."""

    def __init__(self):
        self.timestep = 999


@contextmanager
def cached(transformer, cache: Cache | None, steps: int, clock: Clock | None = None) -> Iterator[None]:
    """`transformer` with the cache while the body runs, which is one video of `steps` steps."""
    if cache is None:
        yield
        return
    clock = clock or Clock()
    with _restored(transformer):
        transformer.enable_cache(_config(cache, steps, clock))
        try:
            with transformer.cache_context("video"):
                yield
        finally:
            transformer.disable_cache()


def _config(cache: Cache, steps: int, clock: Clock):
    kind = _config_class(cache.mechanism)
    now = {"current_timestep_callback": lambda: clock.timestep}
    blocks = ("transformer_blocks",)
    if cache.mechanism == FIRST_BLOCK:
        return kind(threshold=cache.threshold)
    if cache.mechanism == FASTER:
        return kind(
            spatial_attention_block_skip_range=cache.every,
            spatial_attention_block_identifiers=blocks,
            attention_weight_callback=lambda _: 0.3,
            tensor_format="BFCHW",
            **now,
        )
    if cache.mechanism == PYRAMID:
        return kind(
            spatial_attention_block_skip_range=cache.every, spatial_attention_timestep_skip_range=(100, 850), **now
        )
    if cache.mechanism == TAYLOR:
        # The mechanism's default patterns match no module of CogVideoX, and it gives no warning.
        parts = [r"transformer_blocks\.\d+\.(attn1|ff)"]
        exact = {"disable_cache_before_step": 3, "taylor_factors_dtype": torch.float32}
        return kind(cache_interval=cache.every, cache_identifiers=parts, **exact)
    return kind(threshold=cache.threshold, num_inference_steps=steps, mag_ratios=torch.tensor(cache.ratios))


@contextmanager
def calibrated(transformer, steps: int) -> Iterator[list[float]]:
    """Yields a list; afterwards it holds the ratios of the exact video that the body samples, for the cache "mag"."""
    from diffusers.hooks import HookRegistry
    from diffusers.hooks.mag_cache import MagCacheState

    ratios: list[float] = []
    with _restored(transformer):
        # One step more than there are: at the last step the mechanism resets itself and prints.
        transformer.enable_cache(_config_class(MAG)(calibrate=True, num_inference_steps=steps + 1))
        try:
            with transformer.cache_context("video"):
                yield ratios
                registry = HookRegistry.check_if_exists_or_initialize(transformer.transformer_blocks[0])
                state = next(iter(registry.hooks.values())).state_manager.get_state()
                assert isinstance(state, MagCacheState)
                ratios.extend(state.calibration_ratios)
        finally:
            transformer.disable_cache()


@contextmanager
def stored_in_8_bits(transformer, dtype: torch.dtype) -> Iterator[None]:
    """The transformer's matrices as float8_e4m3fn, widened to `dtype` while they compute; norms and embeddings stay.

    Afterwards the weights are the same tensors as before. They are kept meanwhile, which costs no memory where they are
    mapped from a file.
    """
    from diffusers.hooks import apply_layerwise_casting

    before = {name: value.data for name, value in transformer.named_parameters()}
    with _restored(transformer):
        apply_layerwise_casting(transformer, torch.float8_e4m3fn, dtype, skip_modules_pattern=STAYS_WHOLE)
        try:
            yield
        finally:
            for name, value in transformer.named_parameters():
                value.data = before[name]


@contextmanager
def compiled(transformer, backend: str = "inductor") -> Iterator[None]:
    """Every block compiled by itself: the blocks are equal, so one compilation serves them all."""
    for block in transformer.transformer_blocks:
        block.compile(backend=backend)
    try:
        yield
    finally:
        for block in transformer.transformer_blocks:
            block._compiled_call_impl = None


@contextmanager
def _restored(module) -> Iterator[None]:
    """Takes away what diffusers leaves on modules: rewritten `forward`s and registries of hooks."""
    before = {part: {name: vars(part).get(name) for name in _TRACES} for part in module.modules()}
    try:
        yield
    finally:
        for part, traces in before.items():
            for name, value in traces.items():
                if value is None:
                    vars(part).pop(name, None)
                else:
                    vars(part)[name] = value


_TRACES = "forward", "_diffusers_hook"


@contextmanager
def attached(
    transformer,
    injector,
    cache: Cache | None,
    steps: int,
    eight_bits: bool = False,
    compile: bool = False,
    attention: str = NATIVE,
    clock: Clock | None = None,
) -> Iterator[Clock]:
    """The transformer with an identity and the wanted mechanisms while a video is sampled; yields their clock."""
    clock, dtype = clock or Clock(), transformer.dtype
    with ExitStack() as stack:
        if eight_bits:
            stack.enter_context(stored_in_8_bits(transformer, dtype))
        stack.enter_context(attending(transformer, attention))
        stack.enter_context(attach(transformer, injector, inside=cache is not None))
        stack.enter_context(cached(transformer, cache, steps, clock))
        if compile:
            stack.enter_context(compiled(transformer))
        yield clock
