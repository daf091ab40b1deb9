"""A network that reads a person's looks from tokens, its training loss, and the thresholds that it must reach.

A loss on the mean of the tokens does not teach them where something lies, and what no loss asks for is lost. Therefore
this readout predicts spatially: each token of a face encoder predicts its own 8 x 8 pixels, and all tokens together
predict the person's portrait at rest, in layers and colours. It also predicts kinds and numbers of the looks. From
identity tokens it predicts the same, except each token's own pixels. The readout is dropped after the training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..people.columns import LAYERS
from ..people.looks import KINDS, NUMBER_NAMES

REST = 32  # side of the portrait at rest, in pixels
_REST_GRID = 8  # and of the grid of places that paint it
_OWN = 8  # pixels along the side of what a face token stands for
_COLOURS = 3
# Thin parts have a larger weight: frames of glasses are one pixel in two hundred.
_LAYER_WEIGHTS = {"hair": 1.5, "brows": 3.0, "eyes": 3.0, "lips": 3.0, "mouth": 3.0, "glasses": 8.0}
_NUMBER_WEIGHTS = {"hair_volume": 40.0, "hair_length": 24.0, "hair_colour": 2.0, "iris": 6.0}
_HIDDEN = 0.3  # weight of a number that cannot be seen, so that its prediction goes to the mean
_DIFFERS = 3.0  # more for pixels in which twins differ
SHARES = {
    "own layers": 0.5, "own colours": 2.0, "hair_style": 0.6, "beard": 1.0, "glasses": 1.0, "numbers": 0.5,
    "rest layers": 0.7, "rest colours": 8.0,
}  # fmt: skip
"""How much each question counts in `reading_loss`."""
GATES = {"glasses": 0.97, "beard": 0.93, "hair_style": 0.80, "hair_volume": 0.40}
TOKEN_GATES = {**GATES, "glasses": 0.93}
"""What has to be read of held-out people: area under the curve, share of right answers, explained variance."""


class Looks(NamedTuple):
    """The truth of B pictures; twins follow each other."""

    kinds: Tensor  # [B,3] int64, as `look_kinds`
    numbers: Tensor  # [B,N]
    shown: Tensor  # [B,N], as `shown_numbers`
    rest: Tensor  # [B,3,REST,REST] in 0..1
    rest_layers: Tensor  # [B,REST,REST] int64
    pixels: Tensor | None = None  # [B,3,S,S] in 0..1: the picture itself
    layers: Tensor | None = None  # [B,S,S] int64


class Read(NamedTuple):
    """The readout's predictions for B pictures: logits, and colours in -1..1; P places of K pixels."""

    kinds: dict[str, Tensor]  # each [B, number of kinds]
    numbers: Tensor  # [B,N] standardised
    rest_layers: Tensor  # [B,P,K,layers]
    rest_colours: Tensor  # [B,P,K,3]
    layers: Tensor | None = None  # [B,P,K,layers]
    colours: Tensor | None = None  # [B,P,K,3]


class Readout(nn.Module):
    """Tokens [B,tokens,width] -> `Read`. own: the tokens are a grid over the picture, and are asked for it.

    `mean` and `deviation` of the numbers are those of the people of training; see `fit`.
    """

    def __init__(self, tokens: int, width: int, own: bool, hidden: int = 256, painter: int = 128):
        super().__init__()
        self.own = nn.Linear(width, _OWN**2 * (len(LAYERS) + _COLOURS)) if own else None
        self.enter = nn.LayerNorm(width)
        self.thin = nn.Linear(width, 32)
        self.gather = nn.Linear(32 * tokens, hidden)
        self.answer = nn.Linear(hidden, sum(map(len, KINDS.values())) + len(NUMBER_NAMES))
        self.places = nn.Parameter(0.5 * torch.randn(1, _REST_GRID**2, painter))
        self.look = nn.ModuleList(CrossLayer(painter, width) for _ in range(2))
        self.norm = nn.LayerNorm(painter)
        self.paint = nn.Linear(painter, (REST // _REST_GRID) ** 2 * (len(LAYERS) + _COLOURS))
        self.register_buffer("mean", torch.zeros(len(NUMBER_NAMES)))
        self.register_buffer("deviation", torch.ones(len(NUMBER_NAMES)))

    def fit(self, numbers: Tensor) -> None:  # [n,N]
        self.mean.copy_(numbers.mean(0))
        self.deviation.copy_(numbers.std(0).clamp_min(1e-3))

    def forward(self, tokens: Tensor) -> Read:
        tokens = self.enter(tokens)
        said = self.answer(F.gelu(self.gather(F.gelu(self.thin(tokens)).flatten(1)))).float()
        *kinds, numbers = said.split([*map(len, KINDS.values()), len(NUMBER_NAMES)], dim=1)
        places = self.places.to(tokens.dtype).expand(len(tokens), -1, -1)
        for layer in self.look:
            places = layer(places, tokens)
        rest = _pixels(self.paint(self.norm(places)))
        own = (None, None) if self.own is None else _pixels(self.own(tokens))
        return Read(dict(zip(KINDS, kinds, strict=True)), numbers, *rest, *own)


class CrossLayer(nn.Module):
    """Places look at tokens, then a feed-forward of twice the width: [B,P,C], [B,N,Ct] -> [B,P,C]."""

    def __init__(self, width: int, token_width: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q, self.to_kv, self.to_out = (
            nn.Linear(width, width), nn.Linear(token_width, 2 * width), nn.Linear(width, width)
        )  # fmt: skip
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, places: Tensor, tokens: Tensor) -> Tensor:
        apart = lambda x: x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # noqa: E731  # [B,N,C] -> [B,H,N,C/H]
        q, (k, v) = apart(self.to_q(self.norm_in(places))), map(apart, self.to_kv(tokens).chunk(2, dim=2))
        weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)
        places = places + self.to_out((weights @ v).transpose(1, 2).flatten(2))
        return places + self.narrow(F.gelu(self.widen(self.norm_out(places))))


def _pixels(said: Tensor) -> tuple[Tensor, Tensor]:
    """[B,P,K * (layers + 3)] -> [B,P,K,layers] and [B,P,K,3]."""
    count = said.shape[2] // (len(LAYERS) + _COLOURS)
    layers, colours = said.split([count * len(LAYERS), count * _COLOURS], dim=2)
    return layers.unflatten(2, (count, -1)), colours.unflatten(2, (count, -1))


def reading_losses(read: Read, truth: Looks, readout: Readout, twins: bool = True) -> dict[str, Tensor]:
    """By question, without the shares: means over the pictures. twins: pictures come in pairs, see `SHARES`."""
    found = {}
    if read.layers is not None:
        found["own layers"] = _layer_losses(read.layers, truth.layers).mean()
        found["own colours"] = (read.colours.float() - _in_places(2 * truth.pixels - 1, _OWN)).square().mean()
    for place, (name, said) in enumerate(read.kinds.items()):
        found[name] = F.cross_entropy(said, truth.kinds[:, place])
    standard = (truth.numbers - readout.mean) / readout.deviation
    counts = (_HIDDEN + (1 - _HIDDEN) * truth.shown) * number_weights().to(standard)
    found["numbers"] = ((read.numbers - standard).square() * counts).mean()
    counts = _counts(truth.rest, twins)  # [B,P,K]
    painted = (read.rest_colours.float() - _in_places(2 * truth.rest - 1, REST // _REST_GRID)).square().mean(3)
    found["rest colours"] = (painted * counts).mean()
    found["rest layers"] = (_layer_losses(read.rest_layers, truth.rest_layers) * counts).mean()
    return found


def reading_loss(losses: dict[str, Tensor]) -> Tensor:
    return sum(SHARES[name] * value for name, value in losses.items())


def number_weights() -> Tensor:  # [N]
    return torch.tensor([_NUMBER_WEIGHTS.get(name.partition(" ")[0], 1.0) for name in NUMBER_NAMES])


def _layer_losses(said: Tensor, layers: Tensor) -> Tensor:  # [B,P,K,layers], [B,S,S] -> [B,P,K]
    weights = torch.tensor([_LAYER_WEIGHTS.get(name, 1.0) for name in LAYERS])
    truth = _in_places(layers[:, None], round(said.shape[2] ** 0.5))[..., 0]
    each = F.cross_entropy(said.flatten(0, 2).float(), truth.flatten(), weights, reduction="none")
    return each.view(truth.shape) / weights[truth].mean()


def _counts(rest: Tensor, twins: bool) -> Tensor:  # -> [B,P,K]
    """1, and more where twins differ."""
    counts = torch.ones_like(rest[:, :1])
    if twins:
        differs = (rest[0::2] - rest[1::2]).abs().amax(1, keepdim=True) > 0.06
        counts = counts + _DIFFERS * differs.repeat_interleave(2, 0)
    return _in_places(counts, REST // _REST_GRID)[..., 0]


def _in_places(pictures: Tensor, side: int) -> Tensor:
    """[B,C,S,S] -> [B,P,side * side,C]: squares of the picture, row by row."""
    columns = F.unfold(pictures.float(), side, stride=side).unflatten(1, (pictures.shape[1], -1))
    return columns.permute(0, 3, 2, 1).to(pictures.dtype)


def answers(read: Read, readout: Readout) -> dict[str, np.ndarray]:
    """Of B pictures: "glasses" and "beard" as the log odds that there are some, "hair_style" as a number of `KINDS`,
    and every number by its name."""
    some = lambda name: torch.logsumexp(read.kinds[name][:, 1:], 1) - read.kinds[name][:, 0]  # noqa: E731
    numbers = read.numbers * readout.deviation + readout.mean
    found = {"glasses": some("glasses"), "beard": some("beard"), "hair_style": read.kinds["hair_style"].argmax(1)}
    found |= {name: numbers[:, place] for place, name in enumerate(NUMBER_NAMES)}
    return {name: value.float().numpy() for name, value in found.items()}


def graded(said: dict[str, np.ndarray], truth: Looks) -> dict[str, float]:
    """The measures of `GATES`, the hair's length, and the mean of each colour's channels, over all pictures."""
    kinds = dict(zip(KINDS, truth.kinds.numpy().T, strict=True))
    marks = {name: area_under_curve(said[name], kinds[name] > 0) for name in ("glasses", "beard")}
    marks["hair_style"] = float((said["hair_style"] == kinds["hair_style"]).mean())
    numbers = dict(zip(NUMBER_NAMES, truth.numbers.numpy().T, strict=True))
    each = {name: explained(said[name], value) for name, value in numbers.items()}
    for name in ("hair_volume", "hair_length", "hair_colour", "skin", "iris"):
        marks[name] = float(np.mean([value for key, value in each.items() if key.partition(" ")[0] == name]))
    return marks


def missed(marks: dict[str, float], gates: dict[str, float]) -> dict[str, tuple[float, float]]:
    """The thresholds that are missed: name -> the value found, the value wanted."""
    return {name: (marks[name], wanted) for name, wanted in gates.items() if not marks[name] >= wanted}


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that one of `positive` has a higher score than one of the others, ties counted half."""
    from scipy.stats import mannwhitneyu

    ours, others = scores[positive], scores[~positive]
    return float(mannwhitneyu(ours, others).statistic / (len(ours) * len(others)))


def explained(said: np.ndarray, truth: np.ndarray) -> float:
    """The share of the truth's variance that is explained (R squared); below 0 where the mean would be better."""
    return float(1 - np.square(said - truth).mean() / truth.var())
