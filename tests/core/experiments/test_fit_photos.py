"""How far apart the heads of people in photos are: the command on two photos that come along."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fantasyid_core.experiments import fit_photos
from fantasyid_core.face.picture import load_picture

ROOT = Path(__file__).resolve().parents[3]


def test_two_people_are_farther_apart_than_one_person_at_half_the_size(tmp_path, capsys):
    data = pytest.importorskip("skimage.data", reason="the photo needs scikit-image: pip install scikit-image")
    drawn = load_picture(ROOT / "people" / "fantasyid_person_1.jpg")
    Image.fromarray(data.astronaut()).save(tmp_path / "one.png")
    Image.fromarray(np.ascontiguousarray(drawn)).save(tmp_path / "two.png")
    assert fit_photos.main([str(tmp_path / "one.png"), str(tmp_path / "two.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2 and all("2 people" in line for line in lines)
    apart, half = map(float, re.search(r"([\d.]+) mm apart .* half the size ([\d.]+)", lines[1]).groups())
    assert apart > half > 0
