"""`generate --jobs` and `generate --like`: rows, their errors, and what the command says."""

from __future__ import annotations

import csv
import json
import re
import sys

import numpy as np
import pytest
from jobfolder import write_model, write_people

from fantasyid_core import pipeline
from fantasyid_core.__main__ import main
from fantasyid_core.jobs.job import options_of
from fantasyid_core.videofile import read_video


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_model(folder / "model")
    write_people(folder, 2)
    return folder


@pytest.fixture
def run(source, tmp_path):
    """run(rows, option=value, ...) -> exit code; the videos are in tmp_path/out."""

    def call(rows, suffix=".jsonl", **changes) -> int:
        path = tmp_path / f"rows{suffix}"
        path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows))
        options = {"jobs": path, "model": source / "model", "out": tmp_path / "out", "steps": 1, "device": "cpu"}
        options |= {"detector": "none", **changes}
        return main(["generate", *(part for key, value in options.items() for part in (f"--{key}", str(value)))])

    return call


def row(source, number=0, **changes):
    return {"image": f"{source}/{number}.png", "shape": f"{source}/{number}.ply", "prompt": "she smiles", **changes}


def test_every_row_of_a_json_lines_file_becomes_a_video(run, source, tmp_path, capsys):
    rows = [
        row(source, out="anna.mp4", seed=3),
        row(source, 1, edit={"face_width": 0.5}, **{"hair-margin": 0.1}, tiling=True),
        row(source, image=[f"{source}/0.png", f"{source}/1.png"], strength=0.5, out="sub/both.mp4"),
    ]
    assert run(rows) == 0
    assert f"3 of 3 videos: {tmp_path / 'out'}" in capsys.readouterr().out
    for name in ("anna.mp4", "0002.mp4", "sub/both.mp4"):
        assert read_video(tmp_path / "out" / name).shape == (8, 64, 64, 3)
    kept = options_of(tmp_path / "out" / "0002.mp4")
    assert kept["hair_margin"] == 0.1 and kept["tiling"] is True and json.loads(kept["edit"]) == {"face_width": 0.5}
    assert str(source) not in json.dumps(kept)  # paths are told from the video, not from the root


def test_every_row_of_a_csv_file_becomes_a_video(run, source, tmp_path):
    with (tmp_path / "source.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["image", "shape", "prompt", "seed", "out"])
        writer.writeheader()
        writer.writerow(row(source, prompt='she says "hi", and smiles', seed=1, out="a.mp4"))
        writer.writerow(row(source, out="b.mp4"))
    assert run((tmp_path / "source.csv").read_text(), ".csv", seed=7) == 0
    assert options_of(tmp_path / "out" / "a.mp4")["prompt"] == 'she says "hi", and smiles'
    assert options_of(tmp_path / "out" / "a.mp4")["seed"] == 1
    assert options_of(tmp_path / "out" / "b.mp4")["seed"] == 7  # what the row leaves out, the command says


def test_the_option_like_makes_a_video_again(run, source, tmp_path, capsys):
    assert run([row(source, out="a.mp4", seed=3, negative="blurred")]) == 0
    first, again, other = (tmp_path / "out" / name for name in ("a.mp4", "again.mp4", "other.mp4"))
    assert main(["generate", "--like", str(first), "--out", str(again), "--device", "cpu"]) == 0
    assert again.read_bytes() == first.read_bytes()
    assert main(["generate", "--like", str(again), "--out", str(other), "--device", "cpu", "--seed", "4"]) == 0
    assert options_of(other)["seed"] == 4 and options_of(other)["negative"] == "blurred"
    assert not np.array_equal(read_video(other), read_video(first))


def test_a_video_is_continued(run, source, tmp_path):
    out = tmp_path / "out"
    assert run([row(source, out="a.mp4")]) == 0
    assert run([row(source, out="a.mp4"), row(source, out="b.mp4", after=str(out / "a.mp4"), frames=13)]) == 0
    before, both = read_video(out / "a.mp4"), read_video(out / "b.mp4")
    assert len(both) == len(before) + 16 - 1  # one frame of 16 is the last one of the other
    difference = np.abs(both[: len(before)].astype(int) - before).mean()
    assert difference < 8  # noise, which the video codec rounds a second time; two frames of it differ by 40 and more
    assert options_of(out / "b.mp4")["after"] == "a.mp4"
    again = out / "again.mp4"  # beside it, because the settings name the video from where it lies
    assert main(["generate", "--like", str(out / "b.mp4"), "--out", str(again), "--device", "cpu"]) == 0
    assert again.read_bytes() == (out / "b.mp4").read_bytes()
    assert run([row(source, out="c.mp4", after="absent.mp4")]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"promt": "x"}, "line 2: there is no setting 'promt'. Did you mean prompt.* The settings are .*strength"),
        ({"jobs": "x"}, "line 2: there is no setting 'jobs'"),
        ({"seed": "many"}, "line 2: argument --seed: invalid int value: 'many'"),
        ({"solver": "euler"}, "line 2: argument --solver: invalid choice: 'euler'"),
        ({"cfg": 0.5}, "line 2: Guidance must be a finite number of at least 1"),
        ({"tiling": "perhaps"}, "line 2: tiling: expected true or false, got 'perhaps'"),
        ({"prompt": None}, "line 2 lacks prompt"),
        ({"image": None}, "line 2 lacks image .or person"),
        ({"out": "first.mp4"}, "Videos 1 and 2 have one name, first.mp4"),
        ({"out": "../up.mp4"}, "line 2: Expected the name of a video file"),
        ({"out": "up.avi"}, "line 2: .*ends in .mp4"),
    ],
)
def test_a_row_that_makes_no_sense_stops_before_anything_is_loaded(run, source, tmp_path, capsys, changes, message):
    assert run([row(source, out="first.mp4"), row(source, **changes)]) == 2
    captured = capsys.readouterr().err
    assert re.search(message, captured), captured
    assert "Traceback" not in captured and not list(tmp_path.glob("out/*.mp4"))


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("", ".jsonl", "has no rows"),
        ("image,prompt\n", ".csv", "has no rows"),
        ("not json", ".jsonl", "line 1: expected an object as JSON"),
        ('{"prompt": "a"}\n[1]', ".jsonl", "line 2: expected an object such as"),
        ("image,prompt\na,b,c\n", ".csv", "line 2: more cells than the header has"),
    ],
)
def test_a_file_without_rows_is_refused(run, capsys, text, suffix, message):
    assert run(text, suffix) == 2
    assert message in capsys.readouterr().err


def test_a_missing_photo_fails_its_row_and_no_other(run, source, tmp_path, capsys):
    assert run([row(source, image="absent.png", out="a.mp4"), row(source, out="b.mp4")]) == 1
    captured = capsys.readouterr()
    assert "1 of 2 videos" in captured.out
    assert "failed: a.mp4: There is no file absent.png. Check the path" in captured.err
    assert [path.name for path in (tmp_path / "out").glob("*.mp4")] == ["b.mp4"]


def test_an_interrupt_says_how_to_go_on(run, source, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "sample_latents", stop)
    assert run([row(source)]) == 130
    assert re.search("interrupted: finished videos are in .*; the same command goes on", capsys.readouterr().err)


def test_labels_name_what_is_running(run, source, capsys, monkeypatch):
    original, seen = pipeline.run.load_adapter, []

    def load(*arguments):
        seen.append(capsys.readouterr().err)
        return original(*arguments)

    monkeypatch.setattr(pipeline.run, "load_adapter", load)
    assert run([row(source, out="a.mp4")]) == 0
    assert seen[0].rstrip().splitlines()[-1].split("\r")[-1].startswith("a.mp4: adapter:   0%")


def test_signing_without_its_package_or_files_is_refused(run, source, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    (tmp_path / "cert.pem").write_text("")
    assert run([row(source)], certificate=tmp_path / "cert.pem", key=tmp_path / "cert.pem") == 2
    told = capsys.readouterr().err
    assert "Signing needs the package c2pa-python" in told and "-m pip install c2pa-python" in told
    assert run([row(source)], certificate=tmp_path / "absent.pem", key=tmp_path / "cert.pem") == 2
    assert "expected a certificate chain and its key, both PEM" in capsys.readouterr().err
