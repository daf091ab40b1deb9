"""The measure of seams: it finds those of equal weights, and none where windows are blended as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fantasyid_core.experiments.seams import (
    LENGTH,
    compare_edges,
    edges_of,
    equal_weights,
    ideal,
    ideal_changes,
    main,
    tiny,
)


@pytest.mark.parametrize("total", [25, 37])  # 97 and 145 frames
def test_no_change_at_an_edge_of_a_window_is_larger_than_elsewhere(total):
    found = compare_edges(ideal_changes(total), edges_of(total, LENGTH))
    assert found["max edges"] <= found["max elsewhere"]
    assert found["mean edges"] <= 1.02 * found["mean elsewhere"]
    assert found["max edges"] <= ideal_changes(LENGTH).max()  # nor than in a video of the model's own length


def test_the_measure_finds_seams_where_they_are():
    found = compare_edges(ideal_changes(25, blend=equal_weights), edges_of(25, LENGTH))
    assert found["max edges"] > 1.1 * found["max elsewhere"] and found["mean edges"] > 1.2 * found["mean elsewhere"]


def test_the_ideal_is_sampled_as_any_model_is():
    """Its own length: every change alike, and near the process's, which 50 steps fall short of."""
    changes = ideal_changes(LENGTH)
    assert np.ptp(changes[1:]) < 0.02 and 0.8 < changes.min() and changes.max() < 1
    assert ideal_changes(LENGTH, steps=200).mean() > changes.mean()


def test_edges_are_where_windows_begin_and_end():
    assert edges_of(25, 13) == [5, 11, 12, 18]
    assert edges_of(5, 3) == [0, 1, 2, 3]
    assert compare_edges(np.array([1.0, 4.0, 2.0]), [1]) == {
        "mean edges": 4, "max edges": 4, "mean elsewhere": 1.5, "max elsewhere": 2,
    }  # fmt: skip


def test_a_longer_video_of_the_small_model_jumps_no_more_than_its_own():
    own, longer = tiny([17], 2)
    assert (own["frames"], longer["frames"]) == (9, 17)
    # Two people's means differ by a little; windows of equal weights make an ideal model's edges larger by a fifth.
    assert longer["mean edges"] <= 1.02 * own["mean edges"] and longer["max edges"] <= 1.02 * own["max edges"]


def test_the_command_prints_the_ideal_and_explains_wrong_lengths(capsys):
    assert main(["--people", "0", "--frames", "57", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["ideal"]
    assert rows == ideal([57])
    assert main(["--people", "0", "--frames", "57"]) == 0
    assert "| 57 | smooth |" in capsys.readouterr().out
    assert main(["--people", "0", "--frames", "58"]) == 2
    assert "The nearest is 57" in capsys.readouterr().err
