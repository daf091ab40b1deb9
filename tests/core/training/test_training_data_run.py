"""A folder of videos becomes an index that the trainer reads: resumed, with bad input and full disks."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from facevideos import CLIP, FOLDER_SETTINGS, contents, prepare_folder, texture, walk, write, write_folder
from PIL import Image

from fantasyid_core.__main__ import main
from fantasyid_core.shape import synthetic_head
from fantasyid_core.training.config import DataSettings, IdentitySettings
from fantasyid_core.training.data import index as index_file
from fantasyid_core.training.data import video as video_file
from fantasyid_core.training.data.index import write_index
from fantasyid_core.training.index_source import IndexSource, read_index

pytest.importorskip("pyarrow", reason="pyarrow is not installed: the index cannot be written")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def prepared(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    return out, prepare_folder(videos, out)


def test_the_report_says_what_became_of_every_video(prepared):
    out, report = prepared
    assert (report["videos"], report["clips"], report["with_captions"], report["with_shapes"]) == (8, 5, 4, 5)
    assert report["rejected"] == {"no face": 1, "short scene": 1}
    reasons = {each["video"]: each["reason"] for each in report["skipped"]}
    assert list(reasons) == ["brief.mp4", "empty.mp4", "junk.avi", "nobody.mp4"]
    for name, reason in {
        "brief.mp4": "1 x short scene (2 frames, 9 are needed)",
        "empty.mp4": "empty (0 bytes)",
        "junk.avi": "cannot be read",
        "nobody.mp4": "1 x no face (no face at 1.00 s)",
    }.items():
        assert reason in reasons[name]
    assert any("no caption" in problem and "d.mp4" in problem for problem in report["captions"])
    assert json.loads((out / "report.json").read_text())["skipped"] == report["skipped"]
    text = (out / "report.md").read_text()
    assert "5 clips" in text and all(f"- {name}: {reason}" in text for name, reason in reasons.items())


def test_contact_sheets_show_what_was_taken_and_what_not(prepared):
    out, _ = prepared
    assert sorted(path.name for path in (out / "sheets").iterdir()) == ["accepted-00.png", "rejected-00.png"]
    accepted = np.array(Image.open(out / "sheets" / "accepted-00.png"))
    rim = (np.abs(accepted.astype(int) - (255, 0, 255)).max(axis=2) < 80).sum()
    assert accepted.shape[0] == 3 * 112 + 6 and rim > 2000  # five clips in two columns
    assert np.array(Image.open(out / "sheets" / "rejected-00.png")).std() > 10


def source_of(folder, held_out=False, reference="view"):
    data, identity = DataSettings(folder=str(folder), held_out=1), IdentitySettings(reference=reference)
    return IndexSource(data, identity, (9, 64, 96), 642, held_out, face_size=48)


def test_the_trainer_reads_the_index(prepared, tmp_path):
    moved = tmp_path / "moved"  # all paths are relative
    subprocess.run(["cp", "-r", str(prepared[0]), str(moved)], check=True)
    source, held_out = source_of(moved), source_of(moved, held_out=True, reference="own frame")
    assert (len(source), len(held_out), source.too_short) == (4, 1, 0)
    batch = source.batch([0, 2], np.random.default_rng(0))
    assert batch.texts == ["person 1", "person 2"] and batch.names[0].endswith("/0000")
    assert batch.pictures.shape == (2, 9, 64, 96, 3) and batch.references.shape == (2, 48, 48, 3)
    np.testing.assert_array_equal(batch.vertices[0], synthetic_head(3)[0].numpy())
    assert held_out.batch([0], np.random.default_rng(0)).texts == ["person 3"]


def test_a_second_run_makes_nothing_again(prepared, videos, monkeypatch):
    before = contents(prepared[0])
    monkeypatch.setattr("fantasyid_core.training.data.run.prepare_video", None)
    said = []
    assert prepare_folder(videos, prepared[0], say=said.append) == prepared[1]
    assert contents(prepared[0]) == before and said == ["8 of 8 videos are done already."]


def test_other_settings_and_changed_videos_are_made_again(videos, tmp_path):
    folder = tmp_path / "in"
    subprocess.run(["cp", "-r", str(videos), str(folder)], check=True)
    assert prepare_folder(folder, tmp_path / "out")["clips"] == 5
    write(folder / "a.mp4", walk(3 * CLIP, texture(5)))
    said = []
    assert prepare_folder(folder, tmp_path / "out", say=said.append)["clips"] == 7
    assert said[0] == "7 of 8 videos are done already." and "a.mp4: 3 clips" in said[1]
    (folder / "b.mp4").unlink()
    assert prepare_folder(folder, tmp_path / "out")["clips"] == 5
    strict = replace(FOLDER_SETTINGS, confidence=0.99)
    report = prepare_folder(folder, tmp_path / "out", strict)
    assert report["clips"] == 0 and report["index"] == [] and not list((tmp_path / "out").glob("index-*"))
    assert report["rejected"]["unsure face"] >= 4


def test_shards_hold_the_clips_in_order(prepared, videos):
    out, whole = prepared[0], read_index(prepared[0])
    report = prepare_folder(videos, out, replace(FOLDER_SETTINGS, shard=2))
    assert report["index"] == [f"index-0000{n}.parquet" for n in range(3)]
    assert read_index(out) == whole and [row["name"][-4:] for row in whole] == ["0000", "0000", "0001", "0000", "0000"]
    assert prepare_folder(videos, out)["index"] == ["index-00000.parquet"] and read_index(out) == whole
    assert len(list(out.glob("index-*"))) == 1


def test_a_full_disk_is_said_and_what_is_finished_is_kept(prepared, videos, tmp_path, monkeypatch):
    saved, real = [], video_file.save_video

    def full(frames, path, *others):
        saved.append(path)
        if len(saved) == 3:
            raise OSError(f"Writing {path} failed (No space left on device). Nothing was changed.")
        real(frames, path, *others)

    monkeypatch.setattr(video_file, "save_video", full)
    with pytest.raises(OSError, match="No space left.*the same command goes on"):
        prepare_folder(videos, tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.glob("index-*")) and not list(tmp_path.glob("report*"))
    assert len(list((tmp_path / "state").glob("*.json"))) == 1
    assert prepare_folder(videos, tmp_path) == prepared[1] and contents(tmp_path) == contents(prepared[0])


def test_a_full_disk_while_the_index_is_written_keeps_the_older_one(prepared, monkeypatch):
    out, rows = prepared[0], read_index(prepared[0])
    before, real = contents(out), index_file.require_parquet()
    written = []

    class Full:
        def write_table(self, table, path):
            written.append(path)
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            real[1].write_table(table, path)

    monkeypatch.setattr(index_file, "require_parquet", lambda: (real[0], Full()))
    with pytest.raises(OSError, match=r"index-00001\.parquet failed \(No space left on device\).*free some space"):
        write_index(rows, out, 2)
    assert contents(out) == before and len(written) == 2


def test_without_pyarrow_it_is_said_before_the_work(videos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RuntimeError, match="pip install pyarrow"):
        prepare_folder(videos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_strict_captions_stop_before_the_work(videos, tmp_path):
    with pytest.raises(ValueError, match="The captions do not match.*d.mp4"):
        prepare_folder(videos, tmp_path / "out", replace(FOLDER_SETTINGS, strict=True))
    assert not (tmp_path / "out").exists()


def test_captions_change_without_making_clips_again(prepared, videos, tmp_path, monkeypatch):
    table = tmp_path / "texts.csv"
    table.write_text("video,caption\nd,four\n")
    monkeypatch.setattr("fantasyid_core.training.data.run.prepare_video", None)
    report = prepare_folder(videos, prepared[0], replace(FOLDER_SETTINGS, captions=str(table)))
    assert report["with_captions"] == 5
    assert [row["caption"] for row in read_index(prepared[0])][-2:] == ["four", "person 3"]
    prepare_folder(videos, prepared[0])


def test_the_command_finds_a_real_face_without_any_file(tmp_path, capsys):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed: its photo is missing")
    photo = data.astronaut()[0:256, 96:352]
    pictures = [np.roll(np.pad(photo, ((0, 0), (64, 64), (0, 0)), mode="edge"), 2 * t, axis=1) for t in range(9)]
    write(tmp_path / "in" / "eileen.mp4", pictures, fps=8)
    options = "--frames 9 --height 64 --width 96 --every 8 --crop 64 --detector mediapipe --text none --shape none"
    assert main(["prepare", str(tmp_path / "in"), str(tmp_path / "out"), *options.split(), "--min-face", "50"]) == 0
    told = capsys.readouterr().out
    assert "eileen.mp4: 1 clips, 0 left out" in told and "1 clips out of 1 videos" in told
    assert "note: 1 of 1 videos have no caption: eileen.mp4." in told
    (row,) = read_index(tmp_path / "out")
    assert row["score"] >= 0.7 and row["references"] and row["vertices"] is None and row["caption"] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "out"], "There is no folder absent"),
        (["{videos}", "out", "--frames", "many"], "--frames: expected a whole number, got 'many'"),
        (["{videos}", "out", "--fps", "0"], "fps: expected 0.1 to 1000"),
        (["{videos}", "out", "--captions", "absent.csv"], "no caption file absent.csv"),
        (
            ["{videos}", "out", "--detector", "mediapipe", "--text", "opencv", "--text-model", "x"],
            "no text network at x",
        ),
    ],
)
def test_wrong_options_are_explained(videos, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", *(part.format(videos=videos) for part in arguments)]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_an_interrupted_command_says_what_is_kept(videos, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("fantasyid_core.training.data.run.prepare_video", interrupted)
    assert main(["prepare", str(videos), str(tmp_path), "--detector", "mediapipe", "--text", "none"]) == 130
    assert "Finished videos are kept" in capsys.readouterr().err
