"""What tokens are asked: closed forms of the marks, and questions that only places can answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fantasyid_core.experiments.readout import (
    REST,
    Looks,
    Readout,
    answers,
    area_under_curve,
    explained,
    graded,
    missed,
    reading_loss,
    reading_losses,
)
from fantasyid_core.people.columns import LAYERS
from fantasyid_core.people.looks import KINDS, NUMBER_NAMES


def looks(count: int, seed: int = 0) -> Looks:
    """Pairs in which the second has hair in another half of the picture at rest."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(shape, generator=random)  # noqa: E731
    kinds = torch.stack([torch.randint(len(of), (count,), generator=random) for of in KINDS.values()], 1)
    layers = torch.zeros(count, 64, 64, dtype=torch.long)
    layers[::2, :, :32] = LAYERS.index("hair")
    layers[1::2, :, 32:] = LAYERS.index("hair")
    numbers = draw(count, len(NUMBER_NAMES))
    shown = torch.ones_like(numbers)
    return Looks(kinds, numbers, shown, draw(count, 3, REST, REST), layers[:, ::2, ::2], draw(count, 3, 64, 64), layers)


def test_area_under_the_curve_and_explained_variance_have_their_closed_forms():
    right = np.array([True, True, False, False])
    assert area_under_curve(np.array([4.0, 3, 2, 1]), right) == 1
    assert area_under_curve(np.array([1.0, 2, 3, 4]), right) == 0
    assert area_under_curve(np.array([4.0, 2, 3, 1]), right) == 0.75
    assert area_under_curve(np.zeros(4), right) == 0.5
    truth = np.array([0.0, 1, 2, 3])
    assert explained(truth, truth) == 1 and explained(np.full(4, 1.5), truth) == 0
    assert missed({"a": 0.9, "b": math.nan}, {"a": 0.9, "b": 0.5}).keys() == {"b"}


def test_the_truth_itself_is_graded_perfect():
    truth = looks(40)
    said = {name: truth.numbers[:, place].numpy() for place, name in enumerate(NUMBER_NAMES)}
    kinds = dict(zip(KINDS, truth.kinds.numpy().T, strict=True))
    said |= {"glasses": kinds["glasses"] > 0, "beard": kinds["beard"] > 0, "hair_style": kinds["hair_style"]}
    assert all(value == pytest.approx(1) for value in graded(said, truth).values())


def test_what_lies_where_is_learned_from_tokens_that_have_it():
    """Tokens that hold their own place's layer and nothing else: the readout learns to paint it."""
    torch.manual_seed(0)
    truth = looks(8)
    hair = (truth.layers == LAYERS.index("hair")).float().view(8, 8, 8, 8, 8).mean((2, 4)).flatten(1)  # [B,64]
    tokens = torch.stack([hair, 1 - hair] + [torch.linspace(-1, 1, 64).expand(8, -1)] * 6, 2)
    readout = Readout(64, 8, own=True, hidden=16, painter=16)
    readout.fit(truth.numbers)
    optimizer, first = torch.optim.Adam(readout.parameters(), 0.01), None
    for _ in range(60):
        losses = reading_losses(readout(tokens), truth, readout)
        first = first or {name: value.item() for name, value in losses.items()}
        reading_loss(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses["own layers"].item() < 0.4 < first["own layers"]  # knowing nothing costs 0.69
    assert losses["own colours"].item() < first["own colours"]


def test_answers_are_odds_numbers_and_names():
    readout = Readout(4, 8, own=False, hidden=8, painter=8)
    readout.fit(looks(8).numbers)
    with torch.no_grad():
        said = answers(readout(torch.randn(5, 4, 8)), readout)
    assert said.keys() == {"glasses", "beard", "hair_style", *NUMBER_NAMES}
    assert all(value.shape == (5,) for value in said.values())


def test_where_twins_differ_counts_more():
    readout = Readout(4, 8, own=False, hidden=8, painter=8)
    truth, tokens = looks(2), torch.zeros(2, 4, 8)
    alike = truth._replace(rest=truth.rest[:1].repeat(2, 1, 1, 1))
    with torch.no_grad():
        read = readout(tokens)
        plain, counted = (reading_losses(read, alike, readout, twins)["rest layers"].item() for twins in (False, True))
        assert counted == pytest.approx(plain)
        plain, counted = (reading_losses(read, truth, readout, twins)["rest layers"].item() for twins in (False, True))
        assert counted > 3 * plain  # random pictures differ nearly everywhere
