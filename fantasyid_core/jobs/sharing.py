"""Several processes at one list of jobs, as `accelerate launch` starts them, on one machine or several.

The first process's list of what is to do is everybody's, and is shared out once; from then on no process waits for
another, so one that dies costs only its own rows: the next start takes them up. Each row is claimed by a lock on a
file in the output folder, which all machines see.
"""

from __future__ import annotations

import os

from .job import Job


def share_out(jobs: list[Job]) -> list[Job]:
    """This process's part of the jobs to do; all of them when it is alone."""
    if not _is_launched():
        return jobs
    from accelerate.utils import broadcast_object_list

    state = _state()
    if state.num_processes != int(os.environ["WORLD_SIZE"]):
        raise RuntimeError(
            f"Expected {os.environ['WORLD_SIZE']} processes, as WORLD_SIZE says, got {state.num_processes} that find "
            "each other. Start with `accelerate launch`, or take WORLD_SIZE out of the environment."
        )
    names = broadcast_object_list([[job.name for job in jobs]])[0]
    own = {job.name: job for job in jobs}
    with state.split_between_processes(names) as mine:
        # A row that this process's list lacks was finished since, or failed here: the manifest says which.
        return [own[name] for name in mine if name in own]


def is_first() -> bool:
    """Whether this is the first process, or the only one."""
    return int(os.environ.get("RANK", 0)) == 0


def own_device(settings) -> None:
    """Gives every launched process a GPU of its own in `settings.device`, where none is named."""
    if _is_launched() and settings.device is None:
        settings.device = str(_state().device)


def _is_launched() -> bool:
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def _state():
    import torch
    from accelerate import PartialState

    # Without `cpu`, processes on a machine without a GPU would not find each other.
    return PartialState(cpu=not torch.cuda.is_available())
