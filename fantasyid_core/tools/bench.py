"""What an identity costs, measured against the release's own formula in the same run.

The networks have their real sizes and random weights. On the CPU one injected layer is simulated at a time and
the video has a fifth of its tokens unless `full`; all figures of an injection are linear in layers and tokens,
which the scaling tables show. Competing methods are timed in turn, so that changes of the machine's speed affect both.
Compare ratios (medians over the pairs), not seconds of different runs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..identity.fixed import add_people, fixed_layer, load_fixed
from ..identity.folded import FoldedLayer
from ..identity.network.attention import LayerAttention
from ..identity.network.release import ReleaseEncoder
from ..identity.projections import Share
from ..identity.steering.regions import Region, side_by_side, token_mask
from ..identity.steering.token_weights import WeightedTokens
from ..shape.topology.topology import Topology, Transform
from .bench_block import measure_block
from .bench_likeness import PEOPLE
from .bench_mechanisms import run_mechanism_bench
from .bench_transformer import measure_transformer, release_attention
from .processor import describe_machine
from .timing import paired, ratio

STEPS = 50  # of the release's sampling; each is one call of the model for both halves of guidance
RELEASE, KEPT, FUSED, FOLDED = "release's formula", "K and V kept", "K and V kept, fused attention", "folded"
Report = dict[str, object]


def run_bench(
    full: bool = False,
    runs: int | None = None,
    config: AdapterConfig | None = None,
    sizes: TransformerConfig | None = None,
    device: str | torch.device | None = None,
    progress: Callable[[str], None] = lambda text: None,
    people: int = PEOPLE,
) -> Report:
    """All measurements as plain numbers, strings, lists and dicts; seconds and bytes.

    full: all video tokens and all injected layers on the CPU too, one whole block of the transformer, and whole
    samplings under every mechanism, with the likeness of `people` people. runs: pairs per figure, 5 by default, 3 with
    `full`, and there 1 for a block on the CPU. config, sizes: those of the release by default. device: the GPU when
    there is one; the whole transformer is measured there too. Raises ValueError for fewer than one run.
    """
    given, block_runs = (sizes, config), runs
    config, sizes = config or AdapterConfig(), sizes or TransformerConfig()
    runs = (3 if full else 5) if runs is None else runs
    if runs < 1:
        raise ValueError(f"Expected at least one run, got {runs}.")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    tokens = sizes.video_tokens if full or on_gpu else max(1, sizes.video_tokens // 5)
    layers = config.injected_layers if full else min(4, config.injected_layers)
    bench = Bench(config, sizes, tokens, runs, device, dtype)
    report: Report = {"machine": describe_machine(device), "settings": bench.settings(layers)}
    with torch.inference_mode():
        for name, measure in (
            ("identity", bench.identity),
            ("injection", bench.injection),
            ("memory", bench.memory),
            ("by tokens", bench.by_tokens),
            ("by people", bench.by_people),
            ("by layers", lambda: bench.by_layers(layers)),
        ):
            progress(name)
            report[name] = measure()
        report["video"] = summarise(report, config)
        if on_gpu:
            progress("transformer")
            report["transformer"] = measure_transformer(config, sizes, device, dtype, runs)
        if full:
            count = block_runs or (runs if on_gpu else 1)
            report["block"] = measure_block(sizes, config, device, dtype, count, progress)
    if full:
        report["sampling"] = run_mechanism_bench(block_runs or 1, device, *given, progress=progress, people=people)
    return report


class Bench:
    """One layer after the other with random weights; every method measures one table."""

    def __init__(self, config, sizes, tokens: int, runs: int, device: torch.device, dtype: torch.dtype):
        self.config, self.sizes, self.tokens, self.runs, self.device, self.dtype = (
            config, sizes, tokens, runs, device, dtype,
        )  # fmt: skip
        torch.manual_seed(0)
        self.layer = self.make_layer()

    def settings(self, layers: int) -> Report:
        return {
            "tokens": self.tokens, "of": self.sizes.video_tokens, "width": self.config.dit_width,
            "identity tokens": self.config.id_tokens, "dtype": str(self.dtype).removeprefix("torch."),
            "runs": self.runs, "layers measured": layers, "layers": self.config.injected_layers,
        }  # fmt: skip

    def make_layer(self) -> LayerAttention:
        return LayerAttention(self.config).requires_grad_(False).to(self.device, self.dtype)

    def make_person(self) -> Tensor:
        return torch.randn(1, self.config.id_tokens, self.config.id_width, device=self.device)

    def make_hidden(self, tokens: int | None = None) -> Tensor:
        shape = (1, tokens or self.tokens, self.config.dit_width)
        return torch.randn(shape, device=self.device, dtype=self.dtype)

    def time(self, calls: dict[str, Callable], base: str | None = None) -> dict[str, Report]:
        return paired(calls, self.runs, self.device, base)

    def identity(self) -> dict[str, Report]:
        """Times of what is computed once per person, or once per run."""
        encoder = ReleaseEncoder(self.config, stand_in_topology(self.config)).requires_grad_(False).eval()
        encoder.to(self.device)
        for value in encoder.parameters():
            value.normal_(0, 0.02)
        feats = torch.randn(1, self.config.vit_tokens, self.config.vit_width, device=self.device)
        vertices = torch.randn(1, self.config.vertex_counts[0], 3, device=self.device)
        person, layer = self.make_person(), self.layer
        return self.time(
            {
                "identity tokens": lambda: encoder(feats, vertices),
                "K and V of a layer": lambda: layer.project(person.to(self.dtype)),
                "folding of a layer": lambda: load_fixed(layer, [WeightedTokens(person)], self.dtype),
            }
        )

    def injection(self) -> dict[str, Report]:
        """One layer on the video tokens, in the forms that compete.

        ratio: how many times as fast as the release, which computes K and V in every call; "ratio to kept": as its
        formula with K and V kept.
        """
        person, hidden, layer = self.make_person(), self.make_hidden(), self.layer
        form = load_fixed(layer, [WeightedTokens(person)], self.dtype)
        person = person.to(self.dtype)
        kv = layer.project(person)
        times = self.time(
            {
                RELEASE: lambda: hidden + release_attention(layer, hidden, layer.project(person)),
                KEPT: lambda: hidden + release_attention(layer, hidden, kv),
                FUSED: lambda: hidden + layer.attend(kv, hidden),
                FOLDED: lambda: add_people(form, hidden, [Share()]),
            },
            base=RELEASE,
        )
        for each in times.values():
            each["ratio to kept"] = ratio(times[KEPT], each)
        return times

    def memory(self) -> Report:
        """Bytes of all injected layers: of the adapter, and while sampling for one person and more."""
        count, size = self.config.injected_layers, self.dtype.itemsize
        whole = sum(value.numel() for value in self.layer.parameters())
        with torch.device("meta"):
            person = WeightedTokens(torch.empty(1, self.config.id_tokens, self.config.id_width))
            forms = {people: fixed_layer(self.layer, [person] * people) for people in (1, 2, 3, 4)}
        per_token = forms[1].floats_per_token + self.config.dit_width
        return {
            "adapter": count * size * whole,
            **{f"people {people}": count * size * form.weight_count for people, form in forms.items()},
            "share": forms[1].weight_count / whole,
            "activations": 2 * self.sizes.video_tokens * per_token * size,
        }

    def by_tokens(self) -> list[Report]:
        """Folded against K and V kept, for fewer and more video tokens."""
        person, rows = self.make_person(), []
        form, kv = (
            load_fixed(self.layer, [WeightedTokens(person)], self.dtype),
            self.layer.project(person.to(self.dtype)),
        )
        for tokens in sorted({max(1, self.tokens // 4), max(1, self.tokens // 2), self.tokens}):
            hidden = self.make_hidden(tokens)
            times = self.time(
                {
                    KEPT: lambda hidden=hidden: hidden + release_attention(self.layer, hidden, kv),
                    FOLDED: lambda hidden=hidden: add_people(form, hidden, [Share()]),
                },
                base=KEPT,
            )
            rows.append({"tokens": tokens, **times[FOLDED]})
        return rows

    def by_people(self) -> list[Report]:
        """Several people against one: each on the whole picture, and two in a half each."""
        hidden = self.make_hidden()
        one = load_fixed(self.layer, [WeightedTokens(self.make_person())], self.dtype)
        halves = [self.region(mask) for mask in side_by_side(2)]
        cases = [(f"{count} on the whole picture", [Share()] * count) for count in (2, 3, 4)]
        cases.append(("2 in a half each", [Share(1.0, region) for region in halves]))
        cases.append(("1 in a half", [Share(1.0, halves[0])]))
        rows = [{"people": "1 on the whole picture", "form": "folded", "cost": 1.0}]
        for name, shares in cases:
            form = load_fixed(self.layer, [WeightedTokens(self.make_person()) for _ in shares], self.dtype)
            times = self.time(
                {
                    "one": lambda: add_people(one, hidden, [Share()]),
                    "several": lambda form=form, shares=shares: add_people(form, hidden, shares),
                },
                base="several",
            )
            kind = "folded" if isinstance(form, FoldedLayer) else "shared"
            rows.append({"people": name, "form": kind, "cost": times["one"]["ratio"]})
        return rows

    def region(self, mask: Tensor) -> Region:
        """The mask's region on the first of the measured tokens' frames, as many as there are."""
        weights = token_mask(mask, self.sizes).reshape(-1)
        weights = weights[torch.linspace(0, len(weights) - 1, self.tokens).long()]
        return Region.of(weights.reshape(1, -1, 1)).to(self.device, self.dtype)

    def by_layers(self, count: int) -> list[Report]:
        """Layers with weights of their own, one after the other; those not measured cost as much each."""
        hidden, person = self.make_hidden(), self.make_person()
        forms, rows = [], []
        for number in range(1, count + 1):
            forms.append(load_fixed(self.make_layer(), [WeightedTokens(person)], self.dtype))
            if number & (number - 1) == 0 or number == count:

                def call(forms=tuple(forms)):
                    for form in forms:
                        add_people(form, hidden, [Share()])

                rows.append({"layers": number, **self.time({"layers": call})["layers"]})
        return rows


def stand_in_topology(config: AdapterConfig) -> Topology:
    """A mesh of the configured sizes with random neighbours: as costly as FLAME's, and not licensed."""
    counts, draw = config.vertex_counts, torch.Generator().manual_seed(0)
    pairs = list(zip(counts, counts[1:], strict=False))

    def spread(fine: int, coarse: int) -> Transform:
        near = torch.randint(coarse, (3 * fine,), generator=draw)
        rows = torch.arange(fine).repeat_interleave(3)
        return Transform(torch.stack([rows, near]), torch.full((3 * fine,), 1 / 3), (fine, coarse))

    def select(fine: int, coarse: int) -> Transform:
        kept = torch.arange(coarse)
        return Transform(torch.stack([kept, kept]), torch.ones(coarse), (coarse, fine))

    return Topology(
        spirals=tuple(torch.randint(fine, (fine, config.spiral_length), generator=draw) for fine, _ in pairs),
        down=tuple(select(fine, coarse) for fine, coarse in pairs),
        up=tuple(spread(fine, coarse) for fine, coarse in pairs),
        faces=torch.zeros(1, 3, dtype=torch.int64),
        template=torch.zeros(counts[0], 3),
    )


def summarise(report: Report, config: AdapterConfig) -> Report:
    """A video of `STEPS` steps: how often, and for how long, the identity is computed.

    The release computes identity branch, K and V in every step, this project once, and folds them. Seconds are
    products of the measured medians.
    """
    identity, injection, layers = report["identity"], report["injection"], config.injected_layers
    branch, kv, fold = (
        identity[name]["median"] for name in ("identity tokens", "K and V of a layer", "folding of a layer")
    )
    every_step = STEPS * (branch + layers * kv)
    return {
        "identity computations": {"release": STEPS, "here": 1},
        "K and V projections": {"release": STEPS * layers, "here": layers},
        "identity seconds": {"release": every_step, "here": branch + layers * fold},
        "injection ratio": injection[FOLDED]["ratio"],
        "injection ratio to kept": injection[FOLDED]["ratio to kept"],
    }
