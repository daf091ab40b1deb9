"""Videos written anew frame by frame: times and sound stay, nothing is half-written, and memory does not grow."""

from __future__ import annotations

import errno

import av
import numpy as np
import pytest
from PIL import Image
from soundvideos import RATE, UNEVEN, sound_of, sound_packets, times_of, write

from fantasyid_core.videofile import read_video, rewrite_video

LEVELS = np.linspace(20, 220, len(UNEVEN)).astype(np.uint8)
FRAMES = [np.full((32, 48, 3), level, np.uint8) for level in LEVELS]


def same(frames, count):
    return frames


def inverted(frames, count):
    return (255 - frame for frame in frames)


def levels(path) -> np.ndarray:
    return read_video(path).reshape(-1, 32 * 48 * 3).mean(axis=1)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_frames_are_changed_and_keep_their_uneven_times(tmp_path):
    source = write(tmp_path / "in.mp4", FRAMES)
    counts = []

    def change(frames, count):
        counts.append(count)
        return inverted(frames, count)

    assert rewrite_video(source, tmp_path / "out.mp4", change) == []
    assert counts == [len(FRAMES)]
    np.testing.assert_allclose(levels(tmp_path / "out.mp4"), 255.0 - LEVELS, atol=3)
    assert times_of(tmp_path / "out.mp4") == pytest.approx([time / 1000 for time in UNEVEN])


def test_the_sound_is_the_same_to_the_byte(tmp_path):
    source = write(tmp_path / "in.mp4", FRAMES, sound="aac", title="a title")
    assert rewrite_video(source, tmp_path / "out.mp4", inverted) == []
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(source) != []
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "a title"
        assert container.streams.video[0].codec_context.name == "h264"


def test_sound_that_an_mp4_cannot_hold_becomes_aac(tmp_path):
    source = write(tmp_path / "in.mkv", FRAMES, sound="pcm_s16le")
    (note,) = rewrite_video(source, tmp_path / "out.mp4", same)
    assert "encoded as AAC" in note
    codec, samples = sound_of(tmp_path / "out.mp4")
    assert codec == "aac" and len(samples) == pytest.approx(RATE, rel=0.1)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * RATE / len(samples) == pytest.approx(440, abs=3)


@pytest.mark.parametrize(("name", "codec"), [("in.mkv", "libx264"), ("in.webm", "libvpx-vp9"), ("in.avi", "mpeg4")])
def test_other_containers_are_read(tmp_path, name, codec):
    times = [40 * n for n in range(len(FRAMES))]
    source = write(tmp_path / name, FRAMES, times, codec=codec)
    told = []
    rewrite_video(source, tmp_path / "out.mp4", same, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, len(FRAMES)) for done in range(1, len(FRAMES) + 1)]
    assert times_of(tmp_path / "out.mp4") == pytest.approx([time / 1000 for time in times], abs=0.002)
    np.testing.assert_allclose(levels(tmp_path / "out.mp4"), LEVELS, atol=6)


def test_one_frame_and_odd_sides_are_written(tmp_path):
    source = write(tmp_path / "in.mp4", FRAMES[:1], UNEVEN[:1])
    odd = np.full((31, 47, 3), 90, np.uint8)
    rewrite_video(source, tmp_path / "out.mp4", lambda frames, count: [odd for _ in frames])
    assert read_video(tmp_path / "out.mp4").shape == (1, 32, 48, 3)


def test_only_the_frames_on_their_way_are_in_memory(tmp_path):
    source = write(tmp_path / "in.mp4", FRAMES * 8, range(0, 40 * 64, 40), sound="aac")
    taken, given = [], []

    def change(frames, count):
        waiting = []
        for frame in frames:
            taken.append(len(taken))
            waiting.append(frame)
            if len(waiting) > 5:
                given.append(len(given))
                assert len(taken) - len(given) <= 5, "frames are read before they are asked for"
                yield waiting.pop(0)
        yield from waiting

    rewrite_video(source, tmp_path / "out.mp4", change)
    assert len(times_of(tmp_path / "out.mp4")) == 64 and len(given) == 59


def test_a_turned_phone_video_comes_out_upright(tmp_path):
    upright = np.zeros((64, 48, 3), np.uint8)
    upright[:16] = 200  # light above
    lying = write(tmp_path / "lying.mp4", [np.rot90(upright).copy()] * 3, (0, 40, 80))
    content = lying.read_bytes()
    start = content.index(b"tkhd") + 4 + 40  # the display matrix of the track
    one, turned = (1 << 16).to_bytes(4, "big"), (-1 << 16).to_bytes(4, "big", signed=True)
    none = bytes(4)
    matrix = b"".join([none, one, none, turned, none, none, none, none, (1 << 30).to_bytes(4, "big")])
    (tmp_path / "in.mp4").write_bytes(content[:start] + matrix + content[start + 36 :])
    rewrite_video(tmp_path / "in.mp4", tmp_path / "out.mp4", same)
    frames = read_video(tmp_path / "out.mp4")
    assert frames.shape == (3, 64, 48, 3)
    assert frames[0, :12].mean() > 150 and frames[0, 24:].mean() < 40


def test_a_video_may_be_replaced_by_its_own_change(tmp_path):
    path = write(tmp_path / "clip.mp4", FRAMES, sound="aac")
    finished = []
    rewrite_video(path, path, inverted, finish=lambda aside: finished.append(aside.stat().st_size > 0))
    np.testing.assert_allclose(levels(path), 255.0 - LEVELS, atol=3)
    assert finished == [True] and names(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt("enough"), ValueError("Expected a face."), OSError(errno.ENOSPC, "")]
)
def test_what_breaks_off_leaves_the_older_file_and_nothing_else(tmp_path, error):
    source = write(tmp_path / "in.mp4", FRAMES, sound="aac")
    (tmp_path / "out.mp4").write_bytes(b"older")

    def change(frames, count):
        yield next(frames)
        raise error

    with pytest.raises(type(error)) as caught:
        rewrite_video(source, tmp_path / "out.mp4", change)
    assert "cannot be read" not in str(caught.value)
    assert names(tmp_path) == ["in.mp4", "out.mp4"] and (tmp_path / "out.mp4").read_bytes() == b"older"


def test_what_is_no_video_is_explained(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.jpg")
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    (tmp_path / "text.mp4").write_text("not a video")
    whole = write(tmp_path / "whole.mp4", FRAMES).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp4").touch()
    silent = tmp_path / "sound.wav"
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 100), np.int16), format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
    expected = {
        "photo.jpg": "it is a picture",
        "photo.png": "it is a picture",
        "sound.wav": "there is no picture in it",
        "text.mp4": "cannot be read as a video",
        "cut.mp4": "cannot be read as a video",
        "empty.mp4": "cannot be read as a video",
    }
    for name, message in expected.items():
        with pytest.raises(ValueError, match=message):
            rewrite_video(tmp_path / name, tmp_path / "out.mp4", same)
    with pytest.raises(FileNotFoundError, match="There is no video at"):
        rewrite_video(tmp_path / "absent.mp4", tmp_path / "out.mp4", same)
    with pytest.raises(ValueError, match=r"the name of an \.mp4 file, got 'out.mkv'"):
        rewrite_video(tmp_path / "whole.mp4", tmp_path / "out.mkv", same)
    assert "out.mp4" not in names(tmp_path)
