"""Trains and scores the VAE: `python -m fantasyid_core.experiments.train_vae [--evaluate]`.

Everything follows from the config and its seed: clip n is person n, and what step k draws depends on the seed and k
alone, so a run that was killed goes on from its checkpoint as if nothing had happened. Nothing else of FantasyID-Tiny
is trained before the scores on held-out people pass the gate (see `scores`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..files.checkpoint import load_pickle
from ..files.writing import write_aside
from ..people.clips import make_clips
from ..people.person import held_out_seeds, training_seeds
from ..tinymodel.loading import SHIPPED_VAE, load_vae, save_vae
from ..tinymodel.vae import TinyVae
from ..training.muon import Muon
from .basis import begin_with_components
from .codec_scores import GATE_MOTION, GATE_PSNR, encode_all, latent_statistics, vae_scores
from .sheet import write_sheet
from .vae_settings import VaeTraining, load_settings

CHECKPOINT = "checkpoint.pt"
RESULT = "vae.safetensors"
HELD_OUT = 64
_BASIS_CLIPS = 256
_STATISTICS_CLIPS = 512
_REPORT_EVERY = 50


class VaeRun:
    """The VAE in training: networks, optimizers, averaged weights and the number of steps done."""

    def __init__(self, settings: VaeTraining, clips: np.ndarray):  # [N,T,S,S,3] uint8
        self.settings, self.clips = settings, clips
        torch.manual_seed(settings.seed)
        self.vae = TinyVae(settings.vae)
        begin_with_components(self.vae, pixels_of(clips[:_BASIS_CLIPS]))
        self.vae.to(memory_format=torch.channels_last)
        self.average = {name: value.detach().clone() for name, value in self.vae.named_parameters()}
        matrices, others = _split(self.vae)
        self.optimizers = {
            "muon": Muon(matrices, settings.muon_lr),
            "adam": torch.optim.AdamW(others, settings.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
        }
        self.step = 0

    def advance(self) -> float:
        """One step; returns its loss. Raises RuntimeError when that is not finite, and changes nothing then."""
        pixels, noise = self._draw()
        loss = reconstruction_loss(self.vae, pixels, noise, self.settings)
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"The loss of step {self.step} is {loss.item()}. Lower muon_lr or adam_lr, start anew.")
        loss.backward()
        nn.utils.clip_grad_norm_(self.vae.parameters(), self.settings.clip)
        share = rate(self.step, self.settings)
        for name, full in (("muon", self.settings.muon_lr), ("adam", self.settings.adam_lr)):
            for group in self.optimizers[name].param_groups:
                group["lr"] = full * share
            self.optimizers[name].step()
            self.optimizers[name].zero_grad()
        self._update_average()
        self.step += 1
        return loss.item()

    def state(self) -> dict:
        """All that a resumed run needs, as tensors and plain values."""
        return {
            "settings": json.dumps(asdict(self.settings)),
            "step": self.step,
            "vae": self.vae.state_dict(),
            "average": self.average,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def restore(self, state: dict) -> None:
        """Raises ValueError when the checkpoint is of other settings."""
        theirs, ours = json.loads(state["settings"]), json.loads(json.dumps(asdict(self.settings)))
        for free in ("output", "checkpoint_minutes"):
            theirs[free] = ours[free]
        if theirs != ours:
            changed = ", ".join(key for key in ours if theirs.get(key) != ours[key])
            raise ValueError(f"The checkpoint was made with other settings ({changed}). Choose another output folder.")
        self.vae.load_state_dict(state["vae"])
        self.average = {name: value.clone() for name, value in state["average"].items()}
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.step = state["step"]

    @torch.no_grad()
    def result(self) -> TinyVae:
        """The averaged weights with latents normalised over training clips."""
        vae = TinyVae(self.settings.vae)
        vae.load_state_dict(self.vae.state_dict() | self.average)
        latents = encode_all(vae, pixels_of(self.clips[:_STATISTICS_CLIPS]))
        vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
        vae.latents_std.copy_(latents.std((0, 2, 3, 4)))
        return vae.eval()

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Pixels [N,3,T,S,S] and noise of deviation 1 times each crop's own share [N,C,L,h,w]."""
        settings, random = self.settings, np.random.default_rng([self.settings.seed, self.step])
        side, count, size = settings.crop, settings.crops, self.clips.shape[2]
        if self.step >= settings.steps * (1 - settings.whole):
            side, count = size, max(1, round(count * side**2 / size**2))
        chosen = random.integers(len(self.clips), size=count)
        corners = random.integers(0, (size - side) // 4 + 1, size=(count, 2)) * 4
        cut = [self.clips[n, :, y : y + side, x : x + side] for n, (y, x) in zip(chosen, corners, strict=True)]
        config = settings.vae
        latent_frames = (self.clips.shape[1] - 1) // config.group + 1
        shape = (count, config.latent_channels, latent_frames, side // config.patch, side // config.patch)
        shares = random.random((count, 1, 1, 1, 1)) * settings.noise
        noise = torch.from_numpy((random.standard_normal(shape, np.float32) * shares).astype(np.float32))
        return pixels_of(np.stack(cut)), noise

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        for name, parameter in self.vae.named_parameters():
            self.average[name].lerp_(parameter, 1 - decay)


def reconstruction_loss(vae: TinyVae, pixels: Tensor, noise: Tensor, settings: VaeTraining) -> Tensor:
    """The loss of `VaeTraining`, of pixels [B,3,T,H,W] in 0..1."""
    latents = vae.raw_latents(pixels)
    spread = (latents.square().mean((0, 2, 3, 4)) - 1).square().mean()
    errors = vae.raw_pictures(latents + noise) - pixels
    in_time = (errors[:, :, 1:] - errors[:, :, :-1]).square().mean()
    across = (errors[..., 1:] - errors[..., :-1]).abs().mean()
    down = (errors[..., 1:, :] - errors[..., :-1, :]).abs().mean()
    pictures = settings.absolute * errors.abs().mean() + settings.squared * errors.square().mean()
    return pictures + settings.motion * in_time + settings.edges * (across + down) + settings.deviation * spread


def rate(step: int, settings: VaeTraining) -> float:
    """The share of the full learning rates that step `step` has."""
    return min(1.0, (step + 1) / settings.warmup) * (1 + math.cos(math.pi * step / settings.steps)) / 2


def train_vae(config, report: Callable[[str], None] = print) -> Path:
    """Trains the VAE of `config` (a `VaeTraining`, a mapping, a YAML file or "tiny_vae") and returns the file written.

    The folder `output` receives a checkpoint every few minutes, from which a later call goes on, and at the end the
    weights in bfloat16 and scores.json. Raises ValueError for impossible settings or a checkpoint of others.
    """
    settings = config if isinstance(config, VaeTraining) else load_settings(config)
    folder = Path(settings.output)
    report(f"rendering {settings.people} clips of as many people")
    run = VaeRun(settings, make_clips(training_seeds(settings.people), references=0).pictures)
    checkpoint = folder / CHECKPOINT
    if checkpoint.is_file():
        run.restore(_read_checkpoint(checkpoint))
        report(f"going on from step {run.step} of {checkpoint}")
    _advance_to_the_end(run, checkpoint, report)
    target = folder / RESULT
    save_vae(run.result(), target)
    evaluate_vae(target, report=report, scores=folder / "scores.json")
    return target


def evaluate_vae(
    weights: Path | None = None,
    clips: int = HELD_OUT,
    report: Callable[[str], None] = print,
    scores: Path | None = None,
    sheet: Path | None = None,
) -> bool:
    """Scores a VAE (the shipped one by default) on held-out people and says whether it passes the gate.

    scores: where to write them as JSON. sheet: where to write a picture of four clips, true above decoded.
    """
    vae = load_vae(weights)
    pixels = pixels_of(make_clips(held_out_seeds(clips), references=0).pictures)
    found, latents = vae_scores(vae, pixels), encode_all(vae, pixels)
    statistics = latent_statistics(latents)
    started = time.perf_counter()
    decoded = vae.decode(latents[:1])
    seconds = time.perf_counter() - started
    _report_scores(report, found, statistics, seconds, vae)
    if scores:
        content = {**asdict(found), "passes": found.passes, "latents": asdict(statistics), "decode_seconds": seconds}
        with write_aside(scores) as aside:
            aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if sheet:
        decoded = torch.cat([vae.decode(part) for part in latents[:4].split(1)])
        write_sheet(pixels[:4], decoded, sheet)
    return found.passes


def pixels_of(pictures: np.ndarray) -> Tensor:  # uint8 [N,T,H,W,3] -> [N,3,T,H,W] in 0..1
    return torch.from_numpy(pictures).permute(0, 4, 1, 2, 3).float() / 255


def _advance_to_the_end(run: VaeRun, checkpoint: Path, report: Callable[[str], None]) -> None:
    settings, saved, losses = run.settings, time.monotonic(), []
    while run.step < settings.steps:
        losses.append(run.advance())
        done = run.step == settings.steps
        if run.step % _REPORT_EVERY == 0 or done:
            report(f"step {run.step} of {settings.steps}: loss {sum(losses) / len(losses):.4f}")
            losses = []
        if done or time.monotonic() - saved > 60 * settings.checkpoint_minutes:
            with write_aside(checkpoint) as aside:
                torch.save(run.state(), aside)
            saved = time.monotonic()


def _read_checkpoint(path: Path) -> dict:
    try:
        state = load_pickle(path, mapped=False)
    except ValueError as error:
        raise ValueError(f"{error} Or delete it to train from the beginning.") from error
    if not isinstance(state, dict) or state.keys() != {"settings", "step", "vae", "average", "optimizers"}:
        raise ValueError(f"{path} is no state of this training. Delete it to train from the beginning.")
    return state


def _split(vae: TinyVae) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Kernels of the networks, and all else: biases, norms, and the linear maps that begin as components."""
    named = list(vae.named_parameters())
    inside = {name for name, value in named if value.ndim == 4 and name.startswith(("encoder.", "decoder."))}
    return [value for name, value in named if name in inside], [value for name, value in named if name not in inside]


def _report_scores(report: Callable[[str], None], found, statistics, seconds: float, vae: TinyVae) -> None:
    report(
        f"{found.clips} clips of held-out people: PSNR {found.psnr:.2f} dB (spread {found.psnr_spread:.2f}; first "
        f"frame {found.psnr_first:.2f}, later {found.psnr_later:.2f}, with noise of 0.1 {found.psnr_noisy:.2f})"
    )
    report(
        f"correlation of differences in time: {found.motion:.3f} over all, {found.motion_clip:.3f} within a clip "
        f"(spread {found.motion_clip_spread:.3f})"
    )
    report(
        f"latents: |mean| <= {statistics.mean:.3f}, deviation {statistics.deviation[0]:.2f} to "
        f"{statistics.deviation[1]:.2f}, largest {statistics.largest:.1f}, kurtosis {statistics.kurtosis:.2f}, "
        f"correlation of neighbours {statistics.neighbours:.2f}, of frames {statistics.frames:.2f}"
    )
    parameters = sum(parameter.numel() for parameter in vae.parameters())
    report(f"{parameters / 1e6:.2f} M parameters; one clip decodes in {seconds:.3f} s")
    verdict = "passes" if found.passes else "FAILS"
    report(f"gate of {GATE_PSNR:g} dB and {GATE_MOTION:g}: {verdict}")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: trained, or the gate is passed; 1: it is not; 2: an error that is explained."""
    parser = argparse.ArgumentParser(prog="python -m fantasyid_core.experiments.train_vae")
    parser.add_argument("config", nargs="?", default="tiny_vae", help="YAML file or the name of one that comes along")
    parser.add_argument("--evaluate", action="store_true", help="score on held-out people instead of training")
    parser.add_argument("--weights", type=Path, help=f"what to score (default: {SHIPPED_VAE.name}, as shipped)")
    parser.add_argument("--clips", type=int, default=HELD_OUT, help="how many held-out people")
    parser.add_argument("--sheet", type=Path, help="where to write true and decoded frames as a PNG")
    parser.add_argument("--scores", type=Path, help="where to write the scores as JSON")
    arguments = parser.parse_args(argv)
    try:
        if not arguments.evaluate:
            train_vae(arguments.config, lambda line: print(line, flush=True))
            return 0
        passes = evaluate_vae(arguments.weights, arguments.clips, print, arguments.scores, arguments.sheet)
        return 0 if passes else 1
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
