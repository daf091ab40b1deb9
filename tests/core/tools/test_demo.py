"""`python -m fantasyid_core demo`: three made-up people in videos of FantasyID-Tiny, with scores."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

from fantasyid_core.__main__ import main
from fantasyid_core.cli.demo import CAST, finite
from fantasyid_core.people.hair import HAIR_STYLES
from fantasyid_core.people.instruments.silhouette import OPEN_STYLES, outline
from fantasyid_core.people.instruments.subjects import Subject, TrueRenderer
from fantasyid_core.people.person import HELD_OUT_FROM, sample_person
from fantasyid_core.tools.demo import EDITS, MEANING, PLAIN, VARIANTS, facing, make_cast, true_frames, variants_of
from fantasyid_core.tools.demosheet import CELL, OUTLINE, outlined, person_in
from fantasyid_core.videofile import read_video

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
SCORES = {"likeness", "rank", "skin_error", "yaw", "change", "face_width", "true_face_width", "jaw_width", "psnr"}
WIDE, NARROW = EDITS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--out", str(folder), "--steps", "3", "--people", "0", "5"]) == 0
    return folder


def test_the_demo_writes_a_page_a_video_a_sheet_and_every_score(made):
    assert {path.name for path in made.iterdir()} == {
        "demo.html", "videos", "demo.mp4", "sheet.png", "photo.png", "report.json"
    }  # fmt: skip
    video = read_video(made / "demo.mp4")
    with Image.open(made / "sheet.png") as sheet:
        assert sheet.width == video.shape[2] and sheet.height > video.shape[1]
    assert len(video) == 3 * 16 + 1  # nine frames there and back, three times
    assert np.abs(video[0].astype(int) - video[4]).mean() > 0.2  # it moves
    report = json.loads((made / "report.json").read_text())
    assert report["settings"] == {"people": [0, 5], "seed": 0, "steps": 3, "cfg": 1.0}
    videos = {(row["person"], row["variant"]) for row in report["videos"]}
    assert videos == {(10**9 + n, variant) for n in (0, 5) for variant in VARIANTS}
    assert all(SCORES <= row.keys() for row in report["videos"]) and report["meaning"] == MEANING
    for row in report["videos"]:
        assert -1 <= row["likeness"] <= 1 and 1 <= row["rank"] <= 50


def test_the_page_shows_every_video_beside_what_it_should_be(made):
    page = (made / "demo.html").read_text(encoding="utf-8")
    shown = re.findall(r'src="(videos/[^"]+)"', page)
    assert len(shown) == len(set(shown)) == 2 * (2 + 2 * len(EDITS))
    assert all((made / name).is_file() for name in shown)
    clips = {name: read_video(made / name) for name in shown if name.endswith("person-1-wider-face.mp4")}
    (clip,) = clips.values()
    assert clip.shape == (16, CELL, CELL, 3) and np.abs(clip[0].astype(int) - clip[4]).mean() > 0.2
    assert page.count('class="bar"') == 2 * len(EDITS)


def test_the_edits_are_what_they_are_called(made):
    """Of true renders: the sliders move what they should, as the probe reads it."""
    rows = {(row["person"], row["variant"]): row for row in json.loads((made / "report.json").read_text())["videos"]}
    for person in (10**9, 10**9 + 5):
        assert rows[person, PLAIN]["true_face_width"] == 0 == rows[person, PLAIN]["face_width"]
        assert rows[person, WIDE]["true_face_width"] > 0.3
        assert rows[person, NARROW]["true_jaw_width"] < -0.3


def test_faces_are_edited_as_by_the_nodes_and_drawn_as_edited():
    (member,) = make_cast([5])
    shapes = variants_of(member)
    assert (shapes[PLAIN].vertices == member.shape.vertices).all()
    assert all(abs(shapes[name].vertices - member.shape.vertices).max() > 1e-3 for name in EDITS)
    count = 9
    plain, wide = (true_frames(member, shapes[name], count) for name in (PLAIN, WIDE))
    subject = Subject(member.seed)
    as_drawn = TrueRenderer([subject], count)(member.shape.vertices.numpy(), subject.references, member.prompt)
    assert (plain == as_drawn).all()
    at = facing(member, count)
    assert outline(wide)["face_width"][at] > 1.05 * outline(plain)["face_width"][at]


def test_the_outline_of_the_plain_person_lies_on_the_edit():
    (member,) = make_cast([5])
    plain = true_frames(member, member.shape, 9)[4]
    blank = np.zeros((CELL, CELL, 3), np.uint8)
    line = (outlined(blank, plain) == OUTLINE).all(axis=2)
    rows, columns = np.nonzero(line)
    inside = person_in(plain).any(axis=1)
    assert 0.005 < line.mean() < 0.05 and columns.min() < CELL / 2 < columns.max()
    assert set(rows) >= set(np.flatnonzero(inside)[2:-2])  # in every row of the person


def test_the_cast_is_chosen_by_looks():
    people = [sample_person(HELD_OUT_FROM + number) for number in range(9)]
    looks = [person.appearance for person in people]
    bearded = next(place for place, look in enumerate(looks) if look.beard != "none")
    bare = next(
        place for place, look in enumerate(looks)
        if look.hair_style in OPEN_STYLES and look.beard == look.glasses == "none"
    )  # fmt: skip
    hanging = next(
        place for place, look in enumerate(looks)
        if HAIR_STYLES[look.hair_style].ends[1] is not None and look.glasses != "none"
    )  # fmt: skip
    assert CAST == (bearded, bare, hanging)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--people", *"0123456"], "1 to 6 different people"),
        (["--people", "3", "3"], "1 to 6 different people"),
        (["--people", "0", "-1"], "numbers of people from 0"),
        (["--steps", "0"], "1 to 1000 steps"),
        (["--cfg", "nan"], "a guidance of at least 1"),
        (["--seed", "-1"], "a seed of 0"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_values_that_cannot_work_are_refused(tmp_path, capsys, arguments, message):
    assert main(["demo", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_kept(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "out"), "--steps", "1"]) == 2
    assert (tmp_path / "out").read_text() == "mine"


def test_what_is_not_defined_is_null_in_the_report():
    assert finite({"a": [float("nan"), 1.0], "b": float("inf"), "c": "x"}) == {"a": [None, 1.0], "b": None, "c": "x"}
