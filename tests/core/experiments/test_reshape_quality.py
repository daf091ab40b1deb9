"""The command that measures reshaped videos, and the hard cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from fantasyid_core.experiments import reshape_quality
from fantasyid_core.experiments.reshape_cases import BAR, CASES, bar_of, draw_case
from fantasyid_core.shape.reshape import ReshapedFrame

pytest.importorskip("numba", reason="numba is not installed: procedural people cannot be rendered")


@pytest.mark.parametrize("name", CASES)
def test_the_cases_show_what_they_are_called_by(name):
    frames = draw_case(name, size=48, count=6)
    assert frames.shape == (6, 48, 96 if name == "two" else 48, 3)
    if name == "bar":
        assert (frames[bar_of(48, 6)] == BAR).all() and bar_of(48, 6)[2:4].any()
    if name == "lost":
        assert np.array_equal(frames[2], frames[3]) and not np.array_equal(frames[1], frames[2])
    with pytest.raises(ValueError, match="out of bar, profile"):
        draw_case("nobody")


def test_the_command_prints_the_table_and_writes_sheets(monkeypatch, tmp_path, capsys):
    nothing = lambda frames, edit: [ReshapedFrame(frame, np.zeros(frame.shape[:2], np.float32)) for frame in frames]  # noqa: E731
    monkeypatch.setattr(reshape_quality, "reshape_frames", nothing)
    options = ["--size", "96", "--frames", "3", "--sliders", "nose_length", "--no-cases"]
    numbers = tmp_path / "numbers.json"
    assert reshape_quality.main([*options, "--out", str(tmp_path), "--json", str(numbers)]) == 0
    rows = json.loads(numbers.read_text())
    assert [row["value"] for row in rows] == [-0.5, 0.5]
    assert all(row["slope"] == row["share"] == 0 and row["flicker"] == 1 and row["back"] > 70 for row in rows), (
        "nothing was reshaped"
    )
    table = (tmp_path / "table.md").read_text()
    assert table in capsys.readouterr().out + "\n" and "| nose_length |" in table and "torch" in table
    with Image.open(tmp_path / "nose_length_1000000003.png") as sheet:
        assert sheet.width > 3 * 256 and sheet.height > 5 * 256
