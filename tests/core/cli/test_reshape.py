"""`fantasyid reshape`: a video in, the same video with another face out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image
from soundvideos import sound_packets, times_of, write

from fantasyid_core.__main__ import main
from fantasyid_core.cli.reshape import edit_text
from fantasyid_core.jobs.synthetic import is_marked, mark_synthetic
from fantasyid_core.shape.reshape.request import written_edit
from fantasyid_core.videofile import read_video

TIMES = (0, 40, 100, 130)


@pytest.fixture(scope="module")
def drawn():
    """Four frames of a drawn person: uint8 [4,160,160,3]."""
    pytest.importorskip("numba", reason="numba is not installed: procedural people cannot be rendered")
    from fantasyid_core.people.instruments.reshaping import draw_lively

    return draw_lively(1_000_000_003, frames=4, size=160).frames


@pytest.fixture
def video(drawn, tmp_path):
    return write(tmp_path / "in.mp4", drawn, TIMES, sound="aac")


@pytest.fixture
def blank(tmp_path):
    """A video without a face."""
    return write(tmp_path / "in.mp4", [np.full((96, 96, 3), 90, np.uint8)] * 3, TIMES[:3])


def reshape(tmp_path, video, *options) -> int:
    return main(["reshape", str(video), "--out", str(tmp_path / "out.mp4"), *options])


def change_of(tmp_path, video) -> np.ndarray:
    """Mean change of every frame."""
    frames = (read_video(path).astype(int) for path in (tmp_path / "out.mp4", video))
    return np.abs(np.subtract(*frames)).mean(axis=(1, 2, 3))


def test_the_face_changes_and_sound_and_times_stay(tmp_path, video, capsys):
    assert reshape(tmp_path, video, "--edit", "face_width=0.9", "jaw_width=-0.5") == 0
    assert change_of(tmp_path, video).min() > 2
    assert times_of(tmp_path / "out.mp4") == pytest.approx([time / 1000 for time in TIMES])
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(video)
    told = capsys.readouterr().out
    assert "4 of 4 frames were changed." in told and "face_width: asked +0.90" in told
    assert f"4 frames: {tmp_path / 'out.mp4'}" in told


def test_strength_and_schedule_and_a_file_with_the_edit(tmp_path, video):
    (tmp_path / "edit.json").write_text('{"version": 1, "values": {"face_width": 0.9}}', encoding="utf-8-sig")
    options = ["--edit", str(tmp_path / "edit.json"), "--strength", "-1", "--schedule", "0:0, 0.4:0, 1:1", "--crf", "4"]
    assert reshape(tmp_path, video, *options) == 0
    changed = change_of(tmp_path, video)
    assert changed[:2].max() < 2 < changed[3]


def test_a_video_without_a_face_is_written_as_it_came(tmp_path, blank, capsys):
    assert reshape(tmp_path, blank, "--edit", "face_width=0.5") == 0
    told = capsys.readouterr().out
    assert "0 of 3 frames were changed." in told and "3 frames were passed on: no face was found." in told
    assert change_of(tmp_path, blank).max() < 2


def test_a_mark_of_synthetic_media_stays(tmp_path, blank):
    assert reshape(tmp_path, blank, "--edit", "face_width=0.5") == 0
    assert not is_marked(tmp_path / "out.mp4")
    mark_synthetic(blank)
    assert reshape(tmp_path, blank, "--edit", "face_width=0.5") == 0
    assert is_marked(tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "There is no edit.*--edit face_width=0.5"),
        (["--edit", "{}"], "There is no edit"),
        (["--edit", "wider"], "Expected sliders such as face_width=0.5"),
        (["--edit", "absent.json"], "There is no file absent.json"),
        (["--edit", "face_width=0.5", "--schedule", "0:0, 2:1"], "a part of the video from 0 to 1"),
        (["--edit", "face_width=0.5", "--strength", "7"], "Expected a strength of -3 to 3"),
        (["--edit", "face_width=0.5", "--crf", "99"], "Expected --crf of 0"),
        (["--edit", "face_width=0.5", "--only-the-rest"], "Expected the 3D face before the edit"),
        (["--edit", "face_width=0.5", "--face", "alike"], "needs --like"),
        (["--edit", "face_width=0.5", "--out", "out.mkv"], "ends in .mp4"),
    ],
)
def test_what_cannot_be_is_a_sentence_before_any_work(tmp_path, blank, capsys, options, message):
    import re

    assert reshape(tmp_path, blank, *options) == 2
    assert re.search(message, capsys.readouterr().err, re.DOTALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_a_damaged_video_and_a_picture_are_sentences(tmp_path, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.jpg")
    for name, message in (
        ("bad.mp4", "cannot be read as a video"),
        ("photo.jpg", "it is a picture"),
        ("no.mp4", "no video"),
    ):
        assert reshape(tmp_path, tmp_path / name, "--edit", "face_width=0.5") == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


def test_an_interrupt_leaves_nothing_behind(tmp_path, blank, monkeypatch, capsys):
    from fantasyid_core.shape.reshape import request

    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(request, "reshape_as_asked", interrupted)
    assert reshape(tmp_path, blank, "--edit", "face_width=0.5") == 130
    assert "interrupted" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_a_missing_pyav_is_said_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert reshape(tmp_path, tmp_path / "absent.mp4", "--edit", "face_width=0.5") == 2
    assert "The command reshape needs the package av, which is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("face_width=0.5", {"face_width": 0.5}),
        ("face_width=.5 nose_length=-0.3", {"face_width": 0.5, "nose_length": -0.3}),
        ("face_width: 1, nose_length : -0.25;\nage=+0.1", {"face_width": 1, "nose_length": -0.25, "age": 0.1}),
        ('{"face_width": 0.5}', {"face_width": 0.5}),
        ("  ", {}),
    ],
)
def test_edits_as_people_type_them(text, values):
    assert written_edit(text).values == {name: (value, value) for name, value in values.items()}
    assert edit_text(text.split()) == " ".join(text.split())


def test_what_is_typed_is_held_to_the_sliders_ranges():
    edit = written_edit("face_width=7 third_eye=1")
    assert edit.values == {"face_width": (1.0, 1.0)}
    assert "face_width was 7" in edit.notes[0] and "third_eye" in edit.notes[1]
    for text in ("face_width", "face_width=", "face_width=wide", "face_width=1x", "=1", "face_width==1"):
        with pytest.raises(ValueError, match="Expected sliders such as"):
            written_edit(text)
