"""Making many videos: `job` (the inputs of a video), `run` (makes each video once, also after interruptions),
`workshop` (the loaded networks and what they have encoded), `manifest` (done, failed, to do), `sharing` (several
processes), `synthetic` (marks videos as made by a model)."""

from .job import Job
from .run import Summary, run_jobs

__all__ = ["Job", "Summary", "run_jobs"]
