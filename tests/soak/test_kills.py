"""A process that is killed while it writes leaves the old file or the new one, whole, under the file's name."""

from __future__ import annotations

import multiprocessing
import os
import random
import time

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
SHORT, LONG = 2, 40
MARKS = (1.0, 2.0)  # what the two versions of a file are told by


def write_shape(path, mark):
    from fantasyid_core.shape import save_shape

    save_shape(torch.full((5023, 3), mark), path)


def read_shape(path):
    from fantasyid_core.shape.files.meshfile import decode

    return decode(path.read_bytes(), path.suffix).vertices


def write_identity(path, mark):
    from fantasyid_core.identity.identityfile import save_identity

    save_identity(path, torch.full((1, 115, 2048), mark), np.zeros((16, 16, 3), np.uint8), fingerprint="0" * 16)


def read_identity(path):
    from fantasyid_core.identity.identityfile import load_identity

    return load_identity(path).tokens.numpy()


def write_video(path, mark):
    from fantasyid_core.videofile import save_video

    save_video(np.full((9, 64, 64, 3), int(60 * mark), np.uint8), path)


def read_video(path):
    import av

    with av.open(path) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 9
    return np.round(np.stack(frames) / 60.0)


def write_adapter(path, mark):
    from small import make_adapter

    from fantasyid_core.weights.adapter import save_adapter

    adapter = make_adapter()
    for parameter in adapter.parameters():
        torch.nn.init.constant_(parameter, mark)
    save_adapter(adapter, path)


def read_adapter(path):
    from fantasyid_core import load_adapter

    return np.concatenate(
        [
            value.numpy().ravel()
            for value in load_adapter(path).state_dict().values()
            if value.is_floating_point() and value.numel() > 1
        ]
    )


def write_report(path, mark):
    from fantasyid_core.files.writing import write_aside

    with write_aside(path) as aside:
        aside.write_text(f"{mark}\n" * 100_000, encoding="utf-8")


def read_report(path):
    lines = path.read_text(encoding="utf-8").split()
    assert len(lines) == 100_000
    return np.array(lines, float)


KINDS = {
    "face.ply": (write_shape, read_shape), "face.glb": (write_shape, read_shape),
    "face.obj": (write_shape, read_shape), "face.npy": (write_shape, read_shape),
    "person.safetensors": (write_identity, read_identity), "video.mp4": (write_video, read_video),
    "adapter.safetensors": (write_adapter, read_adapter), "report.txt": (write_report, read_report),
}  # fmt: skip


def write_forever(write, path, report):
    torch.set_num_threads(1)
    for count in range(10_000):
        write(path, MARKS[count % 2])
        report.send(count)


def kill(name, folder, times):
    write, read = KINDS[name]
    path, moments = folder / name, random.Random(name)
    write(path, MARKS[0])
    context = multiprocessing.get_context("fork")
    for _ in range(times):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=write_forever, args=(write, path, theirs))
        child.start()
        ours.recv()
        time.sleep(moments.uniform(0, 0.05))
        child.kill()
        child.join()
        values = np.unique(read(path))
        assert len(values) == 1 and values[0] in MARKS, values
    assert [each for each in folder.iterdir() if not each.name.startswith(".")] == [path]


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_writer_leaves_a_whole_file(name, tmp_path):
    kill(name, tmp_path, SHORT)


@pytest.mark.soak
@pytest.mark.parametrize("name", KINDS)
def test_many_killed_writers_leave_whole_files(name, tmp_path):
    kill(name, tmp_path, LONG)
