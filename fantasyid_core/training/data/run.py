"""A folder of videos becomes an index of clips; videos that an interrupted run finished are not made again."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

from ...face.align import opencv
from .captions import Captions, read_captions
from .finding import Video, find_videos
from .index import require_parquet, write_index
from .report import make_report, why_skipped, write_report
from .settings import PrepareSettings
from .sheets import Entry, write_sheets
from .state import SHEETS, read_state
from .tools import Tools, load_tools
from .video import prepare_video

Say = Callable[[str], None]
MakeTools = Callable[[PrepareSettings], Tools]
GO_ON = "Finished videos are kept: the same command goes on behind them."


def prepare(
    videos: str | os.PathLike,
    out: str | os.PathLike,
    settings: PrepareSettings | None = None,
    make_tools: MakeTools = load_tools,
    say: Say | None = None,
) -> dict:
    """Cuts the videos of a folder into clips below `out`, with index-*.parquet, contact sheets and a report.

    Everything in the index is named relative to `out`, which can be moved. make_tools: finds the networks, in every
    process (a function of a module, or workers must be 1). say: gets a line per video.
    Returns the report (`report.make_report`), with the paths of the index's files as `index`.

    Raises FileNotFoundError and ValueError for a folder without videos and for captions that do not match when the
    settings are strict, RuntimeError for missing packages, and OSError when something cannot be written; finished
    videos are then kept.
    """
    settings, say = settings or PrepareSettings(), say or (lambda line: None)
    source, folder = Path(videos), Path(out)
    require_parquet()
    found = find_videos(source, apart=folder)
    captions = read_captions(found, source, settings.captions, settings.strict)
    tools = make_tools(settings)
    for note in tools.notes:
        say(f"note: {note}")
    states = _states(found, folder, settings, tools, make_tools, say)
    return _finish(found, states, captions, folder, settings, tools)


def _states(
    videos: list[Video], folder: Path, settings: PrepareSettings, tools: Tools, make_tools: MakeTools, say: Say
) -> list[dict]:
    """The states of all videos, in their order; those that are missing are made."""
    fingerprint = settings.fingerprint(tools.names)
    states = {video: read_state(folder, video, fingerprint) for video in videos}
    left = [video for video in videos if states[video] is None]
    if len(left) < len(videos):
        say(f"{len(videos) - len(left)} of {len(videos)} videos are done already.")
    if settings.workers > 1 and len(left) > 1:
        made = _in_processes(left, folder, settings, make_tools, fingerprint)
    else:
        made = ((video, prepare_video(video, folder, settings, tools, fingerprint)) for video in left)
    try:
        for count, (video, state) in enumerate(made, start=len(videos) - len(left) + 1):
            states[video] = state
            say(f"{count}/{len(videos)} {video.relative}: {_told(state)}")
    except OSError as error:
        raise OSError(f"{error} {GO_ON}") from error
    return [states[video] for video in videos]


def _told(state: dict) -> str:
    skipped = why_skipped(state)
    return f"skipped, {skipped}" if skipped else f"{len(state['clips'])} clips, {len(state['rejected'])} left out"


def _in_processes(
    videos: list[Video], folder: Path, settings: PrepareSettings, make_tools: MakeTools, fingerprint: str
) -> Iterator[tuple[Video, dict]]:
    """Videos and their states, in the order in which they are finished."""
    context = multiprocessing.get_context("spawn")  # forked processes may hang in OpenCV's and PyTorch's threads
    count = min(settings.workers, len(videos))
    with ProcessPoolExecutor(count, context, _start_worker, (settings, make_tools)) as pool:
        try:
            waiting = {pool.submit(_work, video, folder, settings, fingerprint): video for video in videos}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"A worker process was ended from outside, often because memory ran out. {GO_ON} Choose fewer workers."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_tools: Tools | None = None  # of a worker process


def _start_worker(settings: PrepareSettings, make_tools: MakeTools) -> None:
    global _tools
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    opencv().setNumThreads(1)  # the processes share the cores
    _tools = make_tools(settings)


def _leave_with_parent() -> None:
    # Workers must end when their parent is killed: two runs in one folder would overwrite each other's files.
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(video: Video, folder: Path, settings: PrepareSettings, fingerprint: str) -> dict:
    return prepare_video(video, folder, settings, _tools, fingerprint)


def _finish(
    videos: list[Video],
    states: list[dict],
    captions: Captions,
    folder: Path,
    settings: PrepareSettings,
    tools: Tools,
) -> dict:
    rows = [clip | {"caption": captions.texts.get(clip["source"], "")} for state in states for clip in state["clips"]]
    taken = [Entry(folder / row["strip"], f"{row['name']} {row['caption']}") for row in rows]
    refused = [
        Entry(folder / fault["strip"], f"{fault['kind']}: {fault['detail']} - {video.relative}")
        for video, state in zip(videos, states, strict=True)
        for fault in state["rejected"]
        if fault["strip"]
    ]
    for name, entries in (("accepted", taken), ("rejected", refused)):
        write_sheets(entries, folder / SHEETS, name, settings.sheet_clips)
    report = make_report(videos, states, captions, settings, tools)
    report["index"] = write_index(rows, folder, settings.shard)
    write_report(report, folder)
    return report
