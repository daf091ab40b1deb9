"""Compares two models on the same people, prompts and noise. One of the processes makes each video once and keeps it.

The files in a folder of photos name the people: `anna.png`, or `anna__left.png` and `anna__right.png` for several
photos. For a model that reads a 3D face, `anna.ply` (or another file of a 3D face) lies beside them. A video that
exists is not made again, so a run that was stopped continues with the same command. The settings of a run are kept in
settings.json, and a run with other settings is refused.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from ..face.photo import FaceRequest
from ..files.checkpoint import open_checkpoint
from ..files.rows import lines_of
from ..files.writing import write_aside
from ..machine.folder import check_folder
from ..machine.networks import Networks
from ..pipeline import Inputs, Run, Settings, decode, make_latents
from ..request import PersonRequest
from ..videofile import save_video
from ..weights.adapter import family_of, transformer_of
from .pairing import APART, PICTURES

SHAPES = (".ply", ".obj", ".glb", ".stl", ".npy", ".npz")
VIDEOS, STATED = "videos", "settings.json"


@dataclass(frozen=True)
class Member:
    """A person of a comparison: photos, and the file of the 3D face or None."""

    name: str
    photos: tuple[Path, ...]
    shape: Path | None = None


class Take(NamedTuple):
    """One video to be made: by which model (its number), of whom, with which prompt (its number) and seed."""

    model: int
    person: Member
    prompt: int
    seed: int

    @property
    def name(self) -> str:
        """The video's name without its ending; the same for every model."""
        return f"{self.person.name}{APART}prompt{self.prompt}_seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A comparison's inputs. sampling: the settings of every video but prompt and seed, as in `pipeline.Settings`."""

    models: tuple[Path, Path]
    people: tuple[Member, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    sampling: dict
    request: FaceRequest = FaceRequest()
    approximate: bool = False

    def __post_init__(self):
        if len(self.models) != 2:
            raise ValueError(f"Expected two models to compare, got {len(self.models)}.")
        for model in self.models:
            check_folder(model)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"Expected different seeds, at least one, got {list(self.seeds)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the models: their folders' names, with numbers when these are equal."""
        names = [path.resolve().name for path in self.models]
        alike = len(set(names)) < len(names)
        return tuple(f"{name} {number}" if alike else name for number, name in enumerate(names, 1))

    def takes(self) -> Iterator[Take]:
        """Every video, those that belong together one after the other."""
        for person in self.people:
            for prompt in range(len(self.prompts)):
                for seed in self.seeds:
                    yield from (Take(model, person, prompt, seed) for model in range(len(self.models)))

    def stated(self) -> dict:
        """What must be equal for a run to continue: models by their weights, photos by size and time."""
        files = [file for person in self.people for file in (*person.photos, *([person.shape] if person.shape else []))]
        return {
            "models": [
                [name, family_of(c), transformer_of(c)] for name, c in zip(self.names, self._opened(), strict=True)
            ],
            "people": [[file.name, file.stat().st_size] for file in files],
            "prompts": list(self.prompts),
            "seeds": list(self.seeds),
            "sampling": {key: str(value) for key, value in self.sampling.items()},
            "face": {key: str(value) for key, value in asdict(self.request).items() if key != "folders"},
            "approximate": self.approximate,
        }

    def _opened(self):
        return [open_checkpoint(model) for model in self.models]


def find_people(folder: str | os.PathLike) -> tuple[Member, ...]:
    """The people of a folder of photos, by name. Raises FileNotFoundError or ValueError when there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of photos at {folder}. Check the path and the spelling.")
    photos: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES and not path.name.startswith("."):
            photos.setdefault(path.stem.split(APART)[0], []).append(path)
    if not photos:
        raise ValueError(f"{folder} holds no photos: expected files that end in {', '.join(PICTURES)}.")
    shapes = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SHAPES}
    return tuple(Member(name, tuple(paths), shapes.get(name)) for name, paths in photos.items())


def read_prompts(path: str | os.PathLike) -> tuple[str, ...]:
    """One prompt per line; empty lines and those that begin with # are passed over. ValueError when there is none."""
    lines = (line.strip() for line in lines_of(Path(path).read_text(encoding="utf-8-sig")))
    prompts = tuple(line for line in lines if line and not line.startswith("#"))
    if not prompts:
        raise ValueError(f"{path} holds no prompt: expected one per line.")
    return prompts


def begin(plan: Plan, out: Path) -> None:
    """Writes what is compared into `out`; ValueError when a run of other settings has begun there."""
    stated, path = plan.stated(), out / STATED
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in stated if before.get(key) != stated[key]]
        if other:
            raise ValueError(
                f"{out} holds a comparison with other {', '.join(other)}: expected the same, so that its videos may be "
                "used. Choose another folder with --out, or give the same arguments as then."
            )
        return
    with write_aside(path) as aside:
        aside.write_text(json.dumps(stated, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def video_path(plan: Plan, out: Path, take: Take) -> Path:
    return out / VIDEOS / plan.names[take.model] / f"{take.name}.mp4"


def make_videos(
    plan: Plan,
    out: Path,
    share: int = 0,
    shares: int = 1,
    device: str | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> None:
    """Makes the videos that are not there yet; of each model every `shares`-th, from number `share` on."""
    reads_shape = [family_of(checkpoint) != "consisid" for checkpoint in plan._opened()]
    takes = list(plan.takes())
    # One model after the other, whose transformer and VAE stay in memory for all of its videos. Shared out in this
    # order, so that no process has the slower model alone and keeps the others waiting.
    numbers = sorted(range(len(takes)), key=lambda number: takes[number].model)
    networks, loaded = Networks(), None
    for number in numbers[share::shares]:
        take = takes[number]
        if take.model != loaded:
            networks, loaded = Networks(), take.model
        path = video_path(plan, out, take)
        if path.is_file():  # it appears only when it is complete
            continue
        for left in path.parent.glob(f".{take.name}-*"):  # of a run that was killed while writing
            left.unlink()
        progress(f"{number + 1} of {len(takes)}: {plan.names[take.model]}, {take.name}")
        shape = take.person.shape if reads_shape[take.model] else None
        person = PersonRequest(list(take.person.photos), shape, plan.request)
        inputs = Inputs(plan.models[take.model], person, approximate=plan.approximate)
        # The seed draws the picture's latent and the video's noise in one order, whatever the model: both models of a
        # pair begin with the same noise.
        settings = Settings(prompt=plan.prompts[take.prompt], seed=take.seed, device=device, **plan.sampling)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # said once per video of a person, they would bury the rest
            run = Run(inputs, settings, networks=networks)
            save_video(decode(run, make_latents(run)), path)
