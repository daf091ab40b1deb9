"""Pre-trains the encoders of FantasyID-Tiny: the text encoder on motion, the face encoder on looks.

    python -m fantasyid_core.experiments.train_encoders

CogVideoX has T5 and FantasyID has EVA-CLIP, both trained on far more than videos. Instead, this text encoder learns to
predict from a prompt the pose, expression, light and zoom of every frame and the colour of the background. The face
encoder learns to predict a person's looks from a portrait in any pose and light. It does not learn the shape, which the
vertices tell. The linear readouts are dropped after the training. Only training people are used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..files.writing import write_aside
from ..people.appearance import COLLARS, Appearance
from ..people.backdrop import BACKGROUNDS, sample_plain_backdrop
from ..people.clips import make_clips
from ..people.hair import HAIR_STYLES
from ..people.motion import sample_motion
from ..people.person import Draw, held_out_seeds, sample_person, training_seeds
from ..people.prompts import prompt_of
from ..people.scene import BEARDS
from ..people.wearing import GLASSES
from ..tinymodel.face import TinyFaceEncoder
from ..tinymodel.loading import load_vae
from ..tinymodel.models import TinyModels, save_tiny_models
from ..tinymodel.text import TextEncoder
from ..training.config import OptimizerSettings
from ..training.optimizer import MuonAdamW, split
from ..training.schedule import learning_rate

FRAMES = 9
_KINDS = {"hair_style": tuple(HAIR_STYLES), "beard": BEARDS, "glasses": GLASSES, "collar": COLLARS}
_REPORT_EVERY = 200
_HELD_OUT = 256


@dataclass(frozen=True)
class EncoderTraining:
    """prompts, people: how many to learn from, three portraits of each. Raises ValueError for numbers below 1."""

    seed: int = 0
    prompts: int = 20000
    people: int = 8000
    text_steps: int = 1500
    face_steps: int = 2500
    batch: int = 64
    lr: float = 1e-3
    muon_lr: float = 0.01
    output: str = "training/tiny_encoders"

    def __post_init__(self):
        for name in ("prompts", "people", "text_steps", "face_steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}.")


def train_encoders(settings: EncoderTraining, report: Callable[[str], None] = print) -> Path:
    """Trains both encoders and returns the folder with them and the VAE, as `preset` reads it; scores.json beside."""
    text, face = TextEncoder(seed=settings.seed), TinyFaceEncoder(seed=settings.seed)
    scores = {"settings": asdict(settings)}
    report(f"text: {settings.prompts} prompts")
    known, asked = _prompts(training_seeds(settings.prompts)), _prompts(held_out_seeds(_HELD_OUT))
    scores["text"] = _teach(text, _flat, *known, *asked, settings.text_steps, settings, report)
    report(f"face: three portraits of each of {settings.people} people")
    known, asked = _portraits(training_seeds(settings.people)), _portraits(held_out_seeds(_HELD_OUT))
    scores["face"] = _teach(face, _average_of_grid, *known, *asked, settings.face_steps, settings, report)
    folder = Path(settings.output)
    save_tiny_models(TinyModels(load_vae(), text, face), folder, torch.float32)
    with write_aside(folder / "scores.json") as aside:
        aside.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return folder


def _teach(
    encoder: nn.Module, pool, inputs, truth: Tensor, held_out, held_out_truth: Tensor, steps: int,
    settings: EncoderTraining, report: Callable[[str], None],
) -> float:  # fmt: skip
    """Trains `encoder` with a linear readout; the share of the truth's variance that it tells of held-out people."""
    mean, deviation = truth.mean(0), truth.std(0).clamp_min(1e-4)
    rates = OptimizerSettings(kind="muon", lr=settings.lr, muon_lr=settings.muon_lr, warmup=50, beta2=0.98)
    readout = nn.LazyLinear(truth.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        readout(pool(encoder(_rows(inputs, [0]))))
    matrices, others = split(encoder.named_parameters())
    optimizer, lost = MuonAdamW(matrices, [*others, *readout.parameters()], rates), []
    for step in range(steps):
        rows = np.random.default_rng([settings.seed, step]).integers(len(truth), size=settings.batch)
        told = readout(pool(encoder(_rows(inputs, rows))))
        loss = ((truth[rows] - mean) / deviation - told).square().mean()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, rates) * group["pace"]
        optimizer.step()
        optimizer.zero_grad()
        lost.append(loss.item())
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == steps:
            report(f"step {step + 1} of {steps}: {np.mean(lost):.4f} of the variance is not told")
            lost = []
    with torch.no_grad():
        told = readout(pool(encoder(held_out))) * deviation + mean
    left = ((told - held_out_truth) / deviation).square().mean().item()
    report(f"of held-out people {left:.4f} is not told")
    return 1 - left


def _flat(tokens: Tensor) -> Tensor:  # [B,N,C] -> [B,N*C]
    return tokens.flatten(1)


def _average_of_grid(tokens: Tensor) -> Tensor:
    """Without the class token, which the adapter does not look at."""
    return tokens[:, 1:].mean(1)


def _rows(inputs, rows: Sequence[int]):
    return [inputs[row] for row in rows] if isinstance(inputs, list) else inputs[rows]


def _prompts(seeds: Sequence[int]) -> tuple[list[str], Tensor]:
    """Prompts, and what happens: every frame's row of the renderer and the colour of the background."""
    texts, truth = [], []
    for seed in seeds:
        draw = Draw(seed, "clip", 0)
        motion, backdrop = sample_motion(draw), sample_plain_backdrop(draw)
        texts.append(prompt_of(motion, backdrop))
        truth.append(np.concatenate([motion.frames(FRAMES).ravel(), BACKGROUNDS[backdrop.colour]]))
    return texts, torch.from_numpy(np.stack(truth)).float()


def _portraits(seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Portraits in any pose, and the looks of who is shown: numbers, colours, 1 for the kind of hair and the like."""
    pictures = make_clips(seeds, frames=1, references=3).references  # [N,3,S,S,3]
    looks = np.stack([_numbers(sample_person(seed).appearance) for seed in seeds])
    pixels = torch.from_numpy(pictures).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    return pixels, torch.from_numpy(looks).float().repeat_interleave(pictures.shape[1], 0)


def _numbers(look: Appearance) -> np.ndarray:
    values: list[float] = []
    for field in fields(look):
        value = getattr(look, field.name)
        if field.name in _KINDS:
            values += [float(value == kind) for kind in _KINDS[field.name]]
        else:
            values += np.ravel(value).tolist()
    return np.array(values)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: trained; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.train_encoders")
    for field in fields(EncoderTraining):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    try:
        settings = EncoderTraining(**vars(parser.parse_args(argv)))
        print(train_encoders(settings, lambda line: print(line, flush=True)))
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
