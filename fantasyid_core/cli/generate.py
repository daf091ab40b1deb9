"""Makes a video of the person in a photo, from the photo and a sentence.

Size and length are the model's own (49 frames of 720x480 for the release), so there is no option for them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..options import COMPUTING, DPM, DTYPES, OFFLOADS, SOLVERS
from .person import add_person_arguments, person_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    needed = parser.add_argument_group("inputs and output")
    needed.add_argument("--model", required=True, metavar="DIR", help="FantasyID release folder")
    needed.add_argument("--prompt", required=True, help="what happens in the video; a longer prompt is cut at 226 tokens")
    needed.add_argument("--out", required=True, metavar="FILE.mp4", help="the video")
    add_person_arguments(parser)
    add_sampling_arguments(parser)
    extra = parser.add_argument_group("where things are")
    extra.add_argument("--topology", metavar="FILE", help="transform.pkl, if it is not in the model folder")
    extra.add_argument("--face-encoder", metavar="FILE", help="EVA-CLIP, if it is not in DIR/face_encoder")


def add_sampling_arguments(parser: argparse.ArgumentParser, steps: int = 50) -> None:
    """The options of sampling and of the machine; shared with the demo."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--negative", "--negative-prompt", default="", help="what the video should not be like")
    group.add_argument("--seed", type=int, default=0, help="equal seeds give equal videos (default: %(default)s)")
    group.add_argument("--steps", type=int, default=steps, help="denoising steps (default: %(default)s)")
    group.add_argument("--cfg", type=float, default=6.0, help="guidance; 1 is none (default: %(default)s)")
    group.add_argument("--strength", type=float, default=1.0, help="how strongly the person shows (default: %(default)s)")
    group.add_argument("--solver", choices=SOLVERS, default=DPM, help="which solver samples the video; dpm is the official one (default: %(default)s)")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", help="cpu, cuda, cuda:1, mps ... (default: cuda if there is one)")
    machine.add_argument("--dtype", choices=COMPUTING, help="precision of the computation (default: bf16 on a GPU, fp32 on the CPU)")
    machine.add_argument(
        "--offload",
        choices=OFFLOADS,
        default=OFFLOADS[0],
        help="keep in main memory what is not at work: nothing, whole networks, or every layer (slow)",
    )
    machine.add_argument("--tiling", action="store_true", help="decode tile by tile; this needs less memory and leaves faint seams")


def run(arguments: argparse.Namespace) -> int:
    check_output(Path(arguments.out))
    from ..pipeline import Inputs

    inputs = Inputs(arguments.model, person_of(arguments), arguments.topology, arguments.face_encoder)
    make_video(inputs, arguments, arguments.prompt)
    return 0


def make_video(inputs, arguments: argparse.Namespace, prompt: str) -> None:
    """Generates and writes the video with progress bars; the last line printed is its path."""
    import torch

    from ..host.diffusers.others import hush_libraries
    from ..pipeline import Settings, generate
    from ..videofile import save_video

    settings = Settings(
        prompt=prompt,
        negative=arguments.negative,
        seed=arguments.seed,
        steps=arguments.steps,
        cfg=arguments.cfg,
        strength=arguments.strength,
        solver=arguments.solver,
        device=arguments.device,
        dtype=getattr(torch, DTYPES[arguments.dtype]) if arguments.dtype else None,
        offload=arguments.offload,
        tiling=arguments.tiling,
    )
    hush_libraries()
    with Bars() as bars:
        frames = generate(inputs, settings, bars)
        save_video(frames, arguments.out, progress=lambda done, total: bars("video file", done, total))
    count, height, width, _ = frames.shape
    print(f"{count} frames of {width}x{height}: {arguments.out}")


class Bars:
    """Progress on the terminal: a bar for each stage that takes several steps, a line for the others."""

    def __init__(self):
        self.bar, self.stage = None, None

    def __call__(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if stage != self.stage:
            self._close()
            self.stage, self.bar = stage, tqdm(total=total, desc=stage)
        self.bar.update(done - self.bar.n)

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self

    def __exit__(self, *_) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def check_output(path: Path) -> None:
    """Raises an error before the long work rather than after it; writes nothing that stays."""
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"Expected an output file that ends in .mp4, got {path}. Change the ending.")
    if path.is_dir():
        raise ValueError(f"Expected the name of a file as output, got the folder {path}.")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OSError(
            f"Cannot write {path}: {existing} is not a writable folder ({error.strerror or error}). "
            "Choose another output folder."
        ) from error
