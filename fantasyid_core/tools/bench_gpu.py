"""What a GPU must show, measured by one command within ten minutes: `python -m fantasyid_core bench --gpu`.

Random weights of the real sizes: the identity's share of a step, the card's memory under the plans for small cards, and
seconds per video under each mechanism. Likeness is that of FantasyID-Tiny, which is trained. The most important figures
come first; when the time is nearly over, what is left is named and not begun. On a CPU, which has to be asked for, the
networks are very small and no goal is judged.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..host import diffusers as host
from ..host.diffusers.denoise import make_denoiser
from ..host.diffusers.mechanisms import Clock, attached, cache_of, stored_in_8_bits
from ..host.diffusers.others import empty_vae, enable_tiling, stream_blocks
from ..identity.injector import Injector
from ..identity.network.attention import LayerAttention
from ..machine.plans import RESERVED
from ..options import BALANCED, EXACT, FAST
from ..sampling import make_steps, sample
from .bench_likeness import PEOPLE, measure_likeness
from .bench_mechanisms import SMALL
from .bench_transformer import random_transformer
from .processor import describe_machine, machine_line
from .timing import Peak, paired

STEPS, SHORT, RUNS, ENOUGH = 50, 10, 3, 8 * 60
"""Steps of a video and of a measured sampling; turns; seconds after which nothing more begins."""
SHARE, SMALL_CARD, SMALLER_CARD, SECONDS, LIKENESS = 0.04, 12 * 10**9, 9 * 10**9, 40, 0.99
"""The goals: share of a step, bytes with blocks in turn and with 8 bits, seconds per video on an H100 at that share of
the exact likeness."""
PLAIN, IDENTITY, IN_8_BITS, DECODING, STREAMED = (
    "step without identity", "step with identity", "step in 8 bits", "decoding in tiles", "step with blocks in turn",
)  # fmt: skip
MECHANISMS: Mapping[str, Mapping[str, object]] = {
    EXACT: {},
    BALANCED: {"cache": cache_of(BALANCED)},
    FAST: {"cache": cache_of(FAST)},
    "compiled": {"compile": True},
    f"{BALANCED}, compiled": {"cache": cache_of(BALANCED), "compile": True},
}
_SMALL_VAE = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1}
Report = dict[str, object]


def run_gpu_bench(
    device: torch.device,
    asked: bool = False,
    people: int = PEOPLE,
    progress: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """The "stages" and "videos" by name, "likeness", "goals", and "left out", for which time or memory was short.

    asked: whether the user named the device, which a CPU needs. people: whose likeness is measured; 0 leaves it out.
    Raises ValueError for a CPU that nobody asked for.
    """
    on_gpu = device.type == "cuda"
    if not on_gpu and not asked:
        raise ValueError(
            "bench --gpu measures what a GPU must show: expected one that PyTorch finds, got none. Run `bench --full` "
            "on this machine, or add --device cpu to try the command with very small networks."
        )
    end, left_out = clock() + ENOUGH, []
    report: Report = {"machine": describe_machine(device), "judged": on_gpu, "stages": {}, "videos": {}}
    bench = _Bench(device, progress)
    with torch.inference_mode():
        for name, measure in bench.measurements(report).items():
            if clock() > end:
                left_out.append(name)
                continue
            progress(name)
            try:
                measure()
            except torch.OutOfMemoryError:
                left_out.append(f"{name} (the card has too little memory)")
    if people:
        if clock() > end:
            left_out.append("likeness")
        else:
            named = {name: {**way, "compile": False} for name, way in MECHANISMS.items() if "compiled" not in name}
            report["likeness"] = measure_likeness(lambda ratios: named, EXACT, people, SHORT, progress)
    return report | {"left out": left_out, "goals": goals(report)}


class _Bench:
    """A transformer, an identity and the inputs of a sampling, with random weights. The transformer is in main memory
    while nothing samples, as a model whose weights lie in their files."""

    def __init__(self, device: torch.device, progress: Callable[[str], None]):
        on_gpu = device.type == "cuda"
        self.device, self.dtype = device, torch.bfloat16 if on_gpu else torch.float32
        self.sizes = sizes = TransformerConfig() if on_gpu else TransformerConfig(**SMALL)
        self.vae_config = {} if on_gpu else _SMALL_VAE
        config = AdapterConfig(injected_layers=sizes.num_layers, dit_width=sizes.width)
        torch.manual_seed(0)
        progress("random weights")
        with torch.inference_mode():
            self.transformer = self._random_transformer()
            self.injector = self._injector(config)
            channels, frames, height, width = sizes.latent_shape
            self.noise, self.picture = torch.randn(2, 1, frames, channels, height, width, device=device)
            words = 2, sizes.max_text_seq_length, sizes.text_embed_dim
            self.prompts = torch.randn(words, device=device, dtype=self.dtype)

    def _random_transformer(self):
        try:  # a card draws the numbers in a second, a CPU in minutes
            return random_transformer(host, self.sizes, self.device, self.dtype).to("cpu")
        except torch.OutOfMemoryError:
            return random_transformer(host, self.sizes, torch.device("cpu"), self.dtype)

    @contextmanager
    def _on_card(self, steps: int = 1, eight_bits: bool = False, **options) -> Iterator[Clock]:
        """The transformer with the identity on the device; yields the mechanisms' clock. options: of `attached`."""
        around = stored_in_8_bits(self.transformer, self.dtype) if eight_bits else nullcontext()
        with around, attached(self.transformer, self.injector, options.pop("cache", None), steps, **options) as clock:
            try:
                self.transformer.to(self.device)
                yield clock
            finally:
                self.transformer.to("cpu")

    def _injector(self, config: AdapterConfig) -> Injector:
        make = lambda: LayerAttention(config).requires_grad_(False).to(self.device, self.dtype)  # noqa: E731
        tokens = torch.randn(1, config.id_tokens, config.id_width, device=self.device, dtype=self.dtype)
        return Injector([make() for _ in range(config.injected_layers)], tokens, interval=config.interval)

    def measurements(self, report: Report) -> dict[str, Callable[[], None]]:
        """Name -> what measures it and writes it into the report, the most important first."""
        stages, videos = report["stages"], report["videos"]
        measured: dict[str, Callable[[], None]] = {
            IDENTITY: lambda: stages.update(self._steps()),
            IN_8_BITS: lambda: stages.update({IN_8_BITS: self._in_8_bits()}),
            DECODING: lambda: stages.update({DECODING: self._decoding()}),
        }
        for name, options in MECHANISMS.items():
            if self.device.type == "cuda" or "compile" not in options:
                call = lambda name=name, options=options: videos.update({name: self._video(options, stages)})  # noqa: E731
                measured[f"video: {name}"] = call
        # Last, because its hooks stay.
        measured[STREAMED] = lambda: stages.update({STREAMED: self._streamed()})
        return measured

    def _sample(self, steps: int, clock: Clock | None = None) -> Tensor:
        denoise = make_denoiser(self.transformer, self.prompts, self.picture, 6.0, self.dtype, clock)
        return sample(denoise, self.noise, make_steps(steps), "ddim")

    def _steps(self) -> dict[str, Report]:
        """With and without the identity, in turn."""
        peaks: dict[str, int] = {}

        def step(name: str, *injectors: Injector) -> None:
            with Peak(self.device) as peak, host.attach(self.transformer, *injectors):
                self._sample(1)
            peaks[name] = peak.bytes

        self.transformer.to(self.device)
        try:
            calls = {PLAIN: lambda: step(PLAIN), IDENTITY: lambda: step(IDENTITY, self.injector)}
            times = paired(calls, RUNS, self.device, base=PLAIN)
        finally:
            self.transformer.to("cpu")
        return {
            name: {"seconds": each["median"], "peak": peaks[name], "to plain": 1 / each["ratio"] - 1}
            for name, each in times.items()
        }

    def _in_8_bits(self) -> Report:
        with self._on_card(eight_bits=True) as clock:
            return self._timed(lambda: self._sample(1, clock))

    def _streamed(self) -> Report:
        stream_blocks(self.transformer, self.device)
        with attached(self.transformer, self.injector, None, 1) as clock:
            return self._timed(lambda: self._sample(1, clock))

    def _decoding(self) -> Report:
        """The whole video."""
        height, width = self.sizes.picture_size
        vae = empty_vae(sample_height=height, sample_width=width, **self.vae_config).to(self.dtype)
        vae = vae.to_empty(device=self.device).requires_grad_(False).eval()
        for value in (*vae.parameters(), *vae.buffers()):
            value.normal_(0, 0.02)
        enable_tiling(vae)
        latents = self.noise.transpose(1, 2).to(self.dtype)
        return self._timed(lambda: vae.decode(latents))

    def _video(self, options: Mapping[str, object], stages: Mapping) -> Report:
        """Seconds of a whole video, from a short one."""
        if "compile" in options:  # a first sampling compiles and is not counted
            with self._on_card(SHORT, **options) as clock:
                self._sample(SHORT, clock)
        with self._on_card(SHORT, **options) as clock:
            found = self._timed(lambda: self._sample(SHORT, clock), warm=False)
        decoding = stages.get(DECODING, {}).get("seconds", 0.0)
        return {**found, "seconds": found["seconds"] / SHORT * STEPS + decoding}

    def _timed(self, call: Callable, warm: bool = True) -> Report:
        _collect(self.device)
        with Peak(self.device) as peak:
            times = paired({"it": call}, 1, self.device, warm=warm)
        return {"seconds": times["it"]["median"], "peak": peak.bytes}


def _collect(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def goals(report: Report) -> list[Report]:
    """Every goal with what was found; "met" is None where nothing is judged or the figure is missing."""
    stages = report["stages"]
    share = stages.get(IDENTITY, {}).get("to plain")
    rows = [
        ("identity's share of a step", share, SHARE),
        ("bytes of the card with blocks in turn", _card(stages, STREAMED), SMALL_CARD),
        ("bytes of the card with 8 bits", _card(stages, IN_8_BITS), SMALLER_CARD),
        ("seconds per video at 99 % of the exact likeness (goal of an H100)", fastest(report), SECONDS),
    ]
    judged = report["judged"]
    return [
        {"goal": goal, "found": found, "limit": limit, "met": None if found is None or not judged else found <= limit}
        for goal, found, limit in rows
    ]


def _card(stages: Mapping, step: str) -> float | None:
    """Bytes that a card needs for this step and for decoding, with what CUDA itself takes."""
    if step not in stages or DECODING not in stages:
        return None
    return max(stages[step]["peak"], stages[DECODING]["peak"]) + RESERVED


def fastest(report: Report) -> float | None:
    """Seconds per video of the fastest mechanism that keeps the likeness; compiling changes no likeness."""
    likeness = report.get("likeness", {}).get("rows", {})
    kept = {name for name, row in likeness.items() if row["share of exact"] >= LIKENESS} | {EXACT}
    fitting = [row["seconds"] for name, row in report["videos"].items() if _uncompiled(name) in kept]
    return min(fitting, default=None)


def _uncompiled(name: str) -> str:
    return name.removesuffix("compiled").removesuffix(", ") or EXACT


def tables(report: Report) -> list[str]:
    """The report as lines of Markdown."""
    lines = [f"{machine_line(report['machine'])}; random weights, {STEPS} steps per video.", ""]
    lines += ["| | seconds | peak, GiB |", "| --- | ---: | ---: |"]
    for name, row in report["stages"].items():
        lines.append(f"| {name} | {row['seconds']:.3g} | {row['peak'] / 2**30:.2f} |")
    lines += ["", "| Video | seconds, estimate | peak, GiB | likeness, of exact |", "| --- | ---: | ---: | ---: |"]
    likeness = report.get("likeness", {}).get("rows", {})
    for name, row in report["videos"].items():
        found = likeness.get(_uncompiled(name))
        share = f"{found['share of exact']:.1%}" if found else "not measured"
        lines.append(f"| {name} | {row['seconds']:.3g} | {row['peak'] / 2**30:.2f} | {share} |")
    lines += ["", "Likeness is that of FantasyID-Tiny. With random weights, caches skip other steps than usual."]
    lines += ["", "| Goal | found | at most | |", "| --- | ---: | ---: | --- |"]
    words = {None: "not judged", True: "met", False: "not met"}
    for goal in report["goals"]:
        found = "not measured" if goal["found"] is None else f"{goal['found']:.3g}"
        lines.append(f"| {goal['goal']} | {found} | {goal['limit']:.3g} | {words[goal['met']]} |")
    if report["left out"]:
        lines += ["", f"There was no time for: {', '.join(report['left out'])}."]
    return lines
