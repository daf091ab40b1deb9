"""One block of the video transformer at all its tokens: diffusers' plain block, the official formula, and ours.

All are computed in turn in one run, on the same random weights and inputs, ours under every mechanism that acts within
a block. Caches act between steps and blocks, so `bench_mechanisms` measures them. The difference is that of what block
and identity add to their input, relative to what the official formula adds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..host import diffusers as host
from ..host.diffusers.mechanisms import attached
from ..identity.injector import Injector
from ..identity.network.attention import LayerAttention
from ..machine.memory import free_memory
from .bench_mechanisms import mechanisms
from .bench_transformer import OfficialFormula, random_transformer
from .timing import Peak, paired

PLAIN, OFFICIAL, KEPT, OURS, HALF = (
    "diffusers' plain block",
    "official formula",
    "official formula, K and V kept",
    "folded",
    "folded, bfloat16",
)
_MATH = "attention native-math"
Report = dict[str, object]


def measure_block(
    sizes: TransformerConfig,
    config: AdapterConfig,
    device: torch.device,
    dtype: torch.dtype,
    runs: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """ "settings", and "rows": name -> seconds, what is added to the plain block, bytes of weights and of the peak, and
    the difference to the official formula; or why a row was left out."""
    bench = _Block(
        replace(sizes, num_layers=1), replace(config, injected_layers=1, interval=1), device, dtype, progress
    )
    settings = {"tokens": sizes.video_tokens, "text tokens": sizes.max_text_seq_length, "width": sizes.width}
    return {"settings": {**settings, "dtype": _name(dtype), "runs": runs}, "rows": bench.rows(runs)}


class _Block:
    """A transformer of one block, an identity, and the inputs of the block."""

    def __init__(self, sizes, config, device: torch.device, dtype: torch.dtype, progress: Callable[[str], None]):
        torch.manual_seed(0)
        self.sizes, self.device, self.dtype, self.progress = sizes, device, dtype, progress
        self.transformer = _with_usual_norms(random_transformer(host, sizes, device, dtype))
        self.layers = [LayerAttention(config).requires_grad_(False).to(device, dtype)]
        self.tokens = torch.randn(1, config.id_tokens, config.id_width, device=device, dtype=dtype)
        self.injector = Injector(self.layers, self.tokens, interval=1)
        counts = {"hidden_states": sizes.video_tokens, "encoder_hidden_states": sizes.max_text_seq_length}
        self.inputs = {
            name: torch.randn(1, count, sizes.width, device=device, dtype=dtype) for name, count in counts.items()
        }
        self.inputs["temb"] = torch.randn(1, sizes.time_embed_dim, device=device, dtype=dtype)
        self.rotary = host.rotary_table(sizes, device)
        self.weights: dict[str, int] = {}
        self.peaks: dict[str, int] = {}
        self.added: dict[str, Tensor] = {}

    def rows(self, runs: int) -> dict[str, Report]:
        ways, skipped = self._ways(), {}
        if _MATH in ways and (needed := self._scores()) > self._free():
            del ways[_MATH]
            skipped[_MATH] = {"skipped": f"its table of scores needs {needed / 2**30:.0f} GiB"}
        calls = {name: (lambda name=name, way=way: self._keep(name, *way)) for name, way in ways.items()}
        # A CPU takes a minute or more for each: a turn that does not count would only double that.
        times = paired(calls, runs, self.device, base=PLAIN, warm=self.device.type == "cuda")
        expected = self.added[OFFICIAL]
        return skipped | {
            name: {
                "seconds": each["median"],
                "to plain": 1 / each["ratio"] - 1,
                "weights": self.weights[name],
                "peak": self.peaks[name],
                "difference": float((self.added[name] - expected).norm() / expected.norm()),
            }
            for name, each in times.items()
        }

    def _ways(self) -> dict[str, tuple]:
        """Name -> (a context around the transformer, the transformer, bytes of the identity's weights)."""
        ours, kept = self.injector, sum(value.nbytes for value in self.layers[0].parameters())
        whole = self.transformer
        ways = {
            PLAIN: (nullcontext, whole, 0),
            OFFICIAL: (lambda: host.attach(whole, OfficialFormula(self.layers, self.tokens, ours)), whole, kept),
            KEPT: (lambda: host.attach(whole, OfficialFormula(self.layers, self.tokens, ours, True)), whole, kept),
            OURS: (lambda: attached(whole, ours, None, 1), whole, ours.nbytes),
        }
        for name, options in mechanisms((1.0,), self.device, self.device.type == "cuda").items():
            if options and "cache" not in options and "strength" not in options:
                around = lambda options=options: attached(whole, ours, None, 1, **options)  # noqa: E731
                ways[name] = (around, whole, ours.nbytes)
        return ways | (self._in_half() if self.dtype == torch.float32 else {})

    def _in_half(self) -> dict[str, tuple]:
        half = copy.deepcopy(self.transformer).to(torch.bfloat16)
        layers = [copy.deepcopy(self.layers[0]).to(torch.bfloat16)]
        injector = Injector(layers, self.tokens.bfloat16(), interval=1)
        return {HALF: (lambda: attached(half, injector, None, 1), half, injector.nbytes)}

    def _keep(self, name: str, around: Callable, transformer, identity: int) -> None:
        self.progress(f"block: {name}")
        block, dtype = transformer.transformer_blocks[0], transformer.dtype
        with around(), Peak(self.device) as peak:
            self.weights[name] = identity + sum(value.nbytes for value in block.parameters())
            inputs = {key: value.to(dtype) for key, value in self.inputs.items()}
            hidden, _ = block(**inputs, image_rotary_emb=self.rotary)
        self.peaks[name] = peak.bytes
        self.added[name] = hidden.float() - self.inputs["hidden_states"].float()

    def _scores(self) -> int:
        """Bytes of the attention's table of scores, which PyTorch's plain form makes twice."""
        tokens = self.sizes.video_tokens + self.sizes.max_text_seq_length
        return 2 * self.sizes.num_attention_heads * tokens**2 * self.dtype.itemsize

    def _free(self) -> int:
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else free_memory()


def _with_usual_norms(transformer):
    """Norms that change nothing, so that the block adds as much as a trained one would, not almost nothing."""
    for name, value in transformer.named_parameters():
        if value.ndim == 1:
            value.fill_(float("norm" in name and name.endswith("weight") and ".linear." not in name))
    return transformer


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def tables(report: Report) -> list[str]:
    """The report as lines of Markdown."""
    settings, rows = report["settings"], report["rows"]
    lines = [
        "",
        f"### One block at {settings['text tokens']} + {settings['tokens']} tokens",
        "",
        f"{settings['dtype']}, width {settings['width']}, random weights, runs in turn: {settings['runs']}.",
        "",
        "| | seconds | to the plain block | weights, MiB | peak, MiB | difference to the official formula |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        if "skipped" not in row:
            lines.append(
                f"| {name} | {row['seconds']:.3g} | {row['to plain']:+.1%} | {row['weights'] / 2**20:.0f} | "
                f"{row['peak'] / 2**20:.0f} | {row['difference']:.2e} |"
            )
    left_out = [f"{name} was left out: {row['skipped']}." for name, row in rows.items() if "skipped" in row]
    return [*lines, *(["", *left_out] if left_out else [])]
