"""`python -m fantasyid_core demo`: three made-up people in videos of FantasyID-Tiny, with scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from fantasyid_core.__main__ import main
from fantasyid_core.cli.demo import finite
from fantasyid_core.tools.demo import BLENDED, EDITS, MEANING, make_cast, variants_of
from fantasyid_core.videofile import read_video

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
SCORES = {"likeness", "rank", "skin_error", "yaw", "change", "face_width", "true_face_width", "jaw_sharpness", "psnr"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--out", str(folder), "--steps", "3", "--people", "0", "5"]) == 0
    return folder


def test_it_writes_a_video_a_sheet_and_every_score(made):
    assert {path.name for path in made.iterdir()} == {"demo.mp4", "sheet.png", "report.json"}
    video = read_video(made / "demo.mp4")
    with Image.open(made / "sheet.png") as sheet:
        assert sheet.width == video.shape[2] and sheet.height > video.shape[1]
    assert len(video) == 3 * 16 + 1  # nine frames there and back, three times
    assert np.abs(video[0].astype(int) - video[4]).mean() > 0.2  # it moves
    report = json.loads((made / "report.json").read_text())
    assert report["settings"] == {"people": [0, 5], "seed": 0, "steps": 3, "cfg": 1.0}
    videos = {(row["person"], row["variant"]) for row in report["videos"]}
    assert videos == {(10**9 + n, variant) for n in (0, 5) for variant in (*EDITS, BLENDED)}
    assert all(SCORES <= row.keys() for row in report["videos"]) and report["meaning"] == MEANING
    for row in report["videos"]:
        assert -1 <= row["likeness"] <= 1 and 1 <= row["rank"] <= 50


def test_the_edits_are_what_they_are_called(made):
    """Of true renders: the sliders move what they should, as the probe reads it."""
    rows = {(row["person"], row["variant"]): row for row in json.loads((made / "report.json").read_text())["videos"]}
    for person in (10**9, 10**9 + 5):
        assert rows[person, "plain"]["true_face_width"] == 0 == rows[person, "plain"]["face_width"]
        assert rows[person, "wider face"]["true_face_width"] > 0.3 > rows[person, "sharper jaw"]["true_face_width"]
        assert rows[person, "sharper jaw"]["true_jaw_sharpness"] > 0.02


def test_the_faces_are_edited_and_blended_as_by_the_nodes():
    cast = make_cast([0, 5])
    shapes = variants_of(cast, 0)
    plain, blended = shapes["plain"].vertices, shapes[BLENDED].vertices
    assert (plain == cast[0].shape.vertices).all()
    towards = (cast[1].shape.vertices - plain).flatten()
    assert (blended - plain).flatten() @ towards > 0.4 * towards @ towards
    assert all(abs(shape.vertices - plain).max() > 1e-3 for name, shape in shapes.items() if name != "plain")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--people", "3"], "2 to 6 different people"),
        (["--people", "3", "3"], "2 to 6 different people"),
        (["--people", "0", "-1"], "numbers of people from 0"),
        (["--steps", "0"], "1 to 1000 steps"),
        (["--cfg", "nan"], "a guidance of at least 1"),
        (["--seed", "-1"], "a seed of 0"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_values_that_cannot_work(tmp_path, capsys, arguments, message):
    assert main(["demo", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "out"), "--steps", "1"]) == 2
    assert (tmp_path / "out").read_text() == "mine"


def test_what_is_not_defined_is_null_in_the_report():
    assert finite({"a": [float("nan"), 1.0], "b": float("inf"), "c": "x"}) == {"a": [None, 1.0], "b": None, "c": "x"}
