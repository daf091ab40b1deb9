"""Layer weights as readable strings: the grammar, its errors and presets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fantasyid_core.identity.steering.layer_weights import (
    PRESETS,
    layer_weight_presets,
    parse_layer_weights,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [1, 1, 1, 1, 1, 1]),
        ("   \n ", [1, 1, 1, 1, 1, 1]),
        ("3:0", [1, 1, 1, 0, 1, 1]),
        ("0-2:1.2, 3-5:0.8", [1.2, 1.2, 1.2, 0.8, 0.8, 0.8]),
        (" 0 - 2 : 1.2 ;\n 4:-.5, ", [1.2, 1.2, 1.2, 1, -0.5, 1]),
        ("0-5:2\n3:1e-1", [2, 2, 2, 0.1, 2, 2]),  # later entries override
        ("3:0.1, 0-5:2", [2, 2, 2, 2, 2, 2]),
        ("2–3:0", [1, 1, 0, 0, 1, 1]),  # the dash of a word processor
        ("*: 0.5, 1:3", [0.5, 3, 0.5, 0.5, 0.5, 0.5]),
        ("1:3, *:0.5", [0.5, 3, 0.5, 0.5, 0.5, 0.5]),  # * is for the rest wherever it stands
        ("*:0.5, *:2", [2, 2, 2, 2, 2, 2]),
        ("0-4: 0..1", [0, 0.25, 0.5, 0.75, 1, 1]),
        ("1-3: 1...5", [1, 1, 0.75, 0.5, 1, 1]),
        ("1-3: 1.…2.", [1, 1, 1.5, 2, 1, 1]),
        ("*: 0..1, 0:7", [7, 0.2, 0.4, 0.6, 0.8, 1]),
        ("2: 0..1", [1, 1, 0.5, 1, 1, 1]),
        ("ramp up", [0.2, 0.36, 0.52, 0.68, 0.84, 1]),
        ("Ramp_Up, 0:9", [9, 0.36, 0.52, 0.68, 0.84, 1]),
        ("0:9, ramp-up", [9, 0.36, 0.52, 0.68, 0.84, 1]),
        ("first half, second half", [0, 0, 0, 1, 1, 1]),
    ],
)
def test_every_form_of_the_text_gives_its_weights(text, expected):
    assert parse_layer_weights(text, 6) == expected


@pytest.mark.parametrize(
    ("text", "character", "expected", "found"),
    [
        ("0-7:x", 5, "a weight", "'x'"),
        ("0-7:", 5, "a weight", "the end"),
        ("0-7 1.2", 5, "':' and a weight", "'1.2'"),
        ("3", 2, "':' and a weight", "the end"),
        ("*", 2, "':' and a weight", "the end"),
        ("0-7:1.2, 8-3:1", 12, "a last layer from 8 on", "'3'"),
        ("3-:1", 3, "the last layer", "':'"),
        ("0-21:1", 3, r"a layer from 0 to 20 \(the model has 21 injected layers\)", "'21'"),
        ("21:1", 1, "a layer from 0 to 20", "'21'"),
        ("0:1, 99999999999999999999:1", 6, "a layer from 0 to 20", "'99999999999999999999'"),
        ("-1:1", 1, "a layer such as 3", "'-1'"),
        ("1.5:1", 2, "':' and a weight", r"'\.5'"),
        ("3:nan", 3, "finite", "'nan'"),
        ("3:-inf", 3, "finite", "'-inf'"),
        ("3:1e999", 3, "finite", "'1e999'"),
        ("3:0..inf", 6, "finite", "'inf'"),
        ("3:0..", 6, "the weight at the end of the line", "the end"),
        ("0-7:1,2", 8, "':' and a weight", "the end"),  # a decimal comma
        ("3:1 4:1", 5, "a comma or the end", "'4'"),
        ("3:1,,4:1", 5, "a layer such as 3", "','"),
        (",3:1", 1, "a layer such as 3", "','"),
        ("structure frist", 1, "presets all, structure first", "'structure'"),
        ("all 3:1", 1, "presets all", "'all'"),
        ("all: 0.5", 4, "a comma or the end", "':'"),
    ],
)
def test_a_mistake_is_pointed_at(text, character, expected, found):
    with pytest.raises(ValueError, match=f"Layer weights: expected .*{expected}.*, got {found}") as caught:
        parse_layer_weights(text, 21)
    message, line, caret = str(caught.value).split("\n")
    assert message.endswith(f"at character {character}.")
    assert line == f"  {text}" and caret == " " * (character + 1) + "^"


def test_in_several_lines_the_line_of_the_mistake_is_shown():
    with pytest.raises(ValueError) as caught:
        parse_layer_weights("0:1\n1:1,\t2:x\n3:1", 21)
    assert str(caught.value).endswith("at character 12.\n  1:1, 2:x\n         ^")


def test_in_a_long_line_the_surroundings_of_the_mistake_are_shown():
    with pytest.raises(ValueError) as caught:
        parse_layer_weights("0:1, " * 30 + "1:?, " + "0:1, " * 30, 21)
    _, line, caret = str(caught.value).split("\n")
    assert line.startswith("  ...") and line.endswith("...") and len(line) < 100
    assert line[caret.index("^")] == "?"


@pytest.mark.parametrize("count", [0, -1, 2.0, None])
def test_a_count_that_is_none_is_refused(count):
    for use in (lambda: parse_layer_weights("", count), lambda: layer_weight_presets(count)):
        with pytest.raises(ValueError, match="number of injected layers"):
            use()


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="expected a text, got NoneType"):
        parse_layer_weights(None, 2)


@pytest.mark.parametrize("count", [1, 2, 3, 21, 42])
def test_presets_fit_every_number_of_layers(count):
    presets = layer_weight_presets(count)
    assert list(presets) == list(PRESETS)
    for name, weights in presets.items():
        assert len(weights) == count and all(0 <= weight <= 1 for weight in weights)
        assert parse_layer_weights(name, count) == weights
    assert presets["all"] == [1.0] * count
    assert presets["structure first"] == presets["detail first"][::-1]
    assert presets["ramp up"] == presets["ramp down"][::-1]
    if count > 1:
        assert presets["structure first"][0] == 1 and presets["structure first"][-1] == 0.3
        assert presets["ramp up"][0] == 0.2 and presets["ramp up"][-1] == 1


def test_presets_mean_the_same_depth_in_every_model():
    deep, shallow = layer_weight_presets(41), layer_weight_presets(21)
    for name in PRESETS:
        assert deep[name][::2] == pytest.approx(shallow[name])


@given(st.text(alphabet="0123456789-:.,*; \nae…–x", max_size=12))
def test_any_text_gives_finite_weights_or_an_explanation(text):
    try:
        weights = parse_layer_weights(text, 5)
    except ValueError as error:
        assert "expected" in str(error) and "^" in str(error)
    else:
        assert len(weights) == 5 and all(map(math.isfinite, weights))
