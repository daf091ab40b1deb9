"""When a person acts, and how much its face and its shape count."""

from __future__ import annotations

import math

import pytest
import torch
from golden import relative_error
from small import inputs_of

from fantasyid_core.config import AdapterConfig
from fantasyid_core.identity.fixed import load_fixed
from fantasyid_core.identity.projections import Share
from fantasyid_core.identity.steering.combining import combine_tokens
from fantasyid_core.identity.steering.timing import Timing
from fantasyid_core.identity.steering.token_weights import WeightedTokens, weight_tokens


def weights(timing, count=11):
    return [round(timing.weight(step / (count - 1)), 6) for step in range(count)]


def test_without_settings_a_person_acts_throughout():
    assert weights(Timing()) == [1.0] * 11


def test_start_and_end_belong_to_the_range():
    assert weights(Timing(0.2, 0.6)) == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert weights(Timing(1.0, 1.0)) == [0] * 11


def test_fades_are_straight_ramps_inside_the_range():
    assert weights(Timing(0.2, 1.0, fade_in=0.4)) == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert weights(Timing(fade_out=0.5)) == [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0]
    both = Timing(0.0, 1.0, fade_in=1.0, fade_out=1.0)  # where they overlap, the smaller one
    assert weights(both) == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1, 0]


def test_a_schedule_multiplies():
    points = [(0.0, 1.0), (0.5, 0.5), (1.0, 2.0)]
    assert weights(Timing(schedule=points)) == [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0]
    assert weights(Timing(0.5, 1.0, fade_in=0.5, schedule=points))[:7] == [0, 0, 0, 0, 0, 0, 0.16]
    assert weights(Timing(schedule=lambda progress: -progress))[5] == -0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 1.5}, "start and end between 0 and 1, got 1.5"),
        ({"end": math.nan}, "start and end between 0 and 1"),
        ({"start": 0.7, "end": 0.3}, "end after the start, got start 0.7 and end 0.3"),
        ({"fade_in": -0.1}, "fades between 0 and 1 of the sampling, got -0.1"),
        ({"fade_out": 2}, "fades between 0 and 1"),
        ({"schedule": []}, "at least one point"),
        ({"schedule": [(0.5, 1), (0.2, 1)]}, "in order"),
        ({"schedule": [(0.0, math.nan)]}, "finite weight"),
    ],
)
def test_other_timings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Timing(**settings)


def test_a_schedule_that_fails_says_where():
    with pytest.raises(ValueError, match="finite weights from the schedule, got nan at 0.250"):
        Timing(schedule=lambda progress: math.nan).weight(0.25)


@pytest.fixture(scope="module")
def case(tiny_adapter):
    """Adapter, tokens [1, 6, Cid] (4 of the face) and hidden states."""
    with torch.no_grad():
        tokens = tiny_adapter.encode(*inputs_of(tiny_adapter))
    hidden = torch.randn(1, 9, tiny_adapter.config.dit_width, generator=torch.Generator().manual_seed(0))
    return tiny_adapter, tokens, hidden


@torch.no_grad()
def delta(case, person):
    adapter, _, hidden = case
    return load_fixed(adapter.layers[0], [person], torch.float32).add(None, hidden, [Share()])


def test_a_group_of_weight_zero_is_as_if_it_were_not_there(case):
    adapter, tokens, _ = case
    count = adapter.config.face_tokens
    face = weight_tokens(adapter.config, tokens, vertex_weight=0)
    shape = weight_tokens(adapter.config, tokens, face_weight=0)
    assert torch.equal(face.tokens, tokens[:, :count]) and torch.equal(shape.tokens, tokens[:, count:])
    assert face.log_weights is None and shape.log_weights is None
    almost = weight_tokens(adapter.config, tokens, vertex_weight=1e-9)
    assert relative_error(delta(case, almost), delta(case, face)) < 1e-5
    assert weight_tokens(adapter.config, tokens, 0, 0) is None


def test_an_adapter_with_one_group_alone_can_lose_it():
    config = AdapterConfig.paper_tiny(use_face=False)
    tokens = torch.randn(1, config.id_tokens, config.id_width)
    assert weight_tokens(config, tokens, vertex_weight=0) is None
    assert weight_tokens(config, tokens, face_weight=0).tokens.shape == tokens.shape


def test_a_weight_is_how_often_a_group_is_there(case):
    adapter, tokens, _ = case
    count = adapter.config.face_tokens
    twice = torch.cat([tokens, tokens[:, :count]], dim=1)
    got = delta(case, weight_tokens(adapter.config, tokens, face_weight=2))
    assert relative_error(got, delta(case, WeightedTokens(twice))) < 1e-5


def test_equal_weights_change_nothing(case):
    adapter, tokens, _ = case
    for weight in (1.0, 2.5):
        person = weight_tokens(adapter.config, tokens, weight, weight)
        assert person.tokens is tokens and person.log_weights is None


def test_concatenated_references_are_weighted_one_by_one(case):
    adapter, tokens, _ = case
    two = combine_tokens([tokens, 2 * tokens], "concatenate")
    count, all_ = adapter.config.face_tokens, adapter.config.id_tokens
    kept = weight_tokens(adapter.config, two, vertex_weight=0).tokens
    assert torch.equal(kept, torch.cat([two[:, :count], two[:, all_ : all_ + count]], dim=1))
    ratio = weight_tokens(adapter.config, two, vertex_weight=3).log_weights
    assert ratio.exp().round(decimals=4).tolist() == ([1.0] * count + [3.0] * (all_ - count)) * 2


@pytest.mark.parametrize(("face", "shape"), [(-1, 1), (1, -0.1), (math.nan, 1), (1, math.inf)])
def test_negative_weights_are_refused(case, face, shape):
    with pytest.raises(ValueError, match="weights of face and shape of 0 or more"):
        weight_tokens(case[0].config, case[1], face, shape)


def test_no_tokens_are_refused(case):
    with pytest.raises(ValueError, match="at least one identity token"):
        weight_tokens(case[0].config, case[1][:, :0])


def test_tokens_of_no_whole_reference_cannot_be_weighted(case):
    with pytest.raises(ValueError, match="identity tokens per reference, got"):
        weight_tokens(case[0].config, case[1][:, :-1], 1, 2)
