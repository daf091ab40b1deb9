"""The loss of a batch of clip pairs: clean latents, the difference of twins, a readout of the tokens, and pixels.

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
from ..tinymodel.vae import DECODER_PARTS, TinyVae
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
    share of the pairs that begin from pure noise, as one-step sampling does. squared: weight of the pixels' squared
    error beside the others. decoder: weight of the error of decoded true latents, which keeps the decoder the encoder's
    inverse while it learns with the rest; 0 freezes it."""

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
    squared: float = 5.0
    decoder: float = 0.5

    def __post_init__(self):
        if self.decoded < 2 or self.decoded % 2:
            raise ValueError(
                f"Expected an even number `decoded` from 2 on, since twins are compared, got {self.decoded}."
            )
        if not 0 <= self.pure <= 1:
            raise ValueError(f"Expected a share `pure` of the pairs from 0 to 1, got {self.pure}.")


class SharperDenoiser(Denoiser):
    """`forward` also says what is read of the identity tokens. vae: whose decoder learns as well, or None."""

    def __init__(self, transformer, adapter, text_encoder, face_encoder, vae: TinyVae | None = None):
        super().__init__(transformer, adapter, text_encoder, face_encoder)
        if vae is not None:
            free_decoder(vae)
            self.vae = vae
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
        clips = self._latents(batch, draws_of)
        clean = clips[:, :1] if stills else clips
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
        if loss.decoder:
            cost = cost + loss.decoder * self._own_pixels(clips, batch)
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
        truth = to_video(batch.pictures[:count]).add(1).div(2)
        decoded = decoded_pixels(self._models.codec.vae, shown[:count])
        cost = pixel_errors(decoded, truth, loss, pixel_weights(truth, loss))
        rest = torch.zeros(len(shown) - count)
        return loss.pixels * len(shown) / count * torch.cat([cost, rest])

    def _own_pixels(self, clean: Tensor, batch: Batch) -> Tensor:
        """The mean error of the decoded true latents of a few clips, as one number; twins are not told apart."""
        few = slice(0, self._loss.decoded, 4)
        truth = to_video(batch.pictures[few]).add(1).div(2)
        return pixel_errors(decoded_pixels(self._models.codec.vae, clean[few]), truth, self._loss).mean()


def free_decoder(vae: TinyVae) -> None:
    """Lets the decoder learn and freezes the encoder, whose latents stay as they are."""
    vae.to(memory_format=torch.channels_last)  # kernels that learn take a fifth less time so
    for name, parameter in vae.named_parameters():
        parameter.requires_grad_(name.startswith(DECODER_PARTS))


def decoded_pixels(vae: TinyVae, latents: Tensor) -> Tensor:
    """Latents [B,L,C,h,w] -> pixels [B,3,T,H,W] in about 0..1, not clamped, so that every error has a gradient."""
    mean, std = (stat[:, None, None, None] for stat in (vae.latents_mean, vae.latents_std))
    with torch.autocast("cpu", torch.bfloat16):
        return vae.raw_pictures(latents.transpose(1, 2) * std + mean).float()


def from_pure_noise(draws: Draws, share: float, generator: torch.Generator) -> Draws:
    """`draws` of pairs, where the share `share` of the pairs has the last timestep."""
    pure = torch.rand(len(draws.times) // 2, generator=generator) < share
    return draws._replace(times=torch.where(pure.repeat_interleave(2), TRAIN_STEPS - 1, draws.times))


def pixel_errors(decoded: Tensor, truth: Tensor, loss: SharperLoss, weights: Tensor | float = 1.0) -> Tensor:
    """Mean errors [B] of pixels [B,3,T,H,W] in 0..1: absolute, of their gradients, and squared, as `loss` weighs them.
    weights: of places, such as `pixel_weights`."""
    wrong, shape = decoded - truth, truth.narrow(1, 0, 1).shape
    weights = torch.as_tensor(weights, dtype=truth.dtype).expand(shape)
    cost = ((wrong.abs() + loss.squared * wrong.square()) * weights).flatten(1).mean(1)
    for axis in (3, 4):
        steps = wrong.diff(dim=axis).abs()
        cost = cost + loss.gradient * (steps * weights.narrow(axis, 1, steps.shape[axis])).flatten(1).mean(1)
    return cost


def pixel_weights(truth: Tensor, loss: SharperLoss) -> Tensor:
    """Weights [2B,1,T,H,W] of pixels [2B,3,T,H,W] in 0..1, twins beside each other: more where these differ, and
    where the picture is thin."""
    differ = more_where_twins_differ(truth.transpose(1, 2), loss.differs_in_pixels, loss.apart_in_pixels)
    return differ.transpose(1, 2) * more_where_thin(truth, loss.thin, loss.apart_in_pixels)


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
