"""The bench of a photo: every step is there. No time is asserted."""

from __future__ import annotations

import json

import pytest

from fantasyid_core.__main__ import main
from fantasyid_core.tools.bench_photo import run_photo_bench, tables


def test_every_step_has_its_row_and_what_is_wanted():
    said = []
    report = run_photo_bench(1, side=512, progress=said.append)
    assert said == ["photo"] and set(report["wanted"]) <= set(report["steps"])
    assert {"detection and mesh", "fit", "crop to 3D face, all of it"} <= set(report["steps"])
    lines = tables(report)
    assert "512 x 512 pixels, 1 runs" in lines[0] and len(lines) == 4 + len(report["steps"])
    assert any(line.startswith("| detection and mesh |") and line.endswith("| 150 |") for line in lines)
    json.dumps(report)


def test_wrong_arguments_are_said(capsys):
    with pytest.raises(ValueError, match="at least one run, got 0"):
        run_photo_bench(0)
    assert main(["bench", "--photo", "--full"]) == 2
    assert main(["bench", "--photo", "--device", "cpu"]) == 2
    assert capsys.readouterr().err.count("--photo has one table, one size and the processor; leave out") == 2
