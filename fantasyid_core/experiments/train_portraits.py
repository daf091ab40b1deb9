"""Pre-trains transformer and adapter of FantasyID-Tiny on portraits: how a person looks from the front.

    python -m fantasyid_core.experiments.train_portraits tiny

In a training on videos alone, the vertices begin to steer very late: much larger parts of a video follow from the
prompt, and smaller parts are learned after larger ones. Therefore the model first learns one picture of each person, at
rest and in front of grey, without noise, without a prompt, and without attention between the places of the picture. The
transformer's feed-forward layers, with the adapter between them, learn to predict it from the identity tokens. All that
is trained here is part of the model; `PortraitPainter.begin` initialises the rest so that it has no effect. With
`data.twins`, half of the portraits are of twins, and their difference counts as in the training on videos.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..files.pixels import to_video
from ..files.tensorfile import write_tensors
from ..files.writing import write_aside
from ..people.backdrop import Backdrop
from ..people.motion import Motion
from ..people.person import sample_person, sample_twin, training_seeds
from ..people.render import render_frames
from ..training.batches import generator
from ..training.build import build_models
from ..training.config import OptimizerSettings, TrainingConfig, load_config
from ..training.loop import fit_vertices
from ..training.models import TrainedModels
from ..training.objective import twin_loss
from ..training.optimizer import MuonAdamW, split
from ..training.people_source import PeopleSource
from ..training.portraits import taught
from ..training.schedule import learning_rate
from ..training.sources import build_sources

_AT_REST = Motion(zoom=1.01)
_TOGETHER = 200
_REPORT_EVERY = 100


@dataclass(frozen=True)
class PortraitTraining:
    """steps of `batch` portraits. null: how often face and vertices are left out, each by itself. lr of AdamW, muon_lr
    of every matrix. Raises ValueError for impossible values."""

    steps: int = 1500
    batch: int = 32
    null: float = 0.1
    lr: float = 1e-3
    muon_lr: float = 0.01

    def __post_init__(self):
        for name in ("steps", "batch", "lr", "muon_lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}.")
        if not 0 <= self.null < 1:
            raise ValueError(f"null: expected a share from 0 to below 1, got {self.null}.")


class PortraitPainter(nn.Module):
    """Identity tokens -> minus the latent of a portrait: the v that the transformer has to predict from noise alone."""

    def __init__(self, models: TrainedModels):
        super().__init__()
        self.adapter, self.face_encoder, self.transformer = models.adapter, models.face_encoder, models.transformer
        self.begin()
        text, grid = models.sizes.max_text_seq_length, models.sizes.frame_grid
        self.places = slice(text, text + grid[0] * grid[1])
        self.register_buffer("mean_shape", self.adapter.topology.template.clone(), persistent=False)

    @torch.no_grad()
    def begin(self) -> None:
        """Gates of one, no shifts and scales, attention that adds nothing, and noise that is small beside the places.

        The stock gates are near zero, so that layers learn slowly; and what identity tokens say has to reach hidden
        states at once, which the adapter's zeros would put off.
        """
        width = self.transformer.config.num_attention_heads * self.transformer.config.attention_head_dim
        for block in self.transformer.transformer_blocks:
            for norm in (block.norm1, block.norm2):
                norm.linear.weight.zero_()
                norm.linear.bias.copy_(torch.tensor([0.0, 0.0, 1.0] * 2).repeat_interleave(width))
            block.attn1.to_out[0].weight.zero_()
            block.attn1.to_out[0].bias.zero_()
        self.transformer.norm_out.linear.weight.zero_()
        self.transformer.norm_out.linear.bias.zero_()
        self.transformer.patch_embed.proj.weight.mul_(0.3)
        for layer in self.adapter.layers:
            nn.init.normal_(layer.to_out.weight, std=0.3 * layer.to_out.weight.shape[1] ** -0.5)

    def forward(self, faces: Tensor, vertices: Tensor, keeps_face: Tensor, keeps_vertices: Tensor) -> Tensor:
        """[B,3,S,S] in 0..1, [B,V,3], [B] bool twice -> [B,h*w,C*p*p] in the order of the transformer's output."""
        feats = self.face_encoder(faces)
        feats = torch.where(keeps_face[:, None, None], feats, torch.zeros_like(feats))
        vertices = torch.where(keeps_vertices[:, None, None], vertices, self.mean_shape)
        injector = self.adapter.injector(self.adapter.encode(feats, vertices))
        transformer = self.transformer
        hidden = transformer.patch_embed.pos_embedding[:, self.places] + transformer.patch_embed.proj.bias
        hidden = hidden.expand(len(faces), -1, -1)
        for number, block in enumerate(transformer.transformer_blocks):
            hidden = hidden + block.ff(block.norm2.norm(hidden))
            hidden = hidden + injector(number, hidden)
        return transformer.proj_out(transformer.norm_out.norm(transformer.norm_final(hidden)))


def train_portraits(
    config: TrainingConfig, settings: PortraitTraining, path: Path, report: Callable[[str], None] = print
) -> Path:
    """Trains new networks of `config` on portraits of its people; writes and returns `path`, for `model.portraits`.

    Raises ValueError for a config without own heads, or with fewer people than a batch; OSError when the file cannot
    be written.
    """
    _check(config, settings)
    config = replace(config, model=replace(config.model, portraits=None))
    models = build_models(config)
    source, _ = build_sources(config, models, torch.device("cpu"), lambda text: None)
    fit_vertices(models.adapter, source)
    painter = PortraitPainter(models).train()
    portraits = _portraits(models, config, source.together)
    report(f"{len(portraits)} portraits, {settings.steps} steps of {settings.batch}")
    spread = (portraits - portraits.mean(0)).square().mean()
    rates = OptimizerSettings(kind="muon", lr=settings.lr, muon_lr=settings.muon_lr, warmup=50, beta2=0.98)
    matrices, others = split((name, value) for name, value in painter.named_parameters() if value.requires_grad)
    optimizer, lost = MuonAdamW(matrices, others, rates), []
    for step in range(settings.steps):
        rng = generator(config.seed, "portraits", step)
        wrong, unlike = _losses(painter, source, portraits, spread, settings, rng)
        (wrong * spread + config.twin_weight * unlike).backward()  # as in training on videos
        nn.utils.clip_grad_norm_(painter.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings.steps, rates) * group["pace"]
        optimizer.step()
        optimizer.zero_grad()
        lost.append((wrong.item(), unlike.item()))
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == settings.steps:
            wrong, unlike = np.mean(lost, axis=0)
            twins = f", {unlike:.4f} of the difference of twins" if source.together > 1 else ""
            report(f"step {step + 1} of {settings.steps}: {wrong:.4f} of the variance is not painted{twins}")
            lost = []
    _save(models, path)
    return path


def _save(models: TrainedModels, path: Path) -> None:
    tensors = {
        f"{part}.{name}": value.detach().clone().contiguous()
        for part, network in taught(models).items()
        for name, value in network.state_dict().items()
    }
    with write_aside(path) as aside:  # the adapter with its topology, which is part of what it has learned
        write_tensors(aside, {**tensors, **models.adapter.topology.tensors()}, {"format": "pt"})


def _check(config: TrainingConfig, settings: PortraitTraining) -> None:
    if config.model.kind != "tiny" or config.data.kind != "heads":
        raise ValueError("Portraits need model.kind: tiny and data.kind: heads. Use the config tiny.")
    if config.data.twins and settings.batch % 2:
        raise ValueError(f"batch: expected an even number with data.twins, got {settings.batch}.")
    portraits = config.data.people * (2 if config.data.twins else 1)
    if portraits < settings.batch:
        raise ValueError(f"Expected data.people, with twins, for a batch of {settings.batch}, got {portraits}.")


def _losses(
    painter: PortraitPainter, source: PeopleSource, portraits: Tensor, spread: Tensor, settings: PortraitTraining, rng
) -> tuple[Tensor, Tensor]:
    """Of one batch: the share of the variance that is not painted, and the `twin_loss` (0 without twins)."""
    together = source.together
    first = rng.integers(len(portraits) // together, size=settings.batch // together) * together
    rows = (first[:, None] + np.arange(together)).flatten()
    batch = source.batch(rows.tolist(), rng)
    keeps = torch.from_numpy(rng.random((2, len(first))) >= settings.null).repeat_interleave(together, dim=1)
    faces = torch.from_numpy(batch.references).permute(0, 3, 1, 2).float() / 255
    painted, truth = painter(faces, torch.from_numpy(batch.vertices), *keeps), portraits[rows]
    wrong = (painted + truth).square().mean() / spread
    if together == 1:
        return wrong, torch.zeros(())
    return wrong, (keeps[1] * twin_loss(painted, truth, torch.zeros(len(rows)))).mean()


def _portraits(models: TrainedModels, config: TrainingConfig, together: int) -> Tensor:
    """Latents of everybody at rest, twins after each, as the transformer's output has them: [N,h*w,C*p*p]."""
    row, backdrop, patch = _AT_REST.frames(1), Backdrop("grey"), models.sizes.patch_size
    people, done = [sample_person(seed) for seed in training_seeds(config.data.people)], []
    if together > 1:
        people = [each for person in people for each in (person, sample_twin(person))]
    draw = lambda person: render_frames(person, row, backdrop, config.data.size)  # noqa: E731
    with ThreadPoolExecutor(config.data.workers) as pool:
        for start in range(0, len(people), _TOGETHER):
            pictures = np.stack(list(pool.map(draw, people[start : start + _TOGETHER])))
            latents = models.codec.encode(to_video(pictures))[:, 0]  # [n,C,H,W]
            split_up = latents.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # [n,C,h,p,w,p]
            done.append(split_up.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2))
    return torch.cat(done)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: trained; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.train_portraits")
    parser.add_argument("config", help="as for the command train")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="changes to the config")
    parser.add_argument("--out", type=Path, help="file to write (default: the config's model.portraits)")
    for field in fields(PortraitTraining):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    arguments = vars(parser.parse_intermixed_args(argv))
    try:
        config = load_config(arguments.pop("config"), arguments.pop("changes"))
        out = arguments.pop("out") or Path(config.model.portraits or "training/portraits.safetensors")
        print(train_portraits(config, PortraitTraining(**arguments), out, lambda line: print(line, flush=True)))
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
