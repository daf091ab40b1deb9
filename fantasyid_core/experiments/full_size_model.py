"""Writes a model folder in the official layout and at the official size, with random weights, tensor by tensor.

The transformer, the text encoder and the VAE are stored in bfloat16 and in shards of at most 5 GB, as the release is.
The numbers of a tensor are cut from one long row of random numbers, which is faster than drawing 12 billion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..config import AdapterConfig, TransformerConfig
from ..face.encoder import EvaConfig, FaceEncoder, save_face_encoder
from ..files.tensorfile import Announced, write_announced
from ..files.writing import write_aside
from ..host.diffusers.others import write_tokenizer
from ..shape.topology.topology import Topology, save_topology
from ..tools.bench import stand_in_topology
from ..tools.random_model import SCHEDULER, transformer_shapes, weight_scale, write_json
from ..weights.adapter import METADATA_KEY, adapter_shapes, published_name

DTYPE = torch.bfloat16
_ROW = 2**22 + 1  # odd, so that tensors of usual sizes begin at different places
_T5_XXL = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
_T5_SMALL = {"vocab_size": 384, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
_VAE_SMALL = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1}
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of all networks of a folder, by default the official ones. shard: bytes of a file at most."""

    transformer: TransformerConfig = TransformerConfig()
    adapter: AdapterConfig = AdapterConfig()
    face: EvaConfig = EvaConfig()
    text: Mapping[str, int] = field(default_factory=lambda: _T5_XXL)
    vae: Mapping = field(default_factory=dict)
    shard: int = 5 * 10**9

    @classmethod
    def small(cls) -> ModelSizes:
        """A folder of a few MB in several shards, for tests."""
        face = EvaConfig.tiny(width=32, image_size=56)
        return cls(TransformerConfig.tiny(), AdapterConfig.tiny(), face, _T5_SMALL, _VAE_SMALL, 10**6)


def write_model(folder: Path, sizes: ModelSizes, progress: Callable[[str], None] = lambda text: None) -> Path:
    """Writes the folder and returns it. Raises OSError when the disk is full."""
    numbers, topology = _Numbers(), make_topology(sizes.adapter)
    for name, shapes, config in (
        ("transformer", *_transformer(sizes, topology)),
        ("text_encoder", *_text_encoder(sizes)),
        ("vae", *_vae(sizes)),
    ):
        progress(f"writing {name}")
        stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        write_shards(folder / name, stem, shapes, numbers, sizes.shard)
        write_json(folder / name / "config.json", config)
    progress("writing the rest")
    write_tokenizer(folder / "tokenizer")
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    save_face_encoder(_face_encoder(sizes.face, numbers), folder / "face_encoder" / "eva.safetensors")
    save_topology(topology, folder / "topology.safetensors")
    return folder


def make_topology(config: AdapterConfig) -> Topology:
    """The stand-in for the licensed mesh, with a ball of the size of a head as its template."""
    count = torch.arange(config.vertex_counts[0])
    height, angle = 1 - 2 * (count + 0.5) / len(count), count * 2.399963
    around = (1 - height**2).sqrt()
    ball = torch.stack([around * angle.cos(), height, around * angle.sin()], dim=1)
    return replace(stand_in_topology(config), template=0.1 * ball.float())


def write_shards(folder: Path, stem: str, shapes: Shapes, numbers: _Numbers, limit: int) -> list[Path]:
    """Writes random tensors into as many files as `limit` bytes each ask for, with an index where there are several."""
    parts = list(_parts(shapes, limit))
    alone = f"{stem}.safetensors"
    names = [f"{stem}-{part + 1:05d}-of-{len(parts):05d}.safetensors" for part in range(len(parts))]
    names = [alone] if len(parts) == 1 else names
    for name, part in zip(names, parts, strict=True):
        announced = [Announced(key, DTYPE, shape, _bytes(shape)) for key, shape in part.items()]
        tensors = (numbers.take(key, shape) for key, shape in part.items())
        with write_aside(folder / name) as aside:
            write_announced(aside, announced, tensors, {"format": "pt"})
    if len(parts) > 1:
        places = {key: name for name, part in zip(names, parts, strict=True) for key in part}
        total = sum(_bytes(shape) for shape in shapes.values())
        write_json(folder / f"{alone}.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    return [folder / name for name in names]


def _parts(shapes: Shapes, limit: int) -> Iterator[dict[str, tuple[int, ...]]]:
    part, size = {}, 0
    for key, shape in shapes.items():
        if part and size + _bytes(shape) > limit:
            yield part
            part, size = {}, 0
        part[key], size = shape, size + _bytes(shape)
    yield part


def _bytes(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel() * DTYPE.itemsize


class _Numbers:
    """One long row of normal random numbers, from which tensors are cut one after the other."""

    def __init__(self, seed: int = 0):
        self._row, self._place = torch.randn(_ROW, generator=torch.Generator().manual_seed(seed)), 0

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype = DTYPE) -> Tensor:
        """A matrix of mean 0, scaled by its inputs; of vectors, weights are 1 and all else is 0."""
        if len(shape) < 2:
            return torch.full(shape, float(name.endswith("weight")), dtype=dtype)
        parts, missing = [], torch.Size(shape).numel()
        while missing:
            part = self._row[self._place : self._place + missing]
            parts.append(part.mul(weight_scale(name, shape)).to(dtype))
            self._place, missing = (self._place + len(part)) % _ROW, missing - len(part)
        return torch.cat(parts).view(shape)


def _transformer(sizes: ModelSizes, topology: Topology) -> tuple[dict, dict]:
    published, adapter = published_name(sizes.adapter), sizes.adapter
    shapes = dict(transformer_shapes(sizes.transformer))
    shapes |= {published(name): shape for name, shape in adapter_shapes(adapter, topology).items()}
    stated = {"cross_attn_interval": adapter.interval, METADATA_KEY: asdict(adapter)}
    positions = {"use_learned_positional_embeddings": True, "use_rotary_positional_embeddings": True}
    return shapes, {
        "_class_name": "CogVideoXTransformer3DModel", **asdict(sizes.transformer), **positions, **stated,
    }  # fmt: skip


def _text_encoder(sizes: ModelSizes) -> tuple[dict, dict]:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(**sizes.text, feed_forward_proj="gated-gelu", architectures=["T5EncoderModel"])
    with torch.device("meta"):
        state = T5EncoderModel(config).state_dict()
    # The embedding has a second name, which official files leave out.
    shapes = {name: tuple(value.shape) for name, value in state.items() if "embed_tokens" not in name}
    return shapes, json.loads(config.to_json_string())


def _vae(sizes: ModelSizes) -> tuple[dict, dict]:
    from ..host.diffusers.others import empty_vae

    height, width = sizes.transformer.picture_size
    vae = empty_vae(sample_height=height, sample_width=width, scaling_factor=0.7, **sizes.vae)
    return {name: tuple(value.shape) for name, value in vae.state_dict().items()}, dict(vae.config)


def _face_encoder(config: EvaConfig, numbers: _Numbers) -> FaceEncoder:
    encoder = FaceEncoder(config)
    shapes = {name: tuple(value.shape) for name, value in encoder.trunk.state_dict().items()}
    state = {name: numbers.take(name, shape, torch.float16) for name, shape in shapes.items()}
    encoder.trunk.load_state_dict(state, assign=True)
    return encoder
