"""Many videos: `job` (what a video is made of), `run` (each once, whatever happens in between), `workshop` (the
networks and what they have encoded), `manifest` (done, failed, to do), `sharing` (several processes), `synthetic`
(the videos say what they are)."""

from .job import Job
from .run import Summary, run_jobs

__all__ = ["Job", "Summary", "run_jobs"]
