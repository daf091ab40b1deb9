"""No control folds the mesh or drives it into itself, from one end of its slider to the other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from meshcheck import away_from, crossings, near_pairs, turned_over

from fantasyid_core.shape.edit.controls import shape_controls
from fantasyid_core.shape.edit.controltable import CONTROLS

GROUPS = {
    group: [name for name, _ in rows] for group, rows in itertools.groupby(CONTROLS.items(), lambda row: row[1].group)
}


@pytest.fixture(scope="module")
def crossed(head, faces):
    """Where the head runs through itself as it is: lids and eyeballs, and pressed lips."""
    return crossings(head, faces)


def test_no_triangle_turns_over(head, faces):
    head = head.astype(float)
    for name, field in shape_controls(head).items():
        for value in (-1, 1):
            assert not len(turned_over(head, head + value * field, faces)), (name, value)


def test_the_mesh_does_not_run_into_itself(head, faces, crossed):
    head = head.astype(float)
    fields = shape_controls(head)
    for group, names in GROUPS.items():
        edited = {(name, value): head + value * fields[name] for name in names if name in fields for value in (-1, 1)}
        # FLAME's eyes are meshed so finely that boxes shared by all edits would meet millions of others.
        pairs = None if group == "Eyes" else near_pairs(list(edited.values()), faces)
        for key, vertices in edited.items():
            found = crossings(vertices, faces, pairs) - crossed
            assert not away_from(found, crossed, faces), key


def test_random_mixtures_of_all_controls_hardly_ever_fold(head, faces):
    head = head.astype(float)
    fields, draw = np.stack(list(shape_controls(head).values())), np.random.default_rng(5)
    turned = {0.6: [], 1.0: []}
    for amount, counts in turned.items():
        for _ in range(30):
            values = draw.uniform(-amount, amount, len(fields))
            counts.append(len(turned_over(head, head + np.tensordot(values, fields, axes=1), faces)))
    assert not any(turned[0.6])
    assert np.mean(np.array(turned[1.0]) > 0) <= 0.1 and max(turned[1.0]) < 0.003 * len(faces)


def test_the_check_itself_sees_folds_and_crossings():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, -1], [0.3, 0.2, 1], [0.2, 0.3, 1.0]])
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    assert crossings(vertices, faces) == {(0, 1)}
    away = vertices + np.array([[0, 0, 0]] * 3 + [[2, 0, 0]] * 3)
    assert crossings(away, faces) == set()
    assert turned_over(vertices, vertices * (-1, 1, 1), faces).tolist() == [0, 1]
    assert away_from([(0, 1)], set(), faces) == [(0, 1)] and away_from([(0, 1)], {(0, 1)}, faces) == []
