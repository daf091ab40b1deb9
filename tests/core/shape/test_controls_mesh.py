"""No control folds the mesh or drives it into itself, from one end of its slider to the other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from facesamples import SAMPLES, faces_of, sample
from meshcheck import away_from, crossings, near_pairs, turned_over

from fantasyid_core.shape.edit.controls import shape_controls
from fantasyid_core.shape.edit.controltable import CONTROLS

GROUPS = {
    group: [name for name, _ in rows]
    for group, rows in itertools.groupby(CONTROLS.items(), lambda row: row[1].group)
}


@pytest.fixture(scope="module")
def crossed(licensed):
    """Where the sample heads run through themselves as they are: lids and eyeballs, and pressed lips."""
    return {name: crossings(sample(licensed, name), faces_of(licensed)) for name in SAMPLES}


@pytest.mark.parametrize("person", SAMPLES)
def test_no_triangle_turns_over(licensed, person):
    head, faces = sample(licensed, person).astype(float), faces_of(licensed)
    for name, field in shape_controls(head).items():
        for value in (-1, 1):
            assert not len(turned_over(head, head + value * field, faces)), (name, value)


@pytest.mark.parametrize("person", SAMPLES)
@pytest.mark.parametrize("group", GROUPS)
def test_the_mesh_does_not_run_into_itself(licensed, crossed, person, group):
    head, faces = sample(licensed, person).astype(float), faces_of(licensed)
    fields = shape_controls(head)
    edited = {(name, value): head + value * fields[name] for name in GROUPS[group] for value in (-1, 1)}
    # The eyes are meshed so finely that boxes shared by all edits would meet millions of others.
    pairs = None if group == "Eyes" else near_pairs(list(edited.values()), faces)
    for key, vertices in edited.items():
        found = crossings(vertices, faces, pairs) - crossed[person]
        assert not away_from(found, crossed[person], faces), key


@pytest.mark.parametrize("person", SAMPLES)
def test_random_mixtures_of_all_controls_hardly_ever_fold(licensed, person):
    head, faces = sample(licensed, person).astype(float), faces_of(licensed)
    fields, draw = np.stack(list(shape_controls(head).values())), np.random.default_rng(5)
    turned = {0.6: [], 1.0: []}
    for amount, counts in turned.items():
        for _ in range(30):
            values = draw.uniform(-amount, amount, len(fields))
            counts.append(len(turned_over(head, head + np.tensordot(values, fields, axes=1), faces)))
    assert not any(turned[0.6])
    assert np.mean(np.array(turned[1.0]) > 0) <= 0.1 and max(turned[1.0]) < 30  # of 9976 triangles


def test_the_check_itself_sees_folds_and_crossings():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, -1], [0.3, 0.2, 1], [0.2, 0.3, 1.0]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    assert crossings(vertices, faces) == {(0, 1)}
    away = vertices + np.array([[0, 0, 0]] * 3 + [[2, 0, 0]] * 3)
    assert crossings(away, faces) == set()
    assert turned_over(vertices, vertices * (-1, 1, 1), faces).tolist() == [0, 1]
    assert away_from([(0, 1)], set(), faces) == [(0, 1)] and away_from([(0, 1)], {(0, 1)}, faces) == []
