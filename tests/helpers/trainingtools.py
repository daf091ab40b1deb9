"""A small model, clips of noise and a config, for the tests of the trainer."""

from __future__ import annotations

import numpy as np
import torch

from fantasyid_core.config import TransformerConfig
from fantasyid_core.shape.head import synthetic_head
from fantasyid_core.tools.random_model import write_random_model
from fantasyid_core.training.batches import Batch
from fantasyid_core.training.build import build_models
from fantasyid_core.training.config import config_from_dict

TINY = dict(
    vit_width=32, vit_tokens=17, abstractor_width=16, abstractor_depth=1, face_tokens=4, vertex_width=16,
    fusion_layers=2, fusion_heads=2, reducer_widths=[16, 16, 32, 32], id_width=32, attention_heads=2,
    attention_head_dim=16,
)  # fmt: skip


def write_model(folder):
    """A model folder with few text tokens, so that a step takes a tenth of a second."""
    return write_random_model(folder, transformer=TransformerConfig.tiny(max_text_seq_length=16))


def make_config(output, folder, steps=4, **groups):
    """A run of a few steps on the model in `folder`; groups are merged into the defaults."""
    content = {
        "output": str(output),
        "steps": steps,
        "precision": "fp32",
        "device": "cpu",
        "log_every": 1,
        "model": {"folder": str(folder), "variant": "release", "sizes": TINY, "gradient_checkpointing": False},
        "data": {"kind": "index", "folder": "unused", "cache": str(output / "cache")},
        "optimizer": {"lr": 1e-2, "batch": 2, "accumulation": 2, "warmup": 1, "ema": 0.9},
        "condition": {"picture": "none"},
        "identity": {"null_text": 0.3, "null_identity": 0.2, "null_face": 0.2, "null_vertices": 0.2},
        "checkpoints": {"every": 2},
        "validation": {"every": 0},
    }
    for name, group in groups.items():
        content[name] = content.get(name, {}) | group if isinstance(group, dict) else group
    return config_from_dict(content)


class NoiseSource:
    """Clips of latents of noise, each of another made-up person; what is random follows from index and rng."""

    fingerprint = "noise"

    def __init__(self, count=6, shape=(3, 16, 8, 12), views=3):
        self.count, self.shape, self.views = count, shape, views
        self.read: list[str] = []  # names in the order in which they were asked for

    def __len__(self):
        return self.count

    def pictures(self, index):
        generator = np.random.default_rng(index)
        return generator.integers(0, 256, (9, 64, 96, 3), dtype=np.uint8)

    def vertices(self, indices):
        return np.stack([synthetic_head()[0].numpy() * (1 + 0.01 * i) for i in indices]).astype(np.float32)

    def batch(self, indices, rng):
        choice = rng.integers(self.views, size=len(indices))
        names = [f"clip {i}" for i in indices]
        self.read += names
        rows = [np.random.default_rng(100 + i) for i in indices]
        return Batch(
            names=names,
            texts=[f"person {i} nods" for i in indices],
            vertices=self.vertices(indices),
            references=np.stack(
                [
                    np.random.default_rng([i, c]).integers(0, 256, (32, 32, 3), np.uint8)
                    for i, c in zip(indices, choice, strict=True)
                ]
            ),
            first=np.stack([self.pictures(i)[0] for i in indices]),
            latents=np.stack([row.standard_normal(self.shape).astype(np.float32) for row in rows]),
        )


def make_models(config):
    """The models of a config whose adapter is no longer zero at its end, so that gradients reach all of it."""
    models = build_models(config)
    with torch.no_grad():
        for layer in models.adapter.layers:
            layer.to_out.weight.copy_(0.02 * torch.randn_like(layer.to_out.weight))
    return models
