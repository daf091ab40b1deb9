"""Editing a face, and the editor's state as JSON."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest
import torch
from facesamples import OWN, own_head

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.edit.controls import shape_controls
from fantasyid_core.shape.edit.edit import edit_face, edit_shape
from fantasyid_core.shape.edit.editstate import (
    Edit,
    edit_from_values,
    format_edit,
    mirrored,
    parse_edit,
)
from fantasyid_core.shape.faceshape import FaceShape

HEAD = synthetic_head(3)[0]


def test_an_edit_is_the_head_plus_values_times_displacements():
    controls = shape_controls(HEAD)
    edited = edit_shape(HEAD, {"face_width": 0.5, "chin_height": -0.25})
    assert isinstance(edited, torch.Tensor) and edited.dtype == torch.float32
    expected = HEAD + 0.5 * controls["face_width"] - 0.25 * controls["chin_height"]
    torch.testing.assert_close(edited, expected, atol=1e-7, rtol=0)
    of_array = edit_shape(HEAD.numpy(), {"face_width": 0.5, "chin_height": -0.25})
    np.testing.assert_array_equal(of_array, edited.numpy())


def test_no_edit_leaves_every_bit():
    head = torch.from_numpy(own_head(OWN[0]).vertices)
    for nothing in ({}, "", Edit(), {"face_width": 0}, '{"version": 1, "values": {}}'):
        assert torch.equal(edit_shape(head, nothing), head)


def test_one_side_can_be_edited_alone():
    head = own_head(OWN[1]).vertices
    field, moved = shape_controls(head)["jaw_width"], edit_shape(head, {"jaw_width": {"left": 1}}) - head
    left = field[:, 0] < -0.003  # the left of the picture moves outwards, to negative x
    right = field[:, 0] > 0.003
    np.testing.assert_allclose(moved[left], field[left], atol=1e-6)
    assert abs(moved[right]).max() == 0
    both = edit_shape(head, {"jaw_width": {"left": 0.4, "right": 0.4}})
    np.testing.assert_array_equal(both, edit_shape(head, {"jaw_width": 0.4}))
    np.testing.assert_array_equal(edit_shape(head, {"jaw_width": (0.2, 0.9)}),
                                  edit_shape(head, {"jaw_width": {"left": 0.2, "right": 0.9}}))  # fmt: skip


def test_a_face_keeps_its_mesh_and_name():
    shape = FaceShape(HEAD, synthetic_head(3)[1].numpy(), "somebody", "a note")
    edited = edit_face(shape, parse_edit('{"values": {"nose_width": 1}}'))
    assert edited.faces is shape.faces and (edited.name, edited.note) == ("somebody", "a note")
    assert torch.equal(edited.vertices, edit_shape(HEAD, {"nose_width": 1}))


def test_the_state_is_read_and_written():
    text = (
        '{"version": 1, "values": {"face_width": 0.5, "ear_size": {"left": 0.3, "right": 0}}, "sides": ["left"], '
        '"pinned": ["face_width"], "plausible": true}'
    )
    edit = parse_edit(text)
    assert edit.values == {"face_width": (0.5, 0.5), "ear_size": (0.3, 0.0)} and edit.sides == ("left",)
    assert edit.pinned == ("face_width",) and edit.plausible and not edit.notes
    assert parse_edit(format_edit(edit)) == edit
    assert json.loads(format_edit(edit)) == json.loads(text)


def test_what_is_zero_is_not_written():
    edit = Edit({"face_width": (0.0, 0.0), "age": (0.1 + 0.2, 0.3)})
    assert format_edit(edit) == '{"version": 1, "values": {"age": 0.3}}'
    assert format_edit(Edit()) == '{"version": 1, "values": {}}'
    assert parse_edit(None) == parse_edit("  ") == Edit()


def test_an_older_state_is_migrated():
    assert parse_edit('{"face_width": 0.5, "age": -1}').values == {"face_width": (0.5, 0.5), "age": (-1, -1)}
    assert parse_edit('{"values": {"face_width": 0.5}}').values == {"face_width": (0.5, 0.5)}
    assert json.loads(format_edit(parse_edit('{"face_width": 0.5}')))["version"] == 1


def test_a_newer_state_says_what_to_update():
    with pytest.raises(ValueError, match="version 2, but this pack reads versions up to 1.*Update the FantasyID nodes"):
        parse_edit('{"version": 2, "values": {}}')
    for wrong in ("0", "-1", "true", '"1"', "1.5", "null"):
        with pytest.raises(ValueError, match="Expected an edit of version 1 to 1"):
            parse_edit(f'{{"version": {wrong}, "values": {{}}}}')


def test_unknown_controls_are_kept_and_named():
    edit = parse_edit('{"version": 1, "values": {"face_widht": 0.5, "horns": [1, 2], "age": 1}, "colour": "red"}')
    assert edit.values == {"age": (1.0, 1.0)}
    assert "face_widht (did you mean face_width?), horns" in edit.notes[0] and "kept" in edit.notes[0]
    again = json.loads(format_edit(edit))
    assert again == {"version": 1, "values": {"age": 1, "face_widht": 0.5, "horns": [1, 2]}, "colour": "red"}
    many = parse_edit(json.dumps({"version": 1, "values": {f"x{i}": 1 for i in range(9)}}))
    assert "x4 and 4 more" in many.notes[0]


@pytest.mark.parametrize(
    ("given", "used", "note"),
    [
        ("7", 1.0, r"face_width was 7 \(expected -1 to 1\) and is used as 1\."),
        ("-1.5", -1.0, r"face_width was -1.5 \(expected -1 to 1\)"),
        ("1e999", 1.0, r"face_width was inf \(expected -1 to 1\)"),
        ("NaN", 0.0, r"face_width was nan \(expected a number\) and is used as 0\."),
        ("null", 0.0, r"face_width was None \(expected a number\)"),
        ('"wide"', 0.0, r"face_width was 'wide' \(expected a number\)"),
        ("true", 0.0, r"face_width was True \(expected a number\)"),
        ("[1, 2, 3]", 0.0, r"face_width was \[1, 2, 3\] \(expected a number\)"),
    ],
)
def test_values_out_of_range_are_clamped_and_named(given, used, note):
    edit = parse_edit(f'{{"version": 1, "values": {{"face_width": {given}}}}}')
    assert edit.values.get("face_width", (0.0, 0.0)) == (used, used)
    assert len(edit.notes) == 1
    assert re.match(note, edit.notes[0])
    assert parse_edit(format_edit(edit)).values == edit.values


def test_one_side_out_of_range_is_named_alone():
    edit = parse_edit('{"version": 1, "values": {"ear_size": {"left": 3, "right": -0.5}}}')
    assert edit.values == {"ear_size": (1.0, -0.5)}
    assert edit.notes == ("ear_size (left) was 3 (expected -1 to 1) and is used as 1.",)


def test_values_from_python_are_treated_alike():
    edited = []
    for values in ({"face_width": 3, "horns": 1, "age": float("nan")}, {"face_width": 1}):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            edited.append(edit_shape(HEAD, values))
        told = " ".join(str(warning.message) for warning in caught)
        assert ("horns" in told and "face_width was 3" in told and "age was nan" in told) == ("horns" in values)
    assert torch.equal(*edited)
    with pytest.raises(ValueError, match="Expected values such as"):
        edit_shape(HEAD, [0.5])


@pytest.mark.parametrize("text", ["{", "face_width", '{"version": 1,', "[" * 100_000, "\x00", "\udcff"])
def test_a_broken_state_is_an_error_with_an_example(text):
    with pytest.raises(ValueError, match="not readable as JSON.*face_width"):
        parse_edit(text)


@pytest.mark.parametrize("text", ["[1]", "3", '"x"', "null", "true"])
def test_a_state_of_another_kind_is_an_error(text):
    with pytest.raises(ValueError, match="Expected an edit such as"):
        parse_edit(text)


@pytest.mark.parametrize("part", ['"values": 3', '"values": [1]', '"values": {}, "sides": 3, "pinned": {"a": 1}',
                                  '"values": {}, "sides": ["up", 1, []], "plausible": "yes"'])  # fmt: skip
def test_broken_parts_of_a_state_cost_nothing_else(part):
    edit = parse_edit(f'{{"version": 1, {part}}}')
    assert edit.values == {} and edit.sides == ("left", "right") and edit.pinned == () and not edit.plausible
    assert bool(edit.notes) == ("{}" not in part)


def test_a_huge_state_is_refused():
    with pytest.raises(ValueError, match="at most 1000000 characters"):
        parse_edit(" " * 5 + "{" + " " * 2_000_000)


def test_numbers_that_json_lacks_are_not_written():
    edit = parse_edit('{"version": 1, "values": {"horns": NaN}, "x": [1e999]}')
    assert json.loads(format_edit(edit), parse_constant=pytest.fail) == {
        "version": 1, "values": {"horns": None}, "x": [None],
    }  # fmt: skip


def test_controls_that_a_mesh_lacks_are_named():
    with pytest.warns(UserWarning, match="ear_angle, because this mesh lacks"):
        assert torch.equal(edit_shape(HEAD, {"ear_angle": 1}), HEAD)
    with pytest.warns(UserWarning, match="flame_3, because its components need the FLAME model"):
        assert torch.equal(edit_shape(HEAD, {"flame_3": 1}), HEAD)
    assert parse_edit('{"version": 1, "values": {"flame_10": -3, "flame_11": 1}}').values == {"flame_10": (-2, -2)}


def test_mirroring_exchanges_the_sides():
    edit = Edit({"ear_size": (0.3, -0.1), "age": (1, 1)}, sides=("left",), pinned=("age",), kept={"colour": "red"})
    assert mirrored(edit).values == {"ear_size": (-0.1, 0.3), "age": (1, 1)}
    assert mirrored(mirrored(edit)) == edit


def test_values_may_be_given_per_side_in_any_form():
    assert edit_from_values({"age": (0.1, 0.2)}).values == edit_from_values({"age": {"right": 0.2, "left": 0.1}}).values
