"""Makes a video of the person in a photo, from the photo and a sentence.

The size is the model's own (720x480 for the release), so there is no option for it. So is the length (49 frames): with
--frames a longer video is blended from windows of that length, and --after continues a video.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..options import ATTENTIONS, CACHES, COMPUTING, DPM, DTYPES, OFFLOADS, PARALLELS, SOLVERS, STORAGES
from .person import add_person_arguments, person_of
from .rows import OF_THE_COMMAND, OF_THE_PLACE, arguments_of_row, kept_options, options_to_keep, read_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    many = parser.add_argument_group("many videos")
    many.add_argument(
        "--jobs",
        metavar="FILE",
        help="makes many videos: each row of FILE (JSON lines or CSV) is one, with these options as names; --out is "
        "then a folder. The same command goes on. Several processes: accelerate launch -m fantasyid_core generate ...",
    )
    many.add_argument("--certificate", metavar="PEM", help="your certificate chain: signs Content Credentials")
    many.add_argument("--key", metavar="PEM", help="the certificate's private key")
    add_video_arguments(parser)


def add_video_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of one video: those that a row may have."""
    needed = parser.add_argument_group("inputs and output")
    needed.add_argument("--model", metavar="DIR", help="folder of FantasyID or ConsisID")
    needed.add_argument("--prompt", help="what happens in the video; a longer prompt is cut at 226 tokens")
    needed.add_argument("--out", metavar="FILE.mp4", help="the video")
    add_person_arguments(parser)
    add_sampling_arguments(parser)
    needed.add_argument(
        "--after", metavar="VIDEO.mp4", help="continues this video: begins with its last frames, and writes both as one"
    )
    extra = parser.add_argument_group("where things are")
    extra.add_argument("--topology", metavar="FILE", help="transform.pkl, if it is not in the model folder")
    extra.add_argument("--face-encoder", metavar="FILE", help="EVA-CLIP, if it is not in DIR/face_encoder")
    extra.add_argument(
        "--approximate",
        action="store_true",
        help="ConsisID only: go on without glintr100.onnx or parsing_bisenet.pth where one is missing",
    )


def add_sampling_arguments(parser: argparse.ArgumentParser, steps: int = 50) -> None:
    """The options of sampling and of the machine; shared with the demo."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--negative", "--negative-prompt", default="", help="what the video should not be like")
    group.add_argument("--seed", type=int, default=0, help="equal seeds give equal videos (default: %(default)s)")
    group.add_argument("--steps", type=int, default=steps, help="denoising steps (default: %(default)s)")
    group.add_argument("--cfg", type=float, default=6.0, help="guidance; 1 is none (default: %(default)s)")
    group.add_argument(
        "--strength", type=float, default=1.0, help="how strongly the person shows (default: %(default)s)"
    )
    group.add_argument(
        "--solver",
        choices=SOLVERS,
        default=DPM,
        help="which solver samples the video; dpm is the official one (default: %(default)s)",
    )
    group.add_argument(
        "--frames",
        type=int,
        help="number of frames of a longer video, which the model was not trained for (49, 57, ...)",
    )
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", help="cpu, cuda, cuda:1, mps ... (default: cuda if there is one)")
    machine.add_argument(
        "--dtype", choices=COMPUTING, help="precision of the computation (default: bf16 on a GPU, fp32 on the CPU)"
    )
    machine.add_argument(
        "--offload",
        choices=OFFLOADS,
        default=OFFLOADS[0],
        help="keep in main memory what is not at work: nothing, whole networks, or every layer (slow)",
    )
    machine.add_argument(
        "--tiling", action="store_true", help="decode tile by tile; this needs less memory and leaves faint seams"
    )
    machine.add_argument(
        "--fit",
        metavar="8GB|12GB|24GB|auto",
        help="choose offload, storage and tiling for a card of this size, and say what that costs",
    )
    machine.add_argument(
        "--storage", choices=STORAGES, default=STORAGES[0], help="of the transformer: fp8 is half of bf16"
    )
    machine.add_argument(
        "--cache",
        choices=CACHES,
        default=CACHES[0],
        help="what a step takes from earlier ones: nothing, a little (balanced), more (fast), or a mechanism by name",
    )
    machine.add_argument(
        "--attention",
        choices=ATTENTIONS,
        default=ATTENTIONS[0],
        help="what computes attention: PyTorch's own choice (native), one of its kernels, or an installed package",
    )
    machine.add_argument("--compile", action="store_true", help="compile the blocks: minutes once, then faster steps")
    machine.add_argument(
        "--parallel",
        choices=PARALLELS,
        default=PARALLELS[0],
        help="what several processes (accelerate launch) share out: videos, or one video's guidance, tokens, or both",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.jobs:
        return run_rows(arguments)
    arguments = made_like(arguments)
    check_needed(arguments, "The command", "--")
    check_output(Path(arguments.out))
    with Bars() as bars:
        bars("starting", 0, 1)
        from ..jobs.sharing import own_device
        from ..jobs.synthetic import Signature

        own_device(arguments)
        signature = Signature(arguments.certificate, arguments.key) if arguments.certificate else None
        inputs = inputs_of(arguments)
        make_video(inputs, arguments, bars, signature)
    return 0


def made_like(arguments: argparse.Namespace) -> argparse.Namespace:
    """With --like VIDEO.mp4: that video's options, under those that are given here."""
    video = arguments.like
    if not video or Path(video).suffix.lower() != ".mp4":
        return arguments
    from ..jobs.job import options_of

    arguments.like = None
    folder = Path(video).parent
    given = options_to_keep(arguments, add_video_arguments, folder)
    row = kept_options({**options_of(video), **given}, folder)
    merged = arguments_of_row(row, str(video), argparse.Namespace(), add_video_arguments)
    for name in OF_THE_PLACE | (OF_THE_COMMAND & vars(arguments).keys()):
        setattr(merged, name, getattr(arguments, name))
    return merged


def check_needed(arguments: argparse.Namespace, who: str, dashes: str = "") -> None:
    """Raises ValueError when what no video can do without is not given."""
    missing = [name for name in ("model", "prompt", "out") if not getattr(arguments, name)]
    if not (arguments.image or arguments.person):
        missing.append(f"image (or {dashes}person)")
    if missing:
        raise ValueError(f"{who} lacks {', '.join(dashes + name for name in missing)}.")


def run_rows(arguments: argparse.Namespace) -> int:
    """Makes the videos of --jobs; 0 when all are there, 1 when rows failed."""
    if not arguments.out:
        raise ValueError("--jobs needs --out, the folder for the videos and their manifest.json.")
    folder = Path(arguments.out)
    rows = [(f"{arguments.jobs}, line {line}", row) for line, row in read_rows(arguments.jobs)]
    common = argparse.Namespace(**{**vars(arguments), "out": None})
    parsed = [(where, arguments_of_row(row, where, common, add_video_arguments)) for where, row in rows]
    with Bars() as bars:
        bars("starting", 0, 1)
        from ..jobs import run_jobs
        from ..jobs.sharing import is_first, own_device, share_out
        from ..jobs.synthetic import Signature

        for _, each in parsed:
            own_device(each)
        signature = Signature(arguments.certificate, arguments.key) if arguments.certificate else None
        jobs = [job_of(each, where, number, folder) for number, (where, each) in enumerate(parsed, start=1)]
        hush()
        show = JobBars(bars) if is_first() else None
        if any(job.settings.parallel != PARALLELS[0] for job in jobs):
            raise ValueError("--jobs shares out its rows: expected --parallel rows. One video takes the other ways.")
        try:
            summary = run_jobs(jobs, folder, show, share_out, signature)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"interrupted: finished videos are in {folder}; the same command goes on with the others."
            ) from interrupt
    print(f"{summary.done} of {len(jobs)} videos: {folder}")
    for name, why in summary.failed.items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    return 1 if summary.failed else 0


def job_of(arguments: argparse.Namespace, where: str, number: int, folder: Path):
    """The job of a row. Raises ValueError naming the place `where`."""
    from ..jobs import Job

    arguments.out = arguments.out or f"{number:04}.mp4"
    check_needed(arguments, where)
    try:
        inputs = inputs_of(arguments)
        options = options_to_keep(arguments, add_video_arguments, folder)
        return Job(arguments.out, inputs, settings_of(arguments), options)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def inputs_of(arguments: argparse.Namespace):
    """The person and the files that the options name."""
    from ..pipeline import Inputs

    files = (arguments.topology, arguments.face_encoder, arguments.approximate, arguments.after)
    return Inputs(arguments.model, person_of(arguments), *files)


def settings_of(arguments: argparse.Namespace):
    """The settings that the options describe."""
    import torch

    from ..pipeline import Settings

    if arguments.fit:
        take_plan(arguments)
    return Settings(
        prompt=arguments.prompt,
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
        cache=arguments.cache,
        storage=arguments.storage,
        compile=arguments.compile,
        parallel=arguments.parallel,
        frames=arguments.frames,
        attention=arguments.attention,
    )


def take_plan(arguments: argparse.Namespace) -> None:
    """Chooses offload, storage and tiling as --fit says, and prints the plan. Raises ValueError when none fits."""
    from ..machine.plans import card_bytes, choose_plan
    from ..machine.sizes import model_sizes

    plan = choose_plan(model_sizes(arguments.model), card_bytes(arguments.fit), 2 if arguments.cfg > 1 else 1)
    arguments.offload, arguments.storage = plan.offload, plan.storage
    arguments.tiling = arguments.tiling or plan.tiling
    print(f"plan: {plan.line()}")


def make_video(inputs, arguments: argparse.Namespace, bars: Callable, signature=None) -> None:
    """Generates and writes the video with progress bars; the last line printed is its path."""
    from ..jobs.job import record_for
    from ..jobs.sharing import is_first
    from ..jobs.synthetic import finish
    from ..pipeline import generate
    from ..videofile import save_video

    out, settings = Path(arguments.out), settings_of(arguments)
    options = options_to_keep(arguments, add_video_arguments, out.parent)
    hush()
    frames = generate(inputs, settings, bars)
    if not is_first():  # several processes made one video
        return
    save_video(
        frames,
        out,
        progress=lambda done, total: bars("video file", done, total),
        comment=record_for(inputs, settings, options),
        finish=lambda path: finish(path, out.name, signature),
    )
    count, height, width, _ = frames.shape
    bars.close()
    print(f"{count} frames of {width}x{height}: {out}")


def hush() -> None:
    from ..host.diffusers.others import hush_libraries

    hush_libraries()


class JobBars:
    """Two bars: videos, and what is running for one of them."""

    def __init__(self, bars: Bars):
        from tqdm import tqdm

        self.bars, self.all, self._bar = bars, None, tqdm

    def __call__(self, place, done: int, total: int) -> None:
        if self.all is None:
            self.bars.close()
            self.all = self._bar(total=place.total, desc="videos", unit="video")
        self.all.update(place.done - self.all.n)
        self.bars(f"{place.name}: {place.stage}", done, total)


class Bars:
    """Progress on the terminal: a bar for each stage that takes several steps, a line for the others."""

    def __init__(self):
        self.bar, self.stage = None, None

    def __call__(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if stage != self.stage:
            self.close()
            self.stage, self.bar = stage, tqdm(total=total, desc=stage)
        self.bar.update(done - self.bar.n)

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the bar that shows."""
        if self.bar is not None:
            self.bar.close()
            self.bar, self.stage = None, None


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
