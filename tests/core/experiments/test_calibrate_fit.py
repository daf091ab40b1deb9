"""The calibration of the fit to landmarks, small, and what its report measures."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed: no person can be drawn")

from fantasyid_core.experiments import calibrate_fit
from fantasyid_core.experiments.drawn_heads import HELD_OUT, OwnHeads, face_region, pairs
from fantasyid_core.experiments.fit_report import apart, fitted, head_with, report
from fantasyid_core.experiments.flame_heads import FlameHeads
from fantasyid_core.shape.reconstruct.calibration import load_calibration

HEADS = range(HELD_OUT + 200, HELD_OUT + 206)


@pytest.fixture(scope="module")
def drawer():
    return OwnHeads()


@pytest.fixture(scope="module")
def heads(drawer):
    return list(drawer.heads(HEADS))


def test_a_head_that_sliders_made_is_told_by_these_sliders(drawer, heads):
    values = np.zeros(len(drawer.controls.controls))
    names = list(drawer.controls.controls)
    values[names.index("face_width")], values[names.index("nose_length")] = 0.5, -0.4
    made = heads[0]._replace(vertices=drawer.template + drawer.controls.displacement(pairs(drawer.controls, values)))
    (found,) = calibrate_fit.nearest_sliders([made], drawer)
    for name in ("face_width", "nose_length"):
        assert found[names.index(name)] == pytest.approx(values[names.index(name)], abs=0.2)
    assert np.abs(found).max() <= 0.6


def test_a_persons_own_shape_counts_as_sliders_too(drawer, heads):
    found = calibrate_fit.nearest_sliders(heads, drawer)
    assert np.corrcoef(found.ravel(), np.stack([head.values for head in heads]).ravel())[0, 1] > 0.5
    assert not np.allclose(found, [head.values for head in heads], atol=0.05)


def test_the_shipped_calibration_keeps_people_apart(drawer, heads):
    known = load_calibration(len(drawer.template))
    fits = [fitted(head, head_with(known), 0.5) for head in heads]
    assert apart(fits) > 1.0
    told = report(heads, known, drawer)
    assert f"{len(heads)} held-out heads" in told and "likeness 0.5: fit" in told and "degrees rms" in told


def test_the_report_alone_writes_nothing(monkeypatch, capsys):
    monkeypatch.setattr(calibrate_fit, "save_calibration", lambda *_: pytest.fail("the pack's file is written"))
    calibrate_fit.main(["--report", "--test", "2"])
    assert "2 held-out heads: template" in capsys.readouterr().out


def test_the_command_writes_a_calibration_and_its_report(tmp_path, capsys):
    calibrate_fit.main(["--heads", "10", "--test", "3", "--nearest", "1", "--out", str(tmp_path / "made.npz")])
    told = capsys.readouterr().out
    assert re.search(r"ridge \d+: explains", told) and "3 held-out heads" in told
    with np.load(tmp_path / "made.npz") as made:
        assert made["matrix"].reshape(936, -1).shape[1] == len(made["names"]) and np.isfinite(made["habit"]).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--mesh", "transform.pkl"], "--mesh needs --out FILE"), (["--skins", "me.jpg"], "are for --mesh")],
)
def test_what_would_overwrite_or_be_passed_over_is_refused(monkeypatch, capsys, arguments, said):
    monkeypatch.setattr(calibrate_fit, "save_calibration", lambda *_: pytest.fail("the pack's file is written"))
    with pytest.raises(SystemExit):
        calibrate_fit.main(arguments)
    assert said in capsys.readouterr().err


def test_heads_of_flames_mesh_are_calibrated_by_the_same_command(licensed, tmp_path, capsys):
    mesh = str(licensed("transform.pkl"))
    made = tmp_path / "made.npz"
    calibrate_fit.main(["--mesh", mesh, "--heads", "10", "--test", "3", "--out", str(made)])
    assert "3 held-out heads" in capsys.readouterr().out
    shipped = load_calibration(5023)
    with np.load(made) as arrays:
        assert sorted(arrays.files) == sorted(
            ["corners", "weights", "names", "residual", "habit", "mean", "rigid", "constant", "matrix"]
        )
        np.testing.assert_array_equal(arrays["corners"], shipped.corners)  # the skin lies where these say
        assert np.abs(arrays["mean"] - shipped.mean).max() < 12  # millimetres: the same face
        assert arrays["matrix"].reshape(936, -1).shape[1] == len(arrays["names"]) == 36


def test_a_head_of_flames_mesh_is_seen_where_it_was_drawn(licensed):
    drawer = FlameHeads(licensed("transform.pkl"))
    (head,) = drawer.heads(range(3, 4))
    assert head.vertices.shape == (5023, 3) and len(head.values) == len(drawer.controls.controls)
    known = load_calibration(5023)
    places = head.pose.seen(known.places(drawer.mean_head().millimetres(head.vertices)) + known.habit)
    eyes = np.linalg.norm(places[33, :2] - places[263, :2])
    assert np.linalg.norm((places - head.points)[:, :2], axis=1).mean() < 0.08 * eyes
    own = head.vertices - drawer.template - drawer.controls.displacement(pairs(drawer.controls, head.values))
    assert 0.0003 < np.sqrt((own[face_region(drawer.template)] ** 2).mean()) < 0.004  # metres, beside the sliders
