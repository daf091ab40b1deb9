"""ConsisID's identity measured in one run with diffusers' own modules, on the same random weights and inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..config import AdapterConfig, TransformerConfig
from ..identity.fixed import add_people, fixed_layer, load_fixed
from ..identity.network.attention import LayerAttention
from ..identity.network.consisid import LocalFacialExtractor
from ..identity.projections import Share
from ..identity.steering.token_weights import WeightedTokens
from .bench import STEPS
from .bench_transformer import release_attention
from .processor import describe_machine, machine_line
from .timing import paired, ratio

OWN, KEPT, FOLDED = "diffusers' own module", "K and V kept", "folded"
PART = 877  # tokens: a twentieth of the video
DTYPES = (torch.float32, torch.bfloat16)
Report = dict[str, object]


def run_consisid_bench(
    full: bool = False,
    runs: int = 5,
    config: AdapterConfig | None = None,
    sizes: TransformerConfig | None = None,
    device: str | torch.device | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """The injection of one layer and the identity branch, ours against diffusers' own; seconds and bytes.

    full: all video tokens on the CPU, too. Raises ValueError for fewer than one run.
    """
    if runs < 1:
        raise ValueError(f"Expected at least one run, got {runs}.")
    config, sizes = config or AdapterConfig.consisid(), sizes or TransformerConfig()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    everything = full or device.type == "cuda"
    counts = [min(PART, sizes.video_tokens), *([sizes.video_tokens] if everything else [])]
    report: Report = {"machine": describe_machine(device), "runs": runs, "injection": []}
    with torch.inference_mode():
        for dtype in DTYPES:
            for count in dict.fromkeys(counts):
                progress(f"{count} tokens in {_name(dtype)}")
                report["injection"].append(_injection(config, count, dtype, device, runs))
        progress("identity branch")
        report["extractor"] = _extractor(config, device, runs)
    report["memory"] = _memory(config)
    report["per video"] = {"extractor": {"diffusers": STEPS, "here": 1}}  # there in every call of the model
    return report


def _injection(config: AdapterConfig, count: int, dtype: torch.dtype, device, runs: int) -> Report:
    """One layer on `count` video tokens, in turn: times by name, and how many times as fast as the module's own way."""
    from ..host.diffusers.consisid import own_cross_attention

    torch.manual_seed(0)
    layer = LayerAttention(config).requires_grad_(False).to(device, dtype)
    own = own_cross_attention(layer, config)
    person = torch.randn(1, config.id_tokens, config.id_width, device=device)
    hidden = torch.randn(1, count, config.dit_width, device=device, dtype=dtype)
    form = load_fixed(layer, [WeightedTokens(person)], dtype)
    tokens = person.to(dtype)
    kv = layer.project(tokens)
    times = paired(
        {
            OWN: lambda: hidden + own(tokens, hidden),
            KEPT: lambda: hidden + release_attention(layer, hidden, kv),
            FOLDED: lambda: add_people(form, hidden, [Share()]),
        },
        runs, device, base=OWN,
    )  # fmt: skip
    return {
        "tokens": count, "dtype": _name(dtype), "times": times, "ratio": times[FOLDED]["ratio"],
        "ratio to kept": ratio(times[KEPT], times[FOLDED]),
    }  # fmt: skip


def _extractor(config: AdapterConfig, device, runs: int) -> Report:
    """The identity branch, which is computed once per person here and in every call of the model there."""
    network = LocalFacialExtractor(config).requires_grad_(False).to(device).eval()
    for value in network.parameters():
        value.normal_(0, 0.02)
    tokens = config.vit_tokens
    states = [torch.randn(1, tokens, config.vit_width, device=device) for _ in range(config.identity_states)]
    vector = torch.randn(1, config.vector_width, device=device)
    return paired({"identity tokens": lambda: network(states, vector)}, runs, device)["identity tokens"]


def _memory(config: AdapterConfig) -> Report:
    with torch.device("meta"):
        layer = LayerAttention(config)
        form = fixed_layer(layer, [WeightedTokens(torch.empty(1, config.id_tokens, config.id_width))])
    whole, kept = sum(value.numel() for value in layer.parameters()), form.weight_count
    return {"adapter": config.injected_layers * whole, "resident": config.injected_layers * kept, "share": kept / whole}


def tables(report: Report) -> list[str]:
    """The report as lines of Markdown."""
    machine, memory = report["machine"], report["memory"]
    rows: Sequence[str] = [
        f"| {row['tokens']} | {row['dtype']} | "
        + " | ".join(f"{1e3 * row['times'][name]['median']:.1f}" for name in (OWN, KEPT, FOLDED))
        + f" | {row['ratio']:.2f} | {row['ratio to kept']:.2f} |"
        for row in report["injection"]
    ]
    return [
        f"{machine_line(machine)}; {report['runs']} runs in turn, medians.",
        "",
        "### ConsisID: injection of one layer",
        "",
        f"| video tokens | dtype | {OWN}, ms | {KEPT}, ms | {FOLDED}, ms | times as fast as diffusers | as kept |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"Identity branch: {1e3 * report['extractor']['median']:.0f} ms, once per person; diffusers computes it "
        f"{report['per video']['extractor']['diffusers']} times per video of {STEPS} steps.",
        f"Weights that stay while sampling: {memory['share']:.1%} of the injected layers.",
    ]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
