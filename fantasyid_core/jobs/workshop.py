"""Loads the networks of one model once, and encodes every person and every prompt once.

The work goes stage by stage, so that a small machine holds one large network at a time: all people, then all prompts,
then the videos. While one video is sampled, a second thread folds the next person's identity into the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from torch import Tensor

from .. import pipeline
from ..machine.networks import ADAPTER, FACE_ENCODER, TEXT_ENCODER, Networks
from ..machine.placement import ROW_ERRORS, is_of_the_machine
from ..pipeline import Run
from .job import Job

Progress = Callable[[str, str, int, int], None]
"""Called with the video's (or person's) name, the stage, and how much of it is done and to do."""


class Workshop:
    """Makes the videos of jobs with one `network_key`; an error with a person or prompt concerns only its jobs."""

    def __init__(self, jobs: Sequence[Job], progress: Progress):
        self.jobs, self._progress, self._networks = jobs, progress, Networks()
        self._people: dict[str, Any] = {}
        self._prompts: dict[str, Tensor] = {}
        self._pool = ThreadPoolExecutor(1)
        self._folded: dict[tuple, Future] = {}

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._networks.let_go(ADAPTER, FACE_ENCODER, TEXT_ENCODER, *pipeline.LARGE)

    def prepare(self) -> None:
        """Encodes all people and prompts; people who cannot be encoded are remembered with the reason."""
        if self.jobs:
            self._run(self.jobs[0]).check_memory()
        for job in self.jobs:
            if job.person_key not in self._people:
                self._people[job.person_key] = _attempt(lambda job=job: self._encode(job))
        self._networks.let_go(FACE_ENCODER)
        if ADAPTER in self._networks:
            self._networks.get(ADAPTER, None).encoder = None  # the identity branch has done its work
        for job in self.jobs:
            run = self._run(job)
            for text in pipeline.prompts_of(job.settings):
                if text not in self._prompts and not isinstance(self._people[job.person_key], Exception):
                    with run.stage("prompt"):
                        self._prompts[text] = pipeline.encode_prompt(run, text)
        self._networks.let_go(TEXT_ENCODER)

    def make(self, job: Job, following: Job | None) -> np.ndarray:
        """The frames of a job, np.uint8 [T,H,W,3]. following: the job after it, whose identity is folded meanwhile.

        Raises what went wrong with its person.
        """
        encoded = self._people[job.person_key]
        if isinstance(encoded, Exception):
            raise encoded
        run, (_, picture) = self._run(job), encoded
        run.check_length()
        injector = self._fold(job).result()
        self._folded = {_fold_key(job): self._folded[_fold_key(job)]}
        if following is not None and not isinstance(self._people[following.person_key], Exception):
            self._fold(following)
        prompts = pipeline.join_prompts(self._prompts[text] for text in pipeline.prompts_of(job.settings))
        return pipeline.decode(run, pipeline.sample_latents(run, injector, prompts, picture))

    def _fold(self, job: Job) -> Future:
        key = _fold_key(job)
        if key not in self._folded:
            person, _ = self._people[job.person_key]
            self._folded[key] = self._pool.submit(pipeline.make_injector, self._run(job), person)
        return self._folded[key]

    def _encode(self, job: Job):
        run = self._run(job)
        person = pipeline.encode_person(run)
        return person, pipeline.encode_picture(run, person.face)

    def _run(self, job: Job) -> Run:
        def progress(stage: str, done: int, total: int) -> None:
            self._progress(job.name, stage, done, total)

        return Run(job.inputs, job.settings, progress, self._networks)


def _fold_key(job: Job) -> tuple:
    return job.person_key, job.settings.strength


def _attempt(work: Callable[[], Any]) -> Any:
    """What `work` returns, or the error of one row. Errors of the machine, which concern every row, are raised."""
    try:
        return work()
    except ROW_ERRORS as error:
        if is_of_the_machine(error):
            raise
        return error
