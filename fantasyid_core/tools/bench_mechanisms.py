"""Measures each mechanism in one run: seconds per step, memory, difference to the exact video, and likeness.

Times and memory are those of random weights, of the real sizes on a GPU and small on the CPU. Consecutive steps of a
random network differ more than those of a trained one, so caches skip fewer steps there and differ more from the exact
video. Likeness is measured on FantasyID-Tiny, which is trained. All mechanisms are timed in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..host import diffusers as host
from ..host.diffusers.attention import check_attention
from ..host.diffusers.denoise import make_denoiser
from ..host.diffusers.mechanisms import Cache, attached, calibrated
from ..identity.injector import Injector
from ..identity.network.attention import LayerAttention
from ..options import ATTENTIONS, BALANCED, CACHES, EXACT
from ..sampling import make_steps, sample
from .bench_likeness import PEOPLE, measure_likeness
from .bench_transformer import random_transformer
from .processor import describe_machine, machine_line
from .timing import Peak, paired

STEPS = 10
PLAIN, EIGHT_BITS, COMPILED, ATTENTION = "without identity", "8 bits", "compiled", "attention {}"
SMALL = {"num_layers": 3, "num_attention_heads": 6, "sample_height": 12, "sample_width": 20, "sample_frames": 9}
Report = dict[str, object]


def run_mechanism_bench(
    runs: int = 2,
    device: str | torch.device | None = None,
    sizes: TransformerConfig | None = None,
    config: AdapterConfig | None = None,
    compile: bool | None = None,
    progress: Callable[[str], None] = lambda text: None,
    people: int = PEOPLE,
) -> Report:
    """Per mechanism: seconds of a step, bytes of weights and of the device's peak, difference to the exact latents; and
    likeness.

    compile: whether to measure compiled blocks, too; by default on a GPU only. people: whose likeness is measured; 0
    leaves it out. Raises ValueError for fewer than one run.
    """
    if runs < 1:
        raise ValueError(f"Expected at least one run, got {runs}.")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = device.type == "cuda"
    sizes = sizes or (TransformerConfig() if on_gpu else TransformerConfig(**SMALL))
    config = config or AdapterConfig(injected_layers=sizes.num_layers, dit_width=sizes.width)
    compile = on_gpu if compile is None else compile
    with torch.inference_mode():
        bench = _Bench(sizes, config, device, torch.bfloat16 if on_gpu else torch.float32, progress)
        rows = bench.rows(runs, compile)
    settings = {"steps": STEPS, "runs": runs, "layers": sizes.num_layers, "tokens": sizes.video_tokens}
    settings |= {"width": sizes.width, "dtype": str(bench.dtype).removeprefix("torch.")}
    report = {"machine": describe_machine(device), "settings": settings, "mechanisms": rows}
    if people:
        there = lambda ratios: mechanisms(ratios, torch.device("cpu"))  # noqa: E731
        report["likeness"] = measure_likeness(there, EXACT, people, STEPS, progress)
    return report


def mechanisms(ratios: tuple[float, ...], device: torch.device, compile: bool = False) -> dict[str, dict[str, object]]:
    """Name -> options of `attached` for everything that works on `device`; "strength" 0 is the model without identity.

    ratios: of the cache "mag", the model's own.
    """
    named = [name for name in CACHES[CACHES.index(BALANCED) + 2 :] if name != "mag"]
    caches = {name: Cache(name, 0.08) for name in named} | {"mag": Cache("mag", 0.06, ratios=ratios)}
    made: dict[str, dict[str, object]] = {PLAIN: {"strength": 0.0}, EXACT: {}}
    made |= {name: {"cache": cache} for name, cache in caches.items()}
    made[EIGHT_BITS] = {"eight_bits": True}
    made |= {ATTENTION.format(word): {"attention": word} for word in ATTENTIONS[1:] if _works(word, device)}
    return made | ({COMPILED: {"compile": True}} if compile else {})


def _works(attention: str, device: torch.device) -> bool:
    try:
        check_attention(attention, device)
    except RuntimeError:
        return False
    return True


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
        calls = {
            name: (lambda name=name, options=options: self._keep(name, **options))
            for name, options in mechanisms(tuple(ratios), self.device, compile).items()
        }
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

    def _keep(self, name: str, cache: Cache | None = None, strength: float = 1.0, **options) -> None:
        self.progress(name)
        around = attached(self.transformer, self.injector, cache, STEPS, **options) if strength else nullcontext()
        with Peak(self.device) as peak:
            self.latents[name] = self._sample(around, name)
        self.peaks[name] = peak.bytes

    def _sample(self, around, name: str = "") -> Tensor:
        with around as clock:
            self.stored[name] = sum(value.nbytes for value in self.transformer.parameters())
            denoise = make_denoiser(self.transformer, self.prompts, self.picture, 6.0, self.dtype, clock)
            return sample(denoise, self.noise, make_steps(STEPS), "ddim")


def tables(report: Report) -> list[str]:
    """The report as lines of Markdown."""
    machine, settings = report["machine"], report["settings"]
    lines = [
        f"{machine_line(machine)}; {settings['dtype']}, "
        f"{settings['layers']} layers of width {settings['width']}, {settings['tokens']} video tokens, random weights, "
        f"{settings['steps']} steps, {settings['runs']} runs in turn.",
        "",
        "| mechanism | seconds per step | times as fast as exact | weights, MiB | peak, MiB | difference to exact |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in report["mechanisms"].items():
        lines.append(
            f"| {name} | {row['seconds per step']:.3f} | {row['ratio']:.2f} | {row['weights'] / 2**20:.0f} | "
            f"{row['peak'] / 2**20:.0f} | {row['difference']:.2e} |"
        )
    return lines + _likeness_lines(report.get("likeness"))


def _likeness_lines(report: Report | None) -> list[str]:
    if report is None:
        return []
    if "skipped" in report:
        return ["", f"Likeness was not measured: {report['skipped']}"]
    lines = [
        "",
        f"{report['model']}, {report['people']} people, {report['steps']} steps, guidance {report['guidance']:g}:",
        "",
        "| mechanism | likeness | of exact | difference to exact |",
        "|---|---|---|---|",
    ]
    for name, row in report["rows"].items():
        lines.append(f"| {name} | {row['likeness']:.3f} | {row['share of exact']:.1%} | {row['difference']:.2e} |")
    return lines
