"""Preparing data in several processes, and what a kill leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from facevideos import FOLDER_SETTINGS, contents, dying_tools, prepare_folder, write_folder
from waiting import wait_for

pytest.importorskip("pyarrow", reason="pyarrow is not installed: the index cannot be written")

ROOT = Path(__file__).resolve().parents[3]
TWO = replace(FOLDER_SETTINGS, workers=2)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def prepared(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    return out, prepare_folder(videos, out)


def start(folder, code, *arguments):
    """A Python process that runs `code`, which sees the tests' helpers."""
    (folder / "child.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests" / "helpers")))}
    command = [sys.executable, folder / "child.py", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def kill(child):
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_the_result_is_the_same_for_one_and_for_two_workers(prepared, videos, tmp_path):
    assert prepare_folder(videos, tmp_path, TWO) == prepared[1]
    assert contents(tmp_path) == contents(prepared[0])


SLOW_AT_THE_THIRD_CLIP = """
import sys, time
from facevideos import prepare_folder
from fantasyid_core.training.data import video
real, count = video.save_video, []
def save(*arguments):
    real(*arguments)
    count.append(1)
    if len(count) == 3:
        print("in the middle", flush=True)
        time.sleep(60)
video.save_video = save
prepare_folder(sys.argv[1], sys.argv[2])
"""
HANGING = """
import sys
from functools import partial
from dataclasses import replace
from facevideos import FOLDER_SETTINGS, hanging_tools, prepare_folder
if __name__ == "__main__":
    prepare_folder(sys.argv[1], sys.argv[2], replace(FOLDER_SETTINGS, workers=2), partial(hanging_tools, sys.argv[3]))
"""
posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


@posix
def test_a_killed_run_goes_on_where_it_was(prepared, videos, tmp_path):
    out = tmp_path / "out"
    child = start(tmp_path, SLOW_AT_THE_THIRD_CLIP, videos, out)
    assert child.stdout.readline() == "in the middle\n"
    kill(child)
    assert not list(out.glob("index-*")) and not list(out.glob("report*"))
    assert len(list((out / "clips").rglob("*.mp4"))) == 3  # a.mp4 is finished, of b.mp4 both clips but no state
    said = []
    assert prepare_folder(videos, out, say=said.append) == prepared[1]
    assert said[0].startswith("1 of 8 videos are done") and any("b.mp4: 2 clips" in line for line in said[1:])
    assert contents(out) == contents(prepared[0])


@posix
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are watched in /proc")
def test_the_workers_of_a_killed_run_do_not_stay_behind(videos, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    child = start(tmp_path, HANGING, videos, tmp_path / "out", marks)
    wait_for(lambda: len(list(marks.iterdir())) == 2)
    kill(child)
    wait_for(lambda: not any(alive(int(mark.name)) for mark in marks.iterdir()))


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_that_is_ended_from_outside_is_explained(videos, tmp_path):
    with pytest.raises(RuntimeError, match="ended from outside.*Finished videos are kept.*fewer workers"):
        prepare_folder(videos, tmp_path, TWO, dying_tools)
