"""Killed at any moment and started again, shared by several processes: every video once, whole, and the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import sys

import pytest
import torch
from jobfolder import contents, make_jobs

from fantasyid_core.jobs import run_jobs

SHORT, LONG = 3, 10
forked = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return make_jobs(tmp_path_factory.mktemp("jobs"), steps=1)


@pytest.fixture(scope="module")
def uninterrupted(jobs, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert run_jobs(jobs, folder).done == len(jobs)
    return contents(folder)


def tell_all(jobs, folder, report):
    torch.set_num_threads(1)
    run_jobs(jobs, folder, lambda place, done, total: report.send((place.stage, place.done)))
    report.close()


@forked
@pytest.mark.parametrize("kills", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)])
def test_killed_at_any_moment_every_video_is_there_once_and_whole(jobs, uninterrupted, tmp_path, kills):
    context, moments = multiprocessing.get_context("fork"), random.Random(3)
    told, sampling = [], 0
    for kill in range(kills + 1):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=tell_all, args=(jobs, tmp_path, theirs))
        child.start()
        theirs.close()
        patience = moments.randrange(40, 85) if kill < kills else None
        try:
            for event in iter(ours.recv, None):
                told.append(event[0])
                if patience is not None and len(told) >= patience:
                    break
        except EOFError:
            pass
        if patience is not None:
            child.kill()
        child.join(120)
        sampling += told[-1] in ("sampling", "frames", "video file")
        told.clear()
        there = contents(tmp_path)
        whole = {name: content for name, content in there.items() if not name.startswith(".")}
        assert whole.items() <= uninterrupted.items()  # at every moment only whole videos
    assert child.exitcode == 0 and sampling > kills // 3
    assert contents(tmp_path) == uninterrupted  # no leftovers of what was being written
    assert {row["state"] for row in json.loads((tmp_path / "manifest.json").read_text())} == {"done"}


def take_part(rank, count, port, jobs, folder, output, die_after):
    from accelerate.state import PartialState

    from fantasyid_core.jobs.sharing import share_out

    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", ACCELERATE_USE_CPU="true")
    with open(os.devnull, "w") as sys.stdout, open(output.with_suffix(".log"), "w") as sys.stderr:
        PartialState._reset_state()
        torch.set_num_threads(1)
        made = []

        def progress(stage_of, done, total):
            if stage_of.stage == "video file" and done == 1:
                made.append(stage_of.name)
                if len(made) > die_after:
                    os.kill(os.getpid(), signal.SIGKILL)

        run_jobs(jobs, folder, progress, share_out)
        output.write_text(json.dumps(made))


def launch(count, jobs, folder, die_after=None):
    """Exit codes and the videos that each process made."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    for old in folder.parent.glob("*.json"):
        old.unlink()
    outputs = [folder.parent / f"{folder.name}-{rank}.json" for rank in range(count)]
    limits = [die_after if rank == count - 1 and die_after is not None else 10**9 for rank in range(count)]
    parts = [
        context.Process(target=take_part, args=(rank, count, port, jobs, folder, outputs[rank], limits[rank]))
        for rank in range(count)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join(200)
    made = [json.loads(path.read_text()) if path.exists() else [] for path in outputs]
    return [part.exitcode for part in parts], made


@forked
@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_make_each_video_once(jobs, uninterrupted, tmp_path, count):
    some = jobs[: 2 * count + 1]
    folder = tmp_path / "out"
    codes, made = launch(count, some, folder)
    assert codes == [0] * count
    assert sorted(name for part in made for name in part) == sorted(job.name for job in some)
    # Shared out once, not taken one after the other: whoever is slow keeps its part.
    assert sorted(map(len, made)) == sorted(len(some) // count + (rank < len(some) % count) for rank in range(count))
    assert contents(folder) == {job.name: uninterrupted[job.name] for job in some}


@forked
def test_the_next_start_takes_up_the_rows_of_a_dead_process(jobs, uninterrupted, tmp_path):
    some, folder = jobs[:6], tmp_path / "out"
    codes, _ = launch(2, some, folder, die_after=1)
    assert codes == [0, -signal.SIGKILL]
    whole = {name for name in contents(folder) if not name.startswith(".")}
    assert len(whole) == 4, whole
    codes, made = launch(2, some, folder)
    assert codes == [0, 0]
    assert sorted(name for part in made for name in part) == sorted({job.name for job in some} - whole)
    assert contents(folder) == {job.name: uninterrupted[job.name] for job in some}


def generate_in_part(rank, port, source, out, ways):
    from accelerate.state import PartialState

    from fantasyid_core.__main__ import main

    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", ACCELERATE_USE_CPU="true")
    with open(os.devnull, "w") as sys.stdout, open(out.parent / f"{rank}.log", "w") as sys.stderr:
        PartialState._reset_state()
        torch.set_num_threads(1)
        words = f"--model {source}/model --image {source}/0.png --shape {source}/0.ply --detector none --prompt smiles "
        code = main(["generate", *words.split(), "--steps", "2", "--out", str(out), "--parallel", ways])
    os._exit(code)


@forked
def test_generate_makes_one_video_in_two_processes(jobs, tmp_path):
    from fantasyid_core.__main__ import main
    from fantasyid_core.videofile import read_video

    source, out = jobs[0].inputs.model.parent, tmp_path / "two.mp4"
    words = f"--model {source}/model --image {source}/0.png --shape {source}/0.ply --detector none --prompt smiles "
    alone = ["--steps", "2", "--out", str(tmp_path / "one.mp4"), "--device", "cpu"]
    assert main(["generate", *words.split(), *alone]) == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    parts = [context.Process(target=generate_in_part, args=(rank, port, source, out, "guidance")) for rank in range(2)]
    for part in parts:
        part.start()
    for part in parts:
        part.join(200)
    assert [part.exitcode for part in parts] == [0, 0], [(tmp_path / f"{rank}.log").read_text() for rank in range(2)]
    one, two = (read_video(path).astype(int) for path in (tmp_path / "one.mp4", out))
    # The latents agree to 1e-5; a level that rounds to its neighbour lets the video codec decide otherwise elsewhere.
    assert abs(one - two).mean() < 1
    assert main(["generate", *words.split(), "--out", str(out), "--parallel", "guidance", "--device", "cpu"]) == 2
