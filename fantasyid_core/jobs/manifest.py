"""The list of all videos in one file: done, failed (and why), to do. It is complete and true also after a kill.

The videos themselves tell what is done, because each holds the fingerprint of its inputs. The list is for users, and
remembers why a row failed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from ..files.writing import write_aside
from .job import Job, record_of

DONE, FAILED, TO_DO = "done", "failed", "to do"
NAME = "manifest.json"
_LOCKS = ".jobs"
_SOON = 60  # seconds that writing the list may wait for another process that writes it


class Manifest:
    """The states of all jobs in `folder`."""

    def __init__(self, folder: Path, jobs: Sequence[Job]):
        self.folder, self.jobs = folder, jobs
        self._records: dict[str, str] = {}
        (folder / _LOCKS).mkdir(parents=True, exist_ok=True)

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def record(self, job: Job) -> str:
        if job.name not in self._records:
            self._records[job.name] = job.record()
        return self._records[job.name]

    def is_done(self, job: Job) -> bool:
        """Whether the job's video is there. Raises ValueError when another video has its name."""
        target = self.folder / job.name
        if not target.exists():
            return False
        if record_of(target) != self.record(job):
            raise ValueError(
                f"{target} is there and was made of something else: nothing is overwritten. Give the row another name, "
                "or move the video away."
            )
        return True

    @contextmanager
    def claim(self, job: Job):
        """Yields whether the video is this process's to make, and no other's. A dead process's claim ends with it."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock(job.name))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            self._remove_leftovers(job)
            yield True
        finally:
            lock.release()

    def write(self, states: dict[str, tuple[str, str]]) -> None:
        """Takes over the states name -> (state, why) and writes the list; rows of other processes stay as they say."""
        from filelock import FileLock

        with FileLock(self._lock(NAME), timeout=_SOON):
            told = {**self.read(), **states}
            rows = [
                {"video": job.name, "state": state} | ({"why": why} if why else {})
                for job in self.jobs
                for state, why in [told.get(job.name, (TO_DO, ""))]
            ]
            with write_aside(self.path) as aside:
                aside.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def read(self) -> dict[str, tuple[str, str]]:
        """name -> (state, why) as the list says it; {} when there is none, or it is none of ours."""
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))
            return {row["video"]: (row["state"], row.get("why", "")) for row in rows}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def _lock(self, name: str) -> Path:
        return self.folder / _LOCKS / (name.replace("/", "+") + ".lock")

    def _remove_leftovers(self, job: Job) -> None:
        """Removes what a killed process began to write; only the holder of the claim calls it."""
        target = self.folder / job.name
        for path in target.parent.glob(f".{target.stem}-????????{target.suffix}"):
            path.unlink(missing_ok=True)
