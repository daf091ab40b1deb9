"""The loss of a batch of clip pairs: clean latents, the difference of twins, a readout of the tokens, and pixels last.

Glasses make up 1.5 % of the error of a clip and are learned last. Therefore the error has a larger weight where twins
in looks differ. A jaw makes up as little, so the error of the difference of twins counts relative to its size. A
readout of the identity tokens keeps information in them that the video loss does not need yet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from ..files.pixels import to_video
from ..sampling import TRAIN_STEPS
from ..training.batches import Batch, generator
from ..training.config import TrainingConfig
from ..training.denoiser import Denoiser, Seen
from ..training.models import TrainedModels
from ..training.objective import Draws, add_noise, clean_from_velocity, draw, twin_loss
from ..training.task import Task
from .clip_pairs import ClipPairs
from .readout import Read, Readout, reading_loss, reading_losses
from .teaching import fast_on_cpu


@dataclass(frozen=True)
class SharperLoss:
    """reading: of the readout's loss. differs: how much more the error counts where twins differ by at least `apart`
    (of a latent channel, in the mean); differs_in_pixels: the same of the pixels' error, by `apart_in_pixels` (of
    0..1). thin: how much more the pixels' error counts where a pixel differs by `apart_in_pixels` or more from the
    mean of those around it, as frames of glasses do. pixels: of the decoded clips' loss, from step `pixels_from` on,
    of the first `decoded` clips of a batch; gradient: of its edges. twin_floor: mean square by which the latents of
    twins differ when their difference counts by half; the weakest sliders of the editor move them by 0.0002 to 0.005.
    reading_from: step from which the tokens learn from the readout; before it a new readout learns from them. pure:
    share of the pairs that begin from pure noise, as one-step sampling does."""

    reading: float = 0.3
    differs: float = 6.0
    apart: float = 0.5
    differs_in_pixels: float = 14.0
    apart_in_pixels: float = 0.1
    thin: float = 3.0
    pixels: float = 2.0
    gradient: float = 1.0
    pixels_from: int = 10**9
    decoded: int = 8
    twin_floor: float = 0.0003
    reading_from: int = 0
    pure: float = 0.8

    def __post_init__(self):
        if self.decoded < 2 or self.decoded % 2:
            raise ValueError(
                f"Expected an even number `decoded` from 2 on, since twins are compared, got {self.decoded}."
            )
        if not 0 <= self.pure <= 1:
            raise ValueError(f"Expected a share `pure` of the pairs from 0 to 1, got {self.pure}.")


class SharperDenoiser(Denoiser):
    """`forward` also says what is read of the identity tokens."""

    def __init__(self, transformer, adapter, text_encoder, face_encoder):
        super().__init__(transformer, adapter, text_encoder, face_encoder)
        self.readout = Readout(adapter.config.id_tokens, adapter.config.id_width, own=False)

    def forward(self, seen: Seen, tokens_learn: bool = True) -> tuple[Tensor, Read]:
        """v [B,T,C,h,w], and what is read of the tokens. tokens_learn: from the readout's loss as well."""
        with fast_on_cpu():
            predicted = super().forward(seen)
            return predicted, self.readout(self.tokens if tokens_learn else self.tokens.detach())


class SharperTask(Task):
    """`losses` as `Task`'s, of pairs that `source` made."""

    def __init__(self, models: TrainedModels, config: TrainingConfig, device, loss: SharperLoss, source: ClipPairs):
        super().__init__(models, config, device)
        self._models, self._loss, self._source = models, loss, source

    def losses(self, denoiser, batch: Batch, micro_batch: int, process: int = 0, stills: bool = False) -> Tensor:
        config, loss = self._config, self._loss
        seed = int(generator(config.seed, "noise", micro_batch, process).integers(2**62))
        draws_of = torch.Generator().manual_seed(seed)
        clean = self._latents(batch, draws_of)
        clean = clean[:, :1] if stills else clean
        draws = draw(tuple(clean.shape), config.identity, config.condition, draws_of, config.early_share, together=2)
        draws = from_pure_noise(draws, loss.pure, draws_of)
        alpha, noise = self._alphas[draws.times], draws.noise
        noisy = add_noise(clean, noise, alpha)
        seen = self._seen(batch, draws, noisy, draws_of)
        step = micro_batch // config.optimizer.accumulation
        predicted, read = denoiser(seen, step >= loss.reading_from)
        shown = clean_from_velocity(noisy, predicted, alpha)
        weights = more_where_twins_differ(clean, loss.differs, loss.apart)
        cost = ((shown - clean).square() * weights).flatten(1).mean(1)
        told = (seen.keeps_identity & seen.keeps_vertices & seen.keeps_face).to(cost)
        # Of the clean latents, which are -v at pure noise.
        cost = cost + config.twin_weight * told * twin_loss(-shown, clean, torch.zeros_like(alpha), loss.twin_floor)
        cost = cost + loss.reading * self._reading(denoiser, read, batch, told)
        if step >= loss.pixels_from and not stills:
            cost = cost + self._pixels(shown, batch)
        return cost

    def _reading(self, denoiser, read: Read, batch: Batch, told: Tensor) -> Tensor:
        """Of the clips whose tokens have both, as one number for all of them."""
        whole = torch.nonzero(told).flatten()
        if not len(whole):
            return torch.zeros(())
        truth = self._source.looks([batch.names[index] for index in whole.tolist()])
        some = Read({name: said[whole] for name, said in read.kinds.items()}, *(each[whole] for each in read[1:4]))
        readout = getattr(denoiser, "module", denoiser).readout
        return reading_loss(reading_losses(some, truth, readout))

    def _pixels(self, shown: Tensor, batch: Batch) -> Tensor:
        """The pixel loss of the first clips: mean errors of the decoded prediction's pixels and of their gradients."""
        loss, count = self._loss, min(self._loss.decoded, len(shown))
        with torch.autocast("cpu", torch.bfloat16):
            decoded = self._models.codec.vae.decode(shown[:count].transpose(1, 2)).float()  # [B,3,T,H,W] in 0..1
        truth = to_video(batch.pictures[:count]).add(1).div(2)
        weights = more_where_twins_differ(
            truth.transpose(1, 2), loss.differs_in_pixels, loss.apart_in_pixels
        ).transpose(1, 2)
        weights = weights * more_where_thin(truth, loss.thin, loss.apart_in_pixels)
        cost = ((decoded - truth).abs() * weights).flatten(1).mean(1)
        for axis in (3, 4):
            wrong = (decoded.diff(dim=axis) - truth.diff(dim=axis)).abs()
            cost = cost + loss.gradient * (wrong * weights.narrow(axis, 1, wrong.shape[axis])).flatten(1).mean(1)
        rest = torch.zeros(len(shown) - count)
        return loss.pixels * len(shown) / count * torch.cat([cost, rest])


def from_pure_noise(draws: Draws, share: float, generator: torch.Generator) -> Draws:
    """`draws` of pairs, where the share `share` of the pairs has the last timestep."""
    pure = torch.rand(len(draws.times) // 2, generator=generator) < share
    return draws._replace(times=torch.where(pure.repeat_interleave(2), TRAIN_STEPS - 1, draws.times))


def more_where_twins_differ(clean: Tensor, more: float, apart: float) -> Tensor:
    """Weights [2B,T,1,h,w] of mean 1 for latents or pixels [2B,T,C,h,w], twins beside each other: `1 + more` times as
    much where they differ by at least `apart` in the mean of the channels."""
    difference = (clean[0::2] - clean[1::2]).abs().mean(2, keepdim=True)
    weights = 1 + more * (difference / apart).clamp(max=1)
    weights = weights / weights.mean((1, 2, 3, 4), keepdim=True)
    return weights.repeat_interleave(2, 0)


def more_where_thin(videos: Tensor, more: float, apart: float) -> Tensor:
    """Weights [B,1,T,H,W] of mean 1 for pixels [B,C,T,H,W]: `1 + more` times as much where a pixel differs by at least
    `apart`, in the mean of the channels, from the mean of the 5 x 5 pixels around it."""
    around = avg_pool3d(videos, (1, 5, 5), stride=1, padding=(0, 2, 2), count_include_pad=False)
    weights = 1 + more * ((videos - around).abs().mean(1, keepdim=True) / apart).clamp(max=1)
    return weights / weights.mean((1, 2, 3, 4), keepdim=True)
