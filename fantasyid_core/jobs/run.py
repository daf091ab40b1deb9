"""Makes the videos of many jobs: each once, and each complete or not at all, also after a failure or a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..machine.folder import check_folder
from ..machine.placement import ROW_ERRORS, is_of_the_machine
from ..videofile import save_video
from .job import Job
from .manifest import DONE, FAILED, TO_DO, Manifest
from .synthetic import Signature, finish
from .workshop import Workshop


@dataclass(frozen=True)
class Summary:
    """The result of a run: numbers of videos, and why rows failed. elsewhere: rows that other processes make."""

    done: int
    failed: dict[str, str]
    elsewhere: int = 0


@dataclass(frozen=True)
class Place:
    """The progress of a run: `done` of `total` videos are ready, and `stage` of the video `name` is running."""

    done: int
    total: int
    name: str
    stage: str


Progress = Callable[[Place, int, int], None]
Share = Callable[[list[Job]], list[Job]]


def run_jobs(
    jobs: Sequence[Job],
    folder: str | Path,
    progress: Progress | None = None,
    share: Share = lambda jobs: jobs,
    signature: Signature | None = None,
) -> Summary:
    """Makes the videos of `jobs` in `folder`, with `manifest.json` beside them; called again, it continues.

    share: the part of the jobs to do that is this process's (`sharing.share_out`). progress(place, done, total) is
    called when a stage begins and after every step; what it raises stops the run and leaves the finished videos.
    A job that cannot be done is noted with the reason and costs no other.
    Raises ValueError for two jobs of one name; OSError for a full disk and RuntimeError for too little memory, after
    which a new start goes on where this one stopped.
    """
    _check_names(jobs)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return _Course(Manifest(folder, jobs), progress or (lambda place, done, total: None), signature).run(share)


def _check_names(jobs: Sequence[Job]) -> None:
    places: dict[str, int] = {}
    for number, job in enumerate(jobs, start=1):
        # Some file systems do not distinguish upper and lower case.
        first = places.setdefault(job.name.lower(), number)
        if first != number:
            raise ValueError(f"Videos {first} and {number} have one name, {job.name}. Give every video its own.")


class _Course:
    """One process's way through its jobs."""

    def __init__(self, manifest: Manifest, progress: Progress, signature: Signature | None):
        self.manifest, self.progress, self.signature = manifest, progress, signature
        self.states: dict[str, tuple[str, str]] = {}
        self.elsewhere = 0

    def run(self, share: Share) -> Summary:
        to_do = self._to_do()
        mine = share(to_do)
        for key in dict.fromkeys(job.network_key for job in mine):
            self._run_group([job for job in mine if job.network_key == key])
        told = self.manifest.read()
        failed = {name: why for name, (state, why) in {**told, **self.states}.items() if state == FAILED}
        done = sum(state == DONE for state, _ in told.values())
        return Summary(done, failed, self.elsewhere + len(to_do) - len(mine))

    def _to_do(self) -> list[Job]:
        """The jobs whose videos are not there, those of one person together; what can be known is told at once."""
        told, to_do = self.manifest.read(), []
        for job in self.manifest.jobs:
            try:
                missing = job.missing_files()
                if missing:
                    raise FileNotFoundError(f"There is no file {', '.join(missing)}. Check the path and the spelling.")
                check_folder(job.inputs.model)
                is_done = self.manifest.is_done(job)
            except (OSError, ValueError) as error:
                self._tell(job, FAILED, str(error))
                continue
            if is_done:
                self._tell(job, DONE)
                continue
            to_do.append(job)
            if told.get(job.name, (TO_DO, ""))[0] != TO_DO:  # the video was taken away, or the row is tried again
                self._tell(job, TO_DO)
        self.manifest.write(self.states)
        people = list(dict.fromkeys(job.person_key for job in to_do))
        return sorted(to_do, key=lambda job: people.index(job.person_key))

    def _run_group(self, jobs: list[Job]) -> None:
        with Workshop(jobs, self._on_progress) as workshop:
            workshop.prepare()
            for job, following in zip(jobs, [*jobs[1:], None], strict=True):
                with self.manifest.claim(job) as is_mine:
                    if not is_mine:
                        self.elsewhere += 1
                    elif not self.manifest.is_done(job):  # another start may have made it meanwhile
                        self._make(workshop, job, following)

    def _make(self, workshop: Workshop, job: Job, following: Job | None) -> None:
        try:
            frames = workshop.make(job, following)
            self._save(job, frames)
        except ROW_ERRORS as error:
            if is_of_the_machine(error):
                raise
            self._tell(job, FAILED, str(error) or type(error).__name__)
        else:
            self._tell(job, DONE)
        self.manifest.write({job.name: self.states[job.name]})

    def _save(self, job: Job, frames) -> None:
        def progress(done: int, total: int) -> None:
            self._on_progress(job.name, "video file", done, total)

        save_video(
            frames,
            self.manifest.folder / job.name,
            progress=progress,
            comment=self.manifest.record(job),
            finish=lambda path: finish(path, job.name, self.signature),
        )

    def _tell(self, job: Job, state: str, why: str = "") -> None:
        self.states[job.name] = (state, why)

    def _on_progress(self, name: str, stage: str, done: int, total: int) -> None:
        ready = sum(state == DONE for state, _ in self.states.values())
        self.progress(Place(ready, len(self.manifest.jobs), name, stage), done, total)
