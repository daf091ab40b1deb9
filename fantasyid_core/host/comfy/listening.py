"""The host's progress bar and cancel button for the work of a node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...running.progress import heard


@contextmanager
def listening() -> Iterator[None]:
    """A context in which long work moves the progress bar of the running node, and ends when the user cancels the
    run."""
    import comfy.model_management
    import comfy.utils

    bars = {}

    def report(done: int, total: int) -> None:
        if total not in bars:
            bars[total] = comfy.utils.ProgressBar(total)
        bars[total].update_absolute(done, total)

    with heard(comfy.model_management.throw_exception_if_processing_interrupted, report):
        yield


@contextmanager
def module_listening(module, parts=None, calls: int = 1) -> Iterator[None]:
    """While it lasts, every module within the network `module` asks for the cancel before it computes, and each of
    `calls` calls of `parts`, one of them, moves the bar; None for no bar."""
    import comfy.utils

    bar = comfy.utils.ProgressBar(calls)
    hooks = [each.register_forward_pre_hook(_ask) for each in module.modules()]
    if parts is not None:
        hooks.append(parts.register_forward_hook(lambda *_: bar.update(1)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def blocks_listening(transformer) -> Iterator[None]:
    """While it lasts, every block of the host's transformer asks for the cancel before it computes, so that a long step
    need not be waited for. A compiled transformer has no blocks to stop between: it ends with the step."""
    hooks = [block.register_forward_pre_hook(_ask) for block in transformer.blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _ask(*_) -> None:
    import comfy.model_management
    import torch

    if not torch.compiler.is_compiling():  # the compiler would split the graph here
        comfy.model_management.throw_exception_if_processing_interrupted()
