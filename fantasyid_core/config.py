"""Sizes of the networks: frozen dataclasses, which state each number once.

`TransformerConfig` uses the official keys of `transformer/config.json`; its defaults are those of
CogVideoX-5B-I2V 1.0, the base of the released FantasyID. `AdapterConfig` describes the identity
branch and the injection. Both have a `tiny()` for tests and the demo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

PIXELS_PER_LATENT = 8
"""Of the CogVideoX VAE: pixels along a side of what one latent covers. (FantasyID-Tiny's own VAE covers 4.)"""


@dataclass(frozen=True)
class TransformerConfig:
    """Geometry and widths of the CogVideoX transformer (official key names)."""

    num_layers: int = 42
    num_attention_heads: int = 48
    attention_head_dim: int = 64
    in_channels: int = 32
    out_channels: int = 16
    time_embed_dim: int = 512
    text_embed_dim: int = 4096
    max_text_seq_length: int = 226
    sample_width: int = 90
    sample_height: int = 60
    sample_frames: int = 49
    patch_size: int = 2
    temporal_compression_ratio: int = 4
    spatial_interpolation_scale: float = 1.875
    temporal_interpolation_scale: float = 1.0

    @property
    def width(self) -> int:
        """D, the width of the hidden states."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def latent_frames(self) -> int:
        """T, the number of latent frames of the model's own length."""
        return (self.sample_frames - 1) // self.temporal_compression_ratio + 1

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """C, T, H, W of the one latent size that the learned position table fits."""
        return self.out_channels, self.latent_frames, self.sample_height, self.sample_width

    @property
    def video_tokens(self) -> int:
        """N, the number of video tokens."""
        return self.latent_frames * self.frame_grid[0] * self.frame_grid[1]

    @property
    def frame_grid(self) -> tuple[int, int]:
        """Rows and columns of the video tokens of a latent frame."""
        return self.sample_height // self.patch_size, self.sample_width // self.patch_size

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the video in pixels."""
        return self.sample_height * PIXELS_PER_LATENT, self.sample_width * PIXELS_PER_LATENT

    def describe_size(self) -> str:
        """The native size in words, e.g. `49 frames of 720x480`."""
        height, width = self.picture_size
        return f"{self.sample_frames} frames of {width}x{height}"

    @classmethod
    def tiny(cls, **changes) -> TransformerConfig:
        """Three heads (the host's constructor wants a width divisible by 3), two layers, 9 frames."""
        small = cls(
            num_layers=2,
            num_attention_heads=3,
            time_embed_dim=64,
            text_embed_dim=64,
            sample_width=12,
            sample_height=8,
            sample_frames=9,
        )
        return replace(small, **changes)


RELEASE, PAPER, CONSISID = "release", "paper", "consisid"
VARIANTS = (RELEASE, PAPER, CONSISID)


@dataclass(frozen=True)
class AdapterConfig:
    """Widths and counts of the identity branch and of the injection into the transformer.

    `variant`: "release", the official checkpoint's network; "paper", the one that the paper describes; or "consisid",
    ConsisID-preview's, which reads no 3D face.
    `interval`: a block i receives injection i // interval when i % interval == 0. None means that it
    follows from the number of blocks of the model that the adapter is attached to.

    Raises ValueError for sizes that no network can have.
    """

    variant: str = RELEASE
    injected_layers: int = 42
    interval: int | None = 1
    dit_width: int = 3072
    attention_heads: int = 16
    attention_head_dim: int = 128
    id_width: int = 2048
    # face abstractor
    vit_width: int = 1024
    vit_tokens: int = 577
    abstractor_width: int = 256
    abstractor_depth: int = 3
    face_tokens: int = 36
    feed_forward_ratio: int = 4
    # vertex encoder and fusion
    vertex_counts: tuple[int, ...] = (5023, 1256, 314)
    vertex_width: int = 128
    spiral_length: int = 9
    fusion_layers: int = 6
    fusion_heads: int = 4
    # reducer: width, kernel, stride of its four residual blocks
    reducer_widths: tuple[int, ...] = (256, 512, 1024, 2048)
    reducer_kernels: tuple[int, ...] = (5, 5, 3, 3)
    reducer_strides: tuple[int, ...] = (4, 4, 2, 2)
    # the paper variant alone: widths after each spiral convolution, the video tokens of a latent frame (h, w),
    # and what its Table 3 takes away
    spiral_widths: tuple[int, ...] = (128, 256)
    shape_components: int = 0  # every shape is projected onto so many principal components of people; 0: not at all
    grid: tuple[int, int] = (30, 45)
    use_face: bool = True
    use_vertices: bool = True
    shared_injection: bool = False
    # consisid alone: what its identity branch reads, its layers, and a factor of all that is injected
    identity_states: int = 5
    vector_width: int = 1280
    vector_tokens: int = 5
    extractor_depth: int = 10
    extractor_heads: int = 16
    extractor_head_dim: int = 64
    local_face_scale: float = 1.0

    def __post_init__(self):
        if self.variant not in VARIANTS:
            raise ValueError(f"Expected a variant among {', '.join(VARIANTS)}, got {self.variant!r}.")
        if self.variant == RELEASE and not (self.use_face and self.use_vertices and not self.shared_injection):
            raise ValueError("The release variant has no switches. Set use_face and the like on the paper variant.")
        if self.variant == PAPER:
            self._check_paper()
        if self.variant == CONSISID:
            self._check_consisid()

    def _check_consisid(self) -> None:
        # ConsisID reads no mesh, so it has no vertex counts.
        object.__setattr__(self, "vertex_counts", ())
        if self.identity_states < 1 or self.extractor_depth % self.identity_states:
            raise ValueError(
                f"Expected as many layers of the identity branch for each of its {self.identity_states} states, got "
                f"{self.extractor_depth} in all."
            )
        if not math.isfinite(self.local_face_scale):
            raise ValueError(f"Expected a finite local_face_scale (1 is usual), got {self.local_face_scale}.")

    def _check_paper(self) -> None:
        if not self.use_face:
            object.__setattr__(self, "face_tokens", 0)  # so that all counts are those of the tokens there are
        problems = {
            "use_face or use_vertices": self.use_face or self.use_vertices,
            "face_tokens above 0 with use_face": self.face_tokens > 0 or not self.use_face,
            f"id_width and the last of reducer_widths {self.dit_width}, the width of the transformer": (
                self.id_width == self.reducer_widths[-1] == self.dit_width
            ),
            "reducer_strides of 1": set(self.reducer_strides) == {1},
            f"{len(self.vertex_counts) - 1} spiral_widths, one per pooling": (
                len(self.spiral_widths) == len(self.vertex_counts) - 1
            ),
            "shape_components from 0 on": self.shape_components >= 0,
            "a grid of two numbers above 0": len(self.grid) == 2 and min(self.grid) > 0,
        }
        wrong = [wanted for wanted, holds in problems.items() if not holds]
        if wrong:
            raise ValueError(f"The sizes of the paper variant do not fit together: expected {'; '.join(wrong)}.")

    @property
    def is_paper(self) -> bool:
        return self.variant == PAPER

    @property
    def is_consisid(self) -> bool:
        return self.variant == CONSISID

    @property
    def reads_shape(self) -> bool:
        """Whether the identity tokens depend on a 3D face."""
        return not self.is_consisid and self.use_vertices

    @property
    def inner_width(self) -> int:
        """Width of Q, K and V: heads times head width."""
        return self.attention_heads * self.attention_head_dim

    @property
    def vertex_tokens(self) -> int:
        """Nv, what the reducer leaves of the vertices."""
        if not self.reads_shape:
            return 0
        if self.is_paper:
            return self.vertex_counts[-1]
        count = self.vertex_counts[0]
        for kernel, stride in zip(self.reducer_kernels, self.reducer_strides, strict=True):
            count = (count + 2 * (kernel // 2) - kernel) // stride + 1
        return count

    @property
    def id_tokens(self) -> int:
        """Nid, face tokens and vertex tokens together."""
        return self.face_tokens + self.vertex_tokens

    @classmethod
    def tiny(cls, **changes) -> AdapterConfig:
        """A few thousand parameters, fitting `TransformerConfig.tiny()` and the synthetic head."""
        small = cls(
            injected_layers=2,
            dit_width=192,
            attention_heads=2,
            attention_head_dim=16,
            id_width=32,
            vit_width=32,
            vit_tokens=17,
            abstractor_width=16,
            abstractor_depth=1,
            face_tokens=4,
            vertex_counts=(642, 162, 42),
            vertex_width=16,
            fusion_layers=2,
            fusion_heads=2,
            reducer_widths=(16, 16, 32, 32),
        )
        return replace(small, **changes)

    @classmethod
    def paper(cls, **changes) -> AdapterConfig:
        """The paper's network for CogVideoX-5B; the identity tokens are as wide as the transformer."""
        width = changes.get("dit_width", cls.dit_width)
        values = {
            "variant": PAPER,
            "id_width": width,
            "vertex_width": 512,
            "fusion_heads": 8,
            "reducer_widths": (512, 1024, 2048, width),
            "reducer_kernels": (3, 3, 3, 3),
            "reducer_strides": (1, 1, 1, 1),
        }
        return cls(**{**values, **changes})

    @classmethod
    def paper_tiny(cls, **changes) -> AdapterConfig:
        """The paper's network, fitting `TransformerConfig.tiny()` and the synthetic head."""
        width = changes.get("dit_width", 192)
        values = {
            "injected_layers": 2,
            "dit_width": width,
            "attention_heads": 2,
            "attention_head_dim": 16,
            "vit_width": 32,
            "vit_tokens": 17,
            "abstractor_width": 16,
            "abstractor_depth": 1,
            "face_tokens": 4,
            "vertex_counts": (642, 162, 42),
            "vertex_width": 32,
            "spiral_widths": (8, 16),
            "fusion_layers": 2,
            "fusion_heads": 2,
            "reducer_widths": (32, 32, 64, width),
            "grid": (4, 6),
        }
        return cls.paper(**{**values, **changes})

    @classmethod
    def consisid(cls, **changes) -> AdapterConfig:
        """ConsisID-preview's network for CogVideoX-5B."""
        return cls(**{"variant": CONSISID, "injected_layers": 21, "interval": 2, "face_tokens": 32, **changes})

    @classmethod
    def consisid_tiny(cls, **changes) -> AdapterConfig:
        """ConsisID's network, fitting `TransformerConfig.tiny()`."""
        values = {
            "injected_layers": 2,
            "interval": 1,
            "dit_width": 192,
            "attention_heads": 2,
            "attention_head_dim": 16,
            "id_width": 128,  # two thirds of dit_width, as diffusers has it
            "vit_width": 32,
            "vit_tokens": 17,
            "face_tokens": 8,
            "vector_width": 512 + 24,
            "extractor_heads": 2,
            "extractor_head_dim": 16,
        }
        return cls.consisid(**{**values, **changes})


def config_from_mapping(kind: type, values: Mapping, defaults=None):
    """The known keys of `values` over `defaults` (of `kind`); unknown keys are ignored, as diffusers does."""
    known = {field.name for field in fields(kind)}
    picked = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in known}
    return replace(defaults, **picked) if defaults is not None else kind(**picked)
