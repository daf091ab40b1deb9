"""Trains a face encoder, then an adapter, so that a person's looks can be read from their tokens.

    python -m fantasyid_core.experiments.train_reading face OUT
    python -m fantasyid_core.experiments.train_reading tokens OUT --face OUT

The first command trains `tinymodel.gridface`. The second one trains an adapter with as many face tokens as the encoder
has places; its other weights begin with those of the packaged adapter. Both are evaluated on held-out people against
`readout.GATES`, because no later training can show what is not in the tokens. OUT gets the state of the training and,
in the end, the network; with `tokens` it gets a packaged folder, from which the training on clips continues. An
interrupted run continues with the same command."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..files.network import save_network
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside
from ..identity.adapter import IdentityAdapter
from ..people.person import Draw, sample_person, training_seeds
from ..shape.edit.controls import shape_controls
from ..tinymodel.gridface import GridFaceEncoder
from ..tinymodel.loading import SHIPPED
from ..tinymodel.models import FACE_FILE, load_face
from ..tinymodel.sampler import ADAPTER_FILE, TRANSFORMER_FOLDER
from ..training.batches import generator
from ..weights.adapter import load_adapter, save_adapter
from .clip_pairs import SLIDERS
from .portrait_pairs import PortraitPairs
from .readout import GATES, TOKEN_GATES, Looks, Readout, answers, graded, missed, reading_loss, reading_losses
from .teaching import Teaching, TeachingSettings, fast_on_cpu

READOUT_FILE = "readout.safetensors"
PEOPLE, HELD_OUT = 20000, 1000
_AT_ONCE = 100
_SLOW = 0.3  # the pace of what has been trained before
FACE_TOKENS, ABSTRACTOR_WIDTH, COMPONENTS = 64, 128, 48
_FITTED = 1200  # heads whose principal components the adapter sees; half of them bent by sliders


class Crowd(NamedTuple):
    """The people that are drawn into the folder `cache`: numbers of those to train on and to evaluate on."""

    cache: Path
    people: int = PEOPLE
    held_out: int = HELD_OUT


class FaceReader(nn.Module):
    """Pictures -> what the encoder's grid tells."""

    def __init__(self, face_encoder: GridFaceEncoder):
        super().__init__()
        self.face_encoder = face_encoder
        self.readout = Readout(face_encoder.tokens - 1, face_encoder.width, own=True)

    def forward(self, pixels: Tensor, vertices: Tensor):
        return self.readout(self.face_encoder(pixels)[:, 1:])


class TokenReader(nn.Module):
    """Pictures and vertices -> what the identity tokens tell."""

    def __init__(self, face_encoder: nn.Module, adapter: IdentityAdapter):
        super().__init__()
        self.face_encoder, self.adapter = face_encoder, adapter
        self.readout = Readout(adapter.config.id_tokens, adapter.config.id_width, own=False)

    def forward(self, pixels: Tensor, vertices: Tensor):
        return self.readout(self.adapter.encode(self.face_encoder(pixels), vertices))


def teach(
    reader: nn.Module, out: Path, settings: TeachingSettings, gates: dict[str, float], crowd: Crowd, report,
    slow: dict[str, float] | None = None,
) -> tuple[nn.Module, dict[str, float]]:  # fmt: skip
    """Trains `reader`; its average and its marks, which scores.json has beside the gates."""
    pairs = PortraitPairs(crowd.people, crowd.cache)
    unseen = PortraitPairs(crowd.held_out, crowd.cache, held_out=True)
    for each in (pairs, unseen):
        each.build(lambda done, count: report(f"drawing portraits: {done} of {count}"))
    reader.readout.fit(pairs.numbers())
    teaching, marks = Teaching(reader.train(), settings, out / "state.pt", slow), {}

    def loss(step: int) -> dict[str, Tensor]:
        rng = generator(settings.seed, "reading", step)
        looks, vertices = pairs.pairs(rng.integers(len(pairs), size=settings.batch // 2).tolist(), rng)
        with fast_on_cpu():
            read = reader(looks.pixels, vertices)
        return reading_losses(read, looks, reader.readout)

    def look(step: int) -> None:
        marks.clear()
        marks.update(grade(teaching.average, unseen))
        lacking = missed(marks, gates)
        report("  held-out: " + ", ".join(f"{name} {value:.3f}" for name, value in marks.items()))
        report("  gates: " + (", ".join(f"{name} {a:.3f} of {b}" for name, (a, b) in lacking.items()) or "all hold"))

    teaching.learn(loss, reading_loss, look, report)
    if not marks:
        look(teaching.step)
    with write_aside(out / "scores.json") as aside:
        aside.write_text(json.dumps({"held out": marks, "gates": gates}, indent=1) + "\n", encoding="utf-8")
    return teaching.average, marks


@torch.no_grad()
def grade(reader: nn.Module, unseen: PortraitPairs) -> dict[str, float]:
    """Marks on people that nothing was trained on."""
    said, truth = [], []
    for start in range(0, len(unseen), _AT_ONCE):
        looks, vertices = unseen.firsts(range(start, min(start + _AT_ONCE, len(unseen))))
        with fast_on_cpu():
            read = reader(looks.pixels, vertices)
        said.append(answers(read, reader.readout))
        truth.append(looks)
    together = {name: np.concatenate([each[name] for each in said]) for name in said[0]}
    return graded(together, Looks(*(torch.cat(column) for column in zip(*truth, strict=True))))


def train_face(out: Path, settings: TeachingSettings, crowd: Crowd, report: Callable[[str], None] = print) -> Path:
    """Teaches a face encoder and writes it; returns the path."""
    reader, _ = teach(FaceReader(GridFaceEncoder(seed=settings.seed)), out, settings, GATES, crowd, report)
    save_network(reader.face_encoder, out / FACE_FILE, "tiny_grid_face", torch.float32)
    return out / FACE_FILE


def train_tokens(
    out: Path, face: Path, settings: TeachingSettings, crowd: Crowd, report: Callable[[str], None] = print
) -> Path:
    """Teaches an adapter with the face encoder `face`; returns `out`, a packaged folder."""
    encoder = load_face(face).requires_grad_(True).train()
    torch.manual_seed(settings.seed)
    reader = TokenReader(encoder, wider_adapter(load_adapter(SHIPPED / ADAPTER_FILE), encoder))
    for known in (reader.adapter.layers, reader.adapter.encoder.vertex_encoder):  # portraits ask for looks alone
        known.requires_grad_(False)
    slow = dict.fromkeys(("adapter.encoder.fusion.", "adapter.encoder.reducer.", "face_encoder."), _SLOW)
    reader, _ = teach(reader, out, settings, TOKEN_GATES, crowd, report, slow)
    shutil.copytree(SHIPPED / TRANSFORMER_FOLDER, out / TRANSFORMER_FOLDER, dirs_exist_ok=True)
    for name in ("vae.safetensors", "text_encoder.safetensors"):
        shutil.copyfile(SHIPPED / name, out / name)
    save_network(reader.face_encoder, out / FACE_FILE, "tiny_grid_face", torch.float32)
    save_adapter(reader.adapter, out / ADAPTER_FILE, torch.float32)
    with write_aside(out / READOUT_FILE) as aside:  # so that `train_sharper` need not learn to read anew
        write_tensors(aside, reader.readout.state_dict(), {"format": "pt"})
    return out


def wider_adapter(old: IdentityAdapter, face_encoder: nn.Module) -> IdentityAdapter:
    """An adapter with a token for every place of the encoder's grid and what `old` knows of all else.

    Its vertices may be bent as sliders bend them: means, spreads and principal components are those of drawn and of
    bent heads, a little other than those that the layers behind them know.
    """
    config = replace(
        old.config, face_tokens=FACE_TOKENS, abstractor_width=ABSTRACTOR_WIDTH, shape_components=COMPONENTS,
        vit_width=face_encoder.width, vit_tokens=face_encoder.tokens,
    )  # fmt: skip
    adapter = IdentityAdapter(config, old.topology)
    standard = adapter.encoder.vertex_encoder.standardisation
    standard.fit(bent_heads(_FITTED))
    own = adapter.state_dict()
    kept = ("standardisation.components", "face_abstractor.", "face_mlp.")
    fitting = {
        name: value for name, value in old.state_dict().items()
        if name in own and own[name].shape == value.shape and not any(part in name for part in kept)
    }  # fmt: skip
    fresh = {name: own[name] for name in own if "standardisation." in name}
    adapter.load_state_dict({**own, **fitting, **fresh})
    return adapter


def bent_heads(count: int) -> Tensor:  # [count,V,3]
    """Heads of the first people of training, every second one bent by two sliders of the editor."""
    heads = []
    for seed in training_seeds(count):
        vertices, draw = sample_person(seed).vertices().astype(np.float64), Draw(seed, "bent head")
        if seed % 2:
            controls = shape_controls(vertices)
            for _ in range(2):
                vertices = vertices + draw(-1, 1) * np.asarray(controls[draw.choice(SLIDERS)])
        heads.append(vertices)
    return torch.from_numpy(np.stack(heads)).float()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: trained; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.train_reading")
    parser.add_argument("what", choices=("face", "tokens"))
    parser.add_argument("out", type=Path, help="folder for the state and the result")
    parser.add_argument("--face", type=Path, help="folder or file of the face encoder, for tokens")
    parser.add_argument("--people", type=int, default=PEOPLE, help="how many to learn from")
    parser.add_argument("--cache", type=Path, default=Path("training/cache"), help="folder for drawn portraits")
    for field in fields(TeachingSettings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    chosen = vars(parser.parse_args(argv))
    what, out, face, cache, people = (chosen.pop(name) for name in ("what", "out", "face", "cache", "people"))
    say = lambda line: print(line, flush=True)  # noqa: E731
    try:
        settings, crowd = TeachingSettings(**chosen), Crowd(cache, people)
        if what == "face":
            say(str(train_face(out, settings, crowd, say)))
            return 0
        if face is None:
            raise ValueError("tokens needs --face, the folder that face was trained into.")
        file = face / FACE_FILE if face.is_dir() else face
        say(str(train_tokens(out, file, settings, crowd, say)))
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
