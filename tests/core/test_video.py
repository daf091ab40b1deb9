"""Frames to .mp4 and back: colours, count, size and rate; nothing half-written when it goes wrong."""

import errno
import os

import av
import numpy as np
import pytest
import torch

from fantasyid_core.videofile import read_video, save_video

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 120, 80]])


def flat_frames(height=48, width=64):
    """One colour per frame: [6,H,W,3]"""
    return np.broadcast_to(COLOURS[:, None, None].astype(np.uint8), (6, height, width, 3))


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_colours_count_and_rate_survive(tmp_path):
    path = tmp_path / "clip.mp4"
    save_video(flat_frames(), path)
    video = read_video(path)
    assert video.shape == (6, 48, 64, 3) and video.dtype == np.uint8
    assert np.abs(video.astype(int) - flat_frames()).max() <= 3
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 8 and stream.frames == 6
        marked = stream.codec_context.colorspace, stream.codec_context.color_range
        assert marked == (1, 1)  # BT.709, limited range
    assert sorted(contents(tmp_path)) == ["clip.mp4"]


def test_file_starts_with_its_index_so_that_browsers_can_stream_it(tmp_path):
    save_video(flat_frames(), tmp_path / "clip.mp4")
    content = (tmp_path / "clip.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_moving_picture_stays_sharp(tmp_path):
    y, x = np.mgrid[:96, :128]
    frames = np.stack([127 + 100 * np.sin((x + 3 * t) / 9) * np.cos(y / 7) for t in range(9)])
    frames = torch.tensor(frames[..., None].repeat(3, -1) / 255, dtype=torch.float32)
    save_video(frames, tmp_path / "clip.mp4")
    error = read_video(tmp_path / "clip.mp4") / 255 - frames.numpy()
    assert -10 * np.log10((error**2).mean()) > 40  # PSNR in dB


def test_crf_trades_size_for_quality(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    for crf in (10, 40):
        save_video(noise, tmp_path / f"{crf}.mp4", crf=crf)
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.bfloat16, torch.uint8])
def test_floats_and_bytes_give_the_same_file(tmp_path, kind):
    save_video(flat_frames(), tmp_path / "bytes.mp4")
    if kind is torch.uint8:
        frames = torch.tensor(flat_frames().copy())
    elif isinstance(kind, torch.dtype):
        frames = torch.tensor(flat_frames() / 255.0).to(kind)
    else:
        frames = (flat_frames() / 255).astype(kind)
    save_video(frames, tmp_path / "other.mp4")
    difference = read_video(tmp_path / "other.mp4").astype(int) - read_video(tmp_path / "bytes.mp4")
    assert np.abs(difference).max() <= (2 if kind is torch.bfloat16 else 0)


@pytest.mark.parametrize("height, width", [(47, 64), (48, 63), (47, 63), (1, 1)])
def test_odd_sides_repeat_their_last_row_or_column(tmp_path, height, width):
    save_video(flat_frames(height, width), tmp_path / "clip.mp4")
    video = read_video(tmp_path / "clip.mp4")
    assert video.shape == (6, height + height % 2, width + width % 2, 3)
    assert np.abs(video.astype(int) - video[:, :1, :1]).max() <= 3  # the added edge has the frame's colour


@pytest.mark.parametrize("fps", [8, 12.5, 30000 / 1001, 0.5])
def test_frame_rates_are_kept(tmp_path, fps):
    save_video(flat_frames(), tmp_path / "clip.mp4", fps=fps)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-6)


def test_progress_counts_every_frame(tmp_path):
    calls = []
    save_video(flat_frames(), tmp_path / "clip.mp4", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_a_relative_name_with_a_colon_is_written_and_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_video(flat_frames(), "take1:wide.mp4")
    assert len(read_video("take1:wide.mp4")) == 6


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("reason", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_interrupt_and_full_disk_cost_nothing(tmp_path, reason, existing):
    path = tmp_path / "clip.mp4"
    if existing:
        save_video(flat_frames(), path)
    before = contents(tmp_path)

    def progress(done, total):
        if done == 3:
            raise reason

    with pytest.raises(type(reason)):
        save_video(flat_frames(), path, progress=progress)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("limit", [2000, 60_000])
def test_the_encoder_itself_runs_out_of_space(tmp_path, limit):
    resource = pytest.importorskip("resource", reason="limits on file sizes need a Unix system")
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"the older video")
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="Writing .*clip.mp4 failed .*Nothing was changed"):
            save_video(noise, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(tmp_path) == {"clip.mp4": b"the older video"}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "blocked").write_bytes(b"a file, not a folder")
    with pytest.raises(OSError, match="Cannot write .*clip.mp4"):
        save_video(flat_frames(), tmp_path / "blocked" / "clip.mp4")


@pytest.mark.parametrize("value, message", [(float("nan"), "NaN or infinite"), (255.0, "values from 0 to 255")])
def test_bad_frames_are_named_and_leave_the_old_file(tmp_path, value, message):
    path = tmp_path / "clip.mp4"
    save_video(flat_frames(), path)
    before = contents(tmp_path)
    frames = torch.zeros(6, 48, 64, 3)
    frames[4, 2, 2] = value
    with pytest.raises(ValueError, match=f"Frame 5 of 6 holds .*{message}"):
        save_video(frames, path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "frames, options, message",
    [
        (np.zeros((0, 48, 64, 3), np.uint8), {}, r"T > 0 .*got \[0, 48, 64, 3\]"),
        (np.zeros((48, 64, 3), np.uint8), {}, r"\[T,H,W,3\] .*got \[48, 64, 3\]"),
        (np.zeros((2, 3, 48, 64), np.uint8), {}, r"\[T,H,W,3\] .*got \[2, 3, 48, 64\]"),
        (np.zeros((1, 2, 16386, 3), np.uint8), {}, "sides of 1 to 16384"),
        (np.zeros((1, 48, 64, 3), np.int64), {}, "expected floats in 0..1 or uint8"),
        ("frames", {}, r"got \[\]"),
        (flat_frames(), {"fps": 0}, "frame rate of 0.1 to 1000, got 0"),
        (flat_frames(), {"fps": float("nan")}, "frame rate of 0.1 to 1000, got nan"),
        (flat_frames(), {"crf": 60}, "crf of 0 .* to 51"),
        (flat_frames(), {"path": "clip.avi"}, "an .mp4 file, got 'clip.avi'"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, frames, options, message):
    options = {"path": "clip.mp4", **options}
    with pytest.raises(ValueError, match=message):
        save_video(frames, **{**options, "path": tmp_path / options["path"]})
    assert not os.listdir(tmp_path)


def test_build_without_h264_says_so(tmp_path, monkeypatch):
    def absent(name, mode):
        raise ValueError(name)

    monkeypatch.setattr(av, "Codec", absent)
    with pytest.raises(RuntimeError, match=r"no H.264 encoder \(libx264\)"):
        save_video(flat_frames(), tmp_path / "clip.mp4")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no video\n" * 100])
def test_what_is_no_video_is_refused(tmp_path, content):
    (tmp_path / "fake.mp4").write_bytes(content)
    with pytest.raises(ValueError, match="fake.mp4 cannot be read as a video"):
        read_video(tmp_path / "fake.mp4")
    with pytest.raises(FileNotFoundError, match="There is no video at"):
        read_video(tmp_path / "nobody.mp4")


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.99])
def test_truncated_videos_are_refused(tmp_path, kept):
    path = tmp_path / "cut.mp4"
    save_video(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="cut.mp4 cannot be read as a video"):
        read_video(path)


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match="there is no picture in it"):
        read_video(tmp_path / "sound.wav")
