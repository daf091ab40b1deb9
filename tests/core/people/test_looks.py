"""Twins in looks, and heads that are bent as the editor's sliders bend them."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from fantasyid_core.people.appearance import Appearance
from fantasyid_core.people.backdrop import Backdrop
from fantasyid_core.people.instruments.silhouette import outline
from fantasyid_core.people.looks import (
    KINDS,
    NUMBER_NAMES,
    PARTS,
    look_kinds,
    look_numbers,
    sample_looks_twin,
    shown_numbers,
)
from fantasyid_core.people.motion import Motion
from fantasyid_core.people.person import held_out_seeds, sample_person, training_seeds
from fantasyid_core.people.render import render_frames, render_maps
from fantasyid_core.people.scene import build_scene
from fantasyid_core.shape.edit.controls import shape_controls
from fantasyid_core.shape.ownhead.mesh import METRE

BELONGS = {"glasses": {"glasses_colour"}, "beard": {"beard_density"}}


def test_a_twin_differs_in_one_part_that_shows():
    seen = Counter()
    for seed in training_seeds(300):
        person = sample_person(seed)
        twin, part = sample_looks_twin(person)
        assert twin.shape == person.shape and twin == sample_looks_twin(person)[0]
        names = [field.name for field in fields(Appearance)]
        changed = {name for name in names if getattr(person.appearance, name) != getattr(twin.appearance, name)}
        assert part in changed and changed <= {part} | BELONGS.get(part, set())
        seen[part] += 1
    assert set(seen) == {name for name, _ in PARTS}
    on = [sample_looks_twin(sample_person(seed)) for seed in training_seeds(300)]
    worn = [twin.appearance.glasses != "none" for twin, part in on if part == "glasses"]
    assert 0.2 < np.mean(worn) < 0.9  # taken off and put on


def test_looks_are_written_as_numbers_and_read_back():
    look = Appearance(hair_style="bob", hair_volume=0.25, iris=(0.1, 0.2, 0.3), glasses="round")
    numbers = dict(zip(NUMBER_NAMES, look_numbers(look), strict=True))
    assert numbers["hair_volume"] == 0.25 and numbers["iris g"] == pytest.approx(0.2)
    kinds = dict(zip(KINDS, look_kinds(look), strict=True))
    assert KINDS["glasses"][kinds["glasses"]] == "round" and KINDS["beard"][kinds["beard"]] == "none"
    shown = dict(zip(NUMBER_NAMES, shown_numbers(look), strict=True))
    assert shown["glasses_colour r"] == 1 and shown["beard_density"] == 0 and shown["hair_volume"] == 1
    assert dict(zip(NUMBER_NAMES, shown_numbers(Appearance(hair_style="bald")), strict=True))["hair_length"] == 0


def test_a_bent_head_is_drawn_with_all_that_it_wears():
    pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
    row, backdrop = Motion(zoom=1.01).frames(1), Backdrop("blue")
    moved = []
    for seed in held_out_seeds(12):
        person = sample_person(seed)
        bend = np.asarray(shape_controls(person.vertices())["face_width"])
        plain, same, wide = (render_frames(person, row, backdrop, bend=each) for each in (None, 0 * bend, bend))
        assert np.array_equal(plain, same)
        moved.append(outline(wide)["face_width"][0] / outline(plain)["face_width"][0])
        assert not np.array_equal(render_maps(person, row, 64).layers, render_maps(person, row, 64, bend).layers)
    assert np.mean(moved) > 1.04 and min(moved) > 1


def test_glasses_and_hair_follow_the_head_beside_them():
    person = next(each for each in map(sample_person, held_out_seeds(60)) if each.appearance.glasses != "none")
    shift = np.full(person.vertices().shape, (0.003, -0.002, 0.001))
    plain, moved = (build_scene(person.shape, person.appearance, bend).neutral for bend in (None, shift))
    worn = moved - plain
    clothes = np.abs(worn).max(axis=1) == 0
    assert 0.05 < clothes.mean() < 0.5  # the shoulders stay
    np.testing.assert_allclose(worn[~clothes] * METRE, shift[:1].repeat((~clothes).sum(), 0), atol=1e-6)
