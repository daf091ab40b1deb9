"""The command that measures glasses, beards, sharpness, hair and sliders of a model beside true renders."""

from __future__ import annotations

import json

import pytest

from fantasyid_core.experiments import score_details

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")


def test_the_command_measures_the_model_that_comes_along_beside_true_renders(tmp_path, monkeypatch):
    monkeypatch.setattr(score_details, "SLIDERS", ("face_width",))
    asked = [str(tmp_path), "--people", "2", "--seeds", "1", "--slider-people", "1", "--steps", "2"]
    assert score_details.main(asked) == 0
    found = json.loads((tmp_path / "details.json").read_text())
    assert list(found) == ["shipped", "through the VAE", "true, blurred", "true"]
    assert found["true"]["psnr"] > found["through the VAE"]["psnr"] > found["shipped"]["psnr"]
    assert found["true"]["sliders"]["face_width"]["slope"] == pytest.approx(1)
    assert "| slider face_width | " in (tmp_path / "details.md").read_text()


@pytest.mark.parametrize("asked", [["model"], ["--seeds", "0"]])
def test_a_model_without_a_folder_and_no_seeds_are_refused(tmp_path, capsys, asked):
    assert score_details.main([str(tmp_path), *asked]) == 2
    assert "Expected NAME=FOLDER and at least one seed" in capsys.readouterr().err
