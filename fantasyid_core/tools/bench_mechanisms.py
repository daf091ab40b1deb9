"""Measures each mechanism in one run: seconds per step, memory, and the difference to the exact video.

The weights are random. Consecutive steps of a random network differ more than those of a trained one, so caches skip
fewer steps and differ more from the exact video. The transformer has its real sizes on a GPU and is small on the CPU.
All mechanisms are timed in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..host import diffusers as host
from ..host.diffusers.denoise import make_denoiser
from ..host.diffusers.mechanisms import Cache, attached, calibrated
from ..identity.injector import Injector
from ..identity.network.attention import LayerAttention
from ..options import BALANCED, CACHES, EXACT
from ..sampling import make_steps, sample
from .bench import describe_machine
from .bench_transformer import random_transformer, reset_peak
from .timing import paired

STEPS = 10
PLAIN, EIGHT_BITS, COMPILED = "without identity", "8 bits", "compiled"
_SMALL = {"num_layers": 3, "num_attention_heads": 6, "sample_height": 12, "sample_width": 20, "sample_frames": 9}
Report = dict[str, object]


def run_mechanism_bench(
    runs: int = 2,
    device: str | torch.device | None = None,
    sizes: TransformerConfig | None = None,
    config: AdapterConfig | None = None,
    compile: bool | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """Per mechanism: seconds of a step, bytes of weights and of the device's peak, difference to the exact latents.

    compile: whether to measure compiled blocks, too; by default on a GPU only. Raises ValueError for fewer than one
    run.
    """
    if runs < 1:
        raise ValueError(f"Expected at least one run, got {runs}.")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = device.type == "cuda"
    sizes = sizes or (TransformerConfig() if on_gpu else TransformerConfig(**_SMALL))
    config = config or AdapterConfig(injected_layers=sizes.num_layers, dit_width=sizes.width)
    with torch.inference_mode():
        bench = _Bench(sizes, config, device, torch.bfloat16 if on_gpu else torch.float32, progress)
        rows = bench.rows(runs, on_gpu if compile is None else compile)
    libraries = {name: _version(name) for name in ("diffusers", "accelerate", "transformers")}
    settings = {"steps": STEPS, "runs": runs, "layers": sizes.num_layers, "tokens": sizes.video_tokens}
    settings |= {"width": sizes.width, "dtype": str(bench.dtype).removeprefix("torch.")}
    return {"machine": {**describe_machine(device), **libraries}, "settings": settings, "mechanisms": rows}


class _Bench:
    """One transformer and one identity, sampled under every mechanism."""

    def __init__(self, sizes, config, device: torch.device, dtype: torch.dtype, progress: Callable[[str], None]):
        torch.manual_seed(0)
        self.device, self.dtype, self.progress = device, dtype, progress
        self.transformer = random_transformer(host, sizes, device, dtype)
        layers = [LayerAttention(config).requires_grad_(False).to(device, dtype) for _ in range(config.injected_layers)]
        tokens = torch.randn(1, config.id_tokens, config.id_width, device=device, dtype=dtype)
        self.injector = Injector(layers, tokens, interval=config.interval)
        channels, frames, height, width = sizes.latent_shape
        self.noise, self.picture = torch.randn(2, 1, frames, channels, height, width, device=device)
        self.prompts = torch.randn(2, sizes.max_text_seq_length, sizes.text_embed_dim, device=device, dtype=dtype)
        self.peaks: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        self.latents: dict[str, Tensor] = {}

    def rows(self, runs: int, compile: bool) -> dict[str, Report]:
        """name -> its figures; "exact" is what the others are compared with."""
        self.progress("calibrating mag")
        with calibrated(self.transformer, STEPS) as ratios:
            self._sample(nullcontext())
        named = [name for name in CACHES[CACHES.index(BALANCED) + 2 :] if name != "mag"]
        caches = {name: Cache(name, 0.08) for name in named} | {"mag": Cache("mag", 0.06, ratios=tuple(ratios))}
        calls = {PLAIN: lambda: self._keep(PLAIN), EXACT: lambda: self._keep(EXACT)}
        calls |= {name: (lambda name=name, cache=cache: self._keep(name, cache)) for name, cache in caches.items()}
        calls[EIGHT_BITS] = lambda: self._keep(EIGHT_BITS, eight_bits=True)
        if compile:
            calls[COMPILED] = lambda: self._keep(COMPILED, compile=True)
        times = paired(calls, runs, self.device, base=EXACT)
        exact = self.latents[EXACT]
        return {
            name: {
                "seconds per step": each["median"] / STEPS,
                "ratio": each["ratio"],
                "weights": self.stored[name],
                "peak": self.peaks[name],
                "difference": float((self.latents[name] - exact).norm() / exact.norm()),
            }
            for name, each in times.items()
        }

    def _keep(self, name: str, cache: Cache | None = None, **options: bool) -> None:
        self.progress(name)
        reset_peak(self.device)
        around = nullcontext() if name == PLAIN else attached(self.transformer, self.injector, cache, STEPS, **options)
        self.latents[name] = self._sample(around, name)
        self.peaks[name] = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0

    def _sample(self, around, name: str = "") -> Tensor:
        with around as clock:
            self.stored[name] = sum(value.nbytes for value in self.transformer.parameters())
            denoise = make_denoiser(self.transformer, self.prompts, self.picture, 6.0, self.dtype, clock)
            return sample(denoise, self.noise, make_steps(STEPS), "ddim")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def tables(report: Report) -> list[str]:
    """The report as lines of Markdown."""
    machine, settings = report["machine"], report["settings"]
    lines = [
        f"{machine['device']}, {machine['threads']} of {machine['processors']} processors, torch {machine['torch']}, "
        f"diffusers {machine['diffusers']}, accelerate {machine['accelerate']}; {settings['dtype']}, "
        f"{settings['layers']} layers of width {settings['width']}, {settings['tokens']} video tokens, random weights, "
        f"{settings['steps']} steps, {settings['runs']} runs in turn.",
        "",
        "| mechanism | seconds per step | times as fast as exact | weights, MiB | peak, MiB | difference to exact |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in report["mechanisms"].items():
        peak = f"{row['peak'] / 2**20:.0f}" if row["peak"] else "-"
        lines.append(
            f"| {name} | {row['seconds per step']:.3f} | {row['ratio']:.2f} | {row['weights'] / 2**20:.0f} | {peak} | "
            f"{row['difference']:.2e} |"
        )
    return lines
