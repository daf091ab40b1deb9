"""One photo, one 3D face and a sentence become a video, on diffusers, as the official pipeline makes it.

    picture -> crop -> ViT features ─┐
    shape file -> vertices ──────────┴-> id tokens ─────────┐
    prompt -> T5 embeddings ────────────────────────────────┤
    crop, stretched -> VAE -> image latent ─────────────────┴-> sampling -> latents -> VAE -> frames

Every stage loads its network, uses it and releases it. While sampling, only the transformer and the injector's layers
are on the device. `jobs` runs the same stages for many videos.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import TransformerConfig
from ..face.align import FaceCrop
from ..face.consisid import Readers, load_readers, load_tower, parse_face, prepare_face
from ..face.encoder import load_face_encoder
from ..host import diffusers as diffusers_host
from ..host.diffusers import others as diffusers_models
from ..host.diffusers.denoise import make_denoiser
from ..host.diffusers.others import as_pixels, prompt_ids, stretch
from ..identity.adapter import IdentityAdapter
from ..identity.injector import Injector
from ..identity.steering.combining import combine_tokens
from ..machine.folder import find_face_encoder
from ..machine.networks import ADAPTER, FACE_ENCODER, TEXT_ENCODER, TRANSFORMER, VAE
from ..machine.settings import Settings
from ..modelfiles import default_folders
from ..request import load_face, load_saved, load_shape_of
from ..sampling import OfficialNoise, make_steps, sample
from ..sampling.continuation import held, last_frames
from ..sampling.windows import latent_frames_for, windowed
from ..shape.faceshape import FaceShape
from .run import Inputs, Progress, Run

LARGE = VAE, TRANSFORMER


class Person(NamedTuple):
    """An encoded person: identity tokens [1, Nid, Cid], and the face that is the video's first picture."""

    tokens: Tensor
    face: FaceCrop


class Picture(NamedTuple):
    """The VAE's posterior of the first frame: mean and standard deviation [1, 16, 1, h, w], in float32.

    begin: of a continuation, the latents [1, 16, T, h, w] of the frames with which it begins.
    """

    mean: Tensor
    spread: Tensor
    begin: Tensor | None = None


class Conditions(NamedTuple):
    """The conditions that the transformer gets in every step."""

    prompts: Tensor  # [2, text, C]: negative, positive; [1, text, C] without guidance
    image_latent: Tensor  # [1, T, 16, h, w], scaled; zeros after the first frame
    begin: Tensor | None = None  # [1, T', 16, h, w], scaled: the first frames of a continuation


def generate(inputs: Inputs, settings: Settings, progress: Progress | None = None) -> np.ndarray:
    """The video of the person: np.uint8 [T,H,W,3] of the model's own size.

    progress(stage, done, total) is called when a stage begins (done is 0), and after every step; what it raises
    stops the run and leaves nothing behind. Equal inputs and settings give equal frames on the same device.
    Raises FileNotFoundError, ValueError or RuntimeError saying what was expected, found and what to do.
    """
    run = Run(inputs, settings, progress)
    return decode(run, make_latents(run))


@torch.inference_mode()
def make_latents(run: Run) -> Tensor:
    """The video's latents [1, T, 16, h, w] in float32, scaled as the transformer has them."""
    run.check_memory()
    run.check_length()
    person = encode_person(run)
    run.networks.let_go(FACE_ENCODER)
    with run.stage("prompt"):
        prompts = join_prompts(encode_prompt(run, text) for text in prompts_of(run.settings))
    run.networks.let_go(TEXT_ENCODER)
    picture = encode_picture(run, person.face)
    injector = make_injector(run, person)
    run.networks.let_go(ADAPTER)  # the identity branch, too: the injector keeps what the video needs
    return sample_latents(run, injector, prompts, picture)


@torch.inference_mode()
def encode_person(run: Run) -> Person:
    """The person of the run's inputs, as the adapter sees them."""
    with run.stage("adapter"):
        adapter = run.adapter
    if run.inputs.person.saved is not None:
        with run.stage("identity"):
            tokens, face = load_saved(run.inputs.person, adapter)
            return Person(tokens, parse_face(face, _readers(run)) if adapter.config.is_consisid else face)
    with run.stage("picture"):
        face = load_face(run.inputs.person)
    with run.stage("3D face"):
        shape = None
        if adapter.config.reads_shape or run.inputs.person.shape is not None:
            adapter.check_needs(run.inputs.person.shape)
            shape, face = load_shape_of(run.inputs.person, face, adapter.topology)
    with run.stage("identity"):
        return Person(*_encode_identity(run, adapter, face, shape))


def prompts_of(settings: Settings) -> list[str]:
    """The texts that the transformer is told: negative and positive, or the positive one without guidance."""
    return [settings.negative, settings.prompt] if settings.cfg > 1 else [settings.prompt]


def join_prompts(prompts: Iterable[Tensor]) -> Tensor:
    """[1, text, C] each -> [1 or 2, text, C]."""
    return torch.cat(list(prompts))


@torch.inference_mode()
def make_injector(run: Run, person: Person) -> Injector:
    """The person's injection in all layers, on the run's device."""
    adapter = run.adapter
    adapter.layers.to(run.device)
    return adapter.injector(person.tokens.to(run.device), run.settings.strength)


@torch.inference_mode()
def sample_latents(run: Run, injector: Injector, prompts: Tensor, picture: Picture) -> Tensor:
    """The video's latents [1, T, 16, h, w] in float32, of what the other stages made."""
    with run.stage("transformer"):
        transformer = run.transformer
    sizes = diffusers_host.transformer_sizes(transformer)
    _check_text(sizes, prompts)
    draws = torch.Generator().manual_seed(run.settings.seed)
    conditions = Conditions(prompts, *_first_frames(run, sizes, picture, draws))
    run.progress("sampling", 0, run.settings.steps)
    # Stored before it is moved: the card would hold the wide weights beside the narrow ones.
    with run.stored(transformer), run.on_device(transformer), run.mechanisms(transformer, injector) as around:
        return _checked(_sample(run, transformer, conditions, draws, *around), "The transformer")


@torch.inference_mode()
def decode(run: Run, latents: Tensor) -> np.ndarray:
    """Latents [1, T, 16, h, w] of `make_latents` -> frames np.uint8 [T',H,W,3], behind those of a continued video."""
    latents = latents.transpose(1, 2).to(run.device, run.dtype)  # BTCHW -> BCTHW
    with run.stage("frames"):
        with run.on_device(run.vae):
            video = run.vae.decode(1 / run.vae.config.scaling_factor * latents).sample[0].float()
        video = _checked(video, "The VAE").div(2).add(0.5).clamp(0, 1)
        frames = (video * 255).round().to("cpu", torch.uint8).permute(1, 2, 3, 0)  # CTHW -> THWC
    frames = frames.contiguous().numpy()
    if run.inputs.after is None:
        return frames
    repeated = last_frames(run.before, frames.shape[1:3], run.sizes.latent_frames)
    return np.concatenate([run.before, frames[len(repeated) :]])


def _encode_identity(
    run: Run, adapter: IdentityAdapter, face: FaceCrop, shape: FaceShape | None
) -> tuple[Tensor, FaceCrop]:
    """Identity tokens [1, Nid, Cid], and the face with what the video model is shown of it."""
    weights = run.inputs.face_encoder or find_face_encoder(run.folder)
    if adapter.config.is_consisid:
        return _encode_for_consisid(run, adapter, face, weights)
    # In float32, whatever the dtype: it runs only once, and half precision costs likeness.
    encoder = run.networks.get(FACE_ENCODER, lambda: load_face_encoder(weights, torch.float32)).to(run.device)
    adapter.encoder.to(run.device, torch.float32)
    views = [adapter.encode(encoder.encode(view.pixels()), shape) for view in (face, *face.others)]
    return combine_tokens(views, run.inputs.person.references), face


def _encode_for_consisid(run: Run, adapter: IdentityAdapter, face: FaceCrop, weights) -> tuple[Tensor, FaceCrop]:
    encoder = run.networks.get(FACE_ENCODER, lambda: load_tower(weights, torch.float32)).to(run.device)
    adapter.encoder.to(run.device, torch.float32)
    readers = _readers(run)
    views = [prepare_face(view, encoder.features, readers) for view in (face, *face.others)]
    for note in dict.fromkeys(note for view in views for note in view.notes):
        warnings.warn(note, stacklevel=2)
    tokens = combine_tokens([adapter.encode(view.features) for view in views], run.inputs.person.references)
    return tokens, views[0].face


def _readers(run: Run) -> Readers:
    folders = (run.folder, *run.inputs.person.request.folders, *default_folders())
    return load_readers(folders, run.inputs.approximate)


@torch.inference_mode()
def encode_prompt(run: Run, text: str) -> Tensor:  # -> [1, text, C]
    """The prompt as the transformer reads it. Without a mask, as official: it reads the padding, too."""
    tokenizer, encoder = run.networks.get(TEXT_ENCODER, lambda: _load_text(run))
    ids = prompt_ids(tokenizer, [text], TransformerConfig.max_text_seq_length)
    with run.on_device(encoder):
        return encoder(ids.to(run.device))[0].to(run.dtype)


def _load_text(run: Run):
    return diffusers_models.load_tokenizer(run.folder), diffusers_models.load_text_encoder(run.folder, run.dtype)


def _check_text(sizes: TransformerConfig, prompts: Tensor) -> None:
    expected = sizes.max_text_seq_length, sizes.text_embed_dim
    if tuple(prompts.shape[1:]) != expected:
        raise ValueError(
            f"The transformer reads {expected[0]} text tokens of width {expected[1]}, text_encoder/ gives "
            f"{prompts.shape[1]} of width {prompts.shape[2]}. Use the T5 encoder of CogVideoX-5B-I2V 1.0."
        )


@torch.inference_mode()
def encode_picture(run: Run, face: FaceCrop) -> Picture:
    """The first picture, encoded: the face, stretched to the model's size; of a continuation, the first of the frames
    with which it begins."""
    with run.stage("image latent"):
        height, width = run.sizes.picture_size
        if run.inputs.after is None:
            pixels = stretch(face.first_picture, width, height).unsqueeze(2)  # [1, 3, 1, H, W]
        else:
            pixels = as_pixels(last_frames(run.before, (height, width), run.sizes.latent_frames))  # [1, 3, T, H, W]
        pixels = pixels.to(run.device, run.dtype)
        with run.on_device(run.vae):
            posterior = run.vae.encode(pixels[:, :, :1]).latent_dist
            begin = None if run.inputs.after is None else run.vae.encode(pixels).latent_dist.mean.float()
        return Picture(posterior.mean.float(), posterior.std.float(), begin)


def _first_frames(
    run: Run, sizes: TransformerConfig, picture: Picture, draws: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """The conditions' image latent, and their beginning."""
    # Drawn in float32, whatever the dtype, so that a seed gives the same noise everywhere.
    noise = torch.randn(picture.mean.shape, generator=draws).to(run.device)
    scale = run.vae.config.scaling_factor
    latent = (picture.mean.to(run.device) + picture.spread.to(run.device) * noise) * scale
    if latent.shape[1:] != (sizes.out_channels, 1, sizes.sample_height, sizes.sample_width):
        raise ValueError(
            f"The VAE made latents {list(latent.shape[1:])}, the transformer needs {sizes.out_channels} channels "
            f"of {sizes.sample_height} x {sizes.sample_width}. Use the VAE of CogVideoX-5B-I2V 1.0."
        )
    video = latent.new_zeros(1, sizes.latent_frames, *latent.shape[1:2], *latent.shape[3:])
    video[:, 0] = latent[:, :, 0]
    begin = None if picture.begin is None else scale * picture.begin.transpose(1, 2).to(run.device)  # BCTHW -> BTCHW
    return _checked(video, "The VAE"), begin


def _sample(run: Run, transformer, conditions: Conditions, draws: torch.Generator, clock, layout) -> Tensor:
    shape = conditions.image_latent.shape
    total = latent_frames_for(run.settings.frames, shape[1]) if run.settings.frames else shape[1]
    noise = OfficialNoise((shape[0], total, *shape[2:]), draws)
    given = conditions.prompts, conditions.image_latent
    denoise = make_denoiser(transformer, *given, run.settings.cfg, run.dtype, clock, layout)
    plan = make_steps(run.settings.steps, diffusers_models.load_schedule(run.folder))
    return sample(
        held(windowed(denoise, total, shape[1]), conditions.begin),
        noise.initial().to(run.device),
        plan,
        run.settings.solver,
        lambda index: noise(index).to(run.device),
        lambda index, x, D: run.progress("sampling", index + 1, len(plan)),
    )


def _checked(values: Tensor, what: str) -> Tensor:
    if not values.isfinite().all():
        raise RuntimeError(
            f"{what} made NaN or infinite values: expected finite ones. Half precision is the usual cause: "
            "choose bf16 or fp32."
        )
    return values
