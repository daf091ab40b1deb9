"""Videos are found, read at the model's rate, and cut where scenes change; what cannot be read says why."""

from __future__ import annotations

import wave

import numpy as np
import pytest
from facevideos import picture, texture, walk, write

from fantasyid_core.face.cuts import CutDetector
from fantasyid_core.training.data.finding import find_videos
from fantasyid_core.training.data.reading import Unreadable, read_frames
from fantasyid_core.videofile import save_video


def counted(path, count, fps, size=(64, 96)):
    """A video whose frame n has the grey n * 4."""
    frames = np.zeros((count, *size, 3), np.uint8) + (4 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    save_video(frames, path, fps, crf=0)
    return path


def numbers(path, fps=8.0, side=96):
    return [round(frame.picture.mean() / 4) for frame in read_frames(path, fps, side)]


@pytest.mark.parametrize(("rate", "expected"), [(24, range(0, 60, 3)), (8, range(60)), (16, range(0, 60, 2))])
def test_frames_are_taken_at_the_models_rate(tmp_path, rate, expected):
    assert numbers(counted(tmp_path / "v.mp4", 60, rate)) == list(expected)


def test_of_other_rates_the_nearest_frame_is_taken(tmp_path):
    path = counted(tmp_path / "v.mp4", 60, 30)
    assert np.abs(np.array(numbers(path)) - 30 / 8 * np.arange(16)).max() <= 0.5
    times = [frame.time for frame in read_frames(path, 8.0, 96)]
    assert np.abs(np.array(times) - np.arange(16) / 8).max() < 0.5 / 30 + 1e-6


def test_the_longer_side_is_limited(tmp_path):
    frame = next(read_frames(counted(tmp_path / "v.mp4", 9, 8, (128, 192)), 8, 96))
    assert frame.picture.shape == (64, 96, 3) and frame.number == 0 and frame.fresh


def test_a_phones_video_is_turned_upright(tmp_path):
    frames = np.zeros((9, 64, 96, 3), np.uint8)
    frames[:, :, :48] = 255  # bright on the left
    save_video(frames, tmp_path / "v.mp4", 8)
    content = (tmp_path / "v.mp4").read_bytes()
    one = (1 << 16).to_bytes(4, "big")
    zero, minus = bytes(4), (2**32 - (1 << 16)).to_bytes(4, "big")
    unit = one + zero * 3 + one + zero * 3 + (1 << 30).to_bytes(4, "big")
    turned = zero + one + zero + minus + zero * 4 + (1 << 30).to_bytes(4, "big")  # a quarter clockwise
    head, mark, rest = content.partition(b"tkhd")
    assert rest.count(unit) == 1
    (tmp_path / "v.mp4").write_bytes(head + mark + rest.replace(unit, turned))
    upright = next(read_frames(tmp_path / "v.mp4", 8, 96)).picture
    assert upright.shape == (96, 64, 3)
    assert upright[:42].mean() > 240 and upright[54:].mean() < 15  # left became top


def silence(path):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))


def test_what_cannot_be_read_says_why(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "junk.mkv").write_bytes(bytes(range(256)) * 50)
    silence(tmp_path / "sound.avi")
    whole = write(tmp_path / "whole.mp4", walk(96, texture(0)))
    content = whole.read_bytes()
    (tmp_path / "short.mp4").write_bytes(content[: len(content) // 2])
    broken = bytearray(content)
    broken[len(content) // 2 :: 7] = bytes(len(broken[len(content) // 2 :: 7]))
    (tmp_path / "broken.mp4").write_bytes(broken)
    counted(tmp_path / "slow.mp4", 12, 4)
    counted(tmp_path / "tiny.mp4", 12, 8, (16, 64))
    reasons = {
        "empty.mp4": r"empty \(0 bytes\)",
        "junk.mkv": "cannot be read: Invalid data",
        "sound.avi": "no picture",
        "short.mp4": "cut off after|cannot be read",
        "slow.mp4": "4 frames per second, fewer than the 8",
        "tiny.mp4": "64 x 16 pixels, too few",
        "absent.mp4": "No such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(Unreadable, match=reason):
            list(read_frames(tmp_path / name, 8, 240))
    assert len(list(read_frames(whole, 8, 240))) == 32


def test_scenes_end_where_the_picture_changes_at_once():
    scenes = [walk(20, texture(1)), walk(20, texture(2), background=(30, 60, 30)), walk(20, texture(3))]
    cut = CutDetector()
    assert [place for place, each in enumerate(sum(scenes, [])) if cut(each)] == [0, 20, 40]


def test_neither_motion_nor_a_slow_fade_nor_flicker_is_a_cut():
    cut = CutDetector()
    calm = walk(30, texture(1))
    faded = [(each * (1 - 0.02 * t)).astype(np.uint8) for t, each in enumerate(calm)]
    assert sum(cut(each) for each in faded) == 1
    rng, wild = np.random.default_rng(0), CutDetector()  # a scene that always changes has no cut at each frame
    shaken = [picture((int(rng.integers(0, 170)), int(rng.integers(0, 90)), 0, texture(1))) for _ in range(30)]
    assert sum(wild(each) for each in shaken) <= 2


def test_videos_are_found_below_the_folder_but_not_in_the_output(tmp_path):
    names = ["b.MP4", "a/x y.mov", "a/é.webm", ".hidden/c.mp4", "out/clips/d.mp4", "note.txt", "._b.mp4"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a" / "x y.ply").write_bytes(b"x")
    found = find_videos(tmp_path, apart=tmp_path / "out")
    assert [video.relative for video in found] == ["a/x y.mov", "a/é.webm", "b.MP4"]
    assert len({video.name for video in found}) == 3 and all(video.name.isascii() for video in found)
    assert [video.shape and video.shape.name for video in found] == ["x y.ply", None, None]
    assert find_videos(tmp_path / "b.MP4")[0].relative == "b.MP4"


def test_a_folder_without_videos_is_an_error(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"no videos.*\.mp4.*got 1 others"):
        find_videos(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        find_videos(tmp_path / "absent")
