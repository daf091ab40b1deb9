"""One run of the pipeline: its inputs and settings, and the networks that its stages load."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..config import TransformerConfig
from ..files.checkpoint import open_checkpoint
from ..host import diffusers as diffusers_host
from ..host.diffusers import others as diffusers_models
from ..host.diffusers.attention import check_attention
from ..host.diffusers.mechanisms import attached, cache_of, check_cache, stored_in_8_bits
from ..host.diffusers.parallel import split_for
from ..identity.adapter import IdentityAdapter
from ..identity.injector import Injector
from ..machine.device import named_device
from ..machine.folder import check_folder
from ..machine.networks import ADAPTER, TRANSFORMER, VAE, Networks
from ..machine.placement import explained, on_device
from ..machine.plans import advice, check_stages, cpu_dtype
from ..machine.settings import Settings
from ..machine.sizes import model_sizes
from ..options import STORAGES
from ..request import PersonRequest
from ..sampling.continuation import last_frames
from ..sampling.windows import latent_frames_for
from ..videofile import read_video
from ..weights.adapter import load_adapter
from ..weights.transformer import transformer_config

Progress = Callable[[str, int, int], None]


class Inputs(NamedTuple):
    """The person and the files of the model.

    model: folder of FantasyID or ConsisID. topology, face_encoder: paths, when they are not inside that folder.
    approximate: go on without the further networks that ConsisID sees a face with where one is missing.
    after: a video (file or uint8 [T,H,W,3]) that the new one continues; the result holds both.
    """

    model: str | os.PathLike
    person: PersonRequest
    topology: str | os.PathLike | None = None
    face_encoder: str | os.PathLike | None = None
    approximate: bool = False
    after: str | os.PathLike | np.ndarray | None = None


class Run:
    """One run: inputs, settings, the device, dtype and cache that follow, and networks that runs may share."""

    def __init__(
        self,
        inputs: Inputs,
        settings: Settings,
        progress: Progress | None = None,
        networks: Networks | None = None,
    ):
        self.inputs, self.settings, self.networks = inputs, settings, networks or Networks()
        self.progress = progress or (lambda stage, done, total: None)
        self.device = named_device(settings.device)
        check_folder(inputs.model)
        self.folder = Path(inputs.model)
        on_cpu = self.device.type == "cpu"
        self.dtype = settings.dtype or (cpu_dtype(model_sizes(self.folder)) if on_cpu else torch.bfloat16)
        self.offload = "none" if on_cpu else settings.offload
        self.cache = cache_of(settings.cache)
        check_cache(self.cache)
        check_attention(settings.attention, self.device)

    def check_memory(self) -> None:
        """Raises RuntimeError when a stage needs more main memory than is free; nothing is loaded before."""
        check_stages(model_sizes(self.folder), self.dtype, self.device.type == "cpu")

    def check_length(self) -> None:
        """Raises ValueError for a number of frames that the model has no windows for, or a video that it cannot
        continue."""
        if self.settings.frames:
            latent_frames_for(self.settings.frames, self.sizes.latent_frames)
        if self.inputs.after is not None:
            last_frames(self.before, self.sizes.picture_size, self.sizes.latent_frames)

    @cached_property
    def sizes(self) -> TransformerConfig:
        """The model's sizes, from the headers of its files."""
        return transformer_config(open_checkpoint(self.folder))

    @cached_property
    def before(self) -> np.ndarray:
        """The frames of the video that is continued, np.uint8 [T,H,W,3]."""
        after = self.inputs.after
        return after if isinstance(after, np.ndarray) else read_video(after)

    def on_device(self, network):
        """A context with the network on the run's device."""
        return on_device(network, self.device, self.offload, streams=self.cache is None)

    def stored(self, transformer):
        """A context with the transformer's matrices stored as the settings say."""
        in_8_bits = self.settings.storage == STORAGES[1]
        return stored_in_8_bits(transformer, self.dtype) if in_8_bits else nullcontext()

    @contextmanager
    def mechanisms(self, transformer, injector: Injector):
        """The transformer with the identity and what makes it faster or smaller; yields the mechanisms' clock, and the
        layout of the processes."""
        settings = self.settings
        halves = 2 if settings.cfg > 1 else 1
        with explained(lambda: advice(model_sizes(self.folder), halves)):
            choices = False, settings.compile, settings.attention  # `stored` has seen to the 8 bits
            with attached(transformer, injector, self.cache, settings.steps, *choices) as clock:
                with split_for(settings.parallel, transformer, halves, settings.attention) as layout:
                    yield clock, layout

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Tells what is running, and when it has ended."""
        self.progress(name, 0, 1)
        yield
        self.progress(name, 1, 1)

    @property
    def adapter(self) -> IdentityAdapter:
        return self.networks.get(ADAPTER, lambda: load_adapter(self.folder, self.inputs.topology, self.dtype))

    @property
    def vae(self):
        return self.networks.get(VAE, self._load_vae)

    @property
    def transformer(self):
        return self.networks.get(TRANSFORMER, lambda: diffusers_host.load_transformer(self.folder, dtype=self.dtype))

    def _load_vae(self):
        vae = diffusers_models.load_vae(self.folder, self.dtype)
        if self.settings.tiling:
            diffusers_models.enable_tiling(vae)
        return vae
