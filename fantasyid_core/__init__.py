"""FantasyID: one photo and a 3D face become the identity of a video (arXiv 2502.13995).

The method itself is in `identity`; begin there. The rooms stand in the order of imports, and each imports only what
stands above it (`tests/core/test_architecture.py` holds this):

    `config`          sizes of the networks, each number once
    `options`         the words that users choose among
    `running`         how far long work is, whether it shall go on, and which packages it needs
    `modelfiles`      the model files that users bring: what, where from, whether sound
    `sampling`        the solvers, windows over longer videos, continuations
    `files`           reading and writing files that anybody may have made
    `videofile`       frames to an .mp4 and back
    `face`            photo -> faces -> crop -> ViT features
    `shape`           the 3D face: files, from a photo, mesh levels, sliders, pictures
    `identity`        THE METHOD: features and vertices -> identity tokens -> what each block receives
    `weights`         checkpoints <-> adapter, transformer, LoRA
    `host/diffusers`  the method on diffusers
    `machine`         networks in memory, and the plans that fit into it
    `request`         who is meant: photos, which face, which 3D face
    `pipeline`        photo -> video, from top to bottom
    `jobs`            many videos: each once, whatever happens in between
    `evaluation`      how good a video is
    `people`          drawn people, and the instruments that read them
    `tinymodel`       FantasyID-Tiny, the small model that comes along
    `training`        the trainer
    `host/comfy`      the method on ComfyUI
    `tools`           convert, inspect, diagnose, download, bench, demo
    `experiments`     how FantasyID-Tiny is made and judged
    `cli`             the commands

One legend for every shape comment in the project:
B batch · V=5023 FLAME vertices · P=577 ViT tokens · Nf=36 face tokens · Nv vertex tokens (79 release, 314 paper) ·
Nid=Nf+Nv identity tokens · Cid=2048 their width · L injected layers · D=3072 DiT width ·
H=16 heads of Dh=128 · T=13 latent frames · N=17550 video tokens.
`image` is BHWC in 0..1, `pixels` is BCHW; `_embed` is one vector per picture, `_feats` is an encoder's output,
`_tokens` is a sequence ready for attention, `_params` is a named tuple.

Importing this package costs nothing: torch and the rest are imported on first use.
"""

__version__ = "0.1.0"

__all__ = ["load_adapter"]


def __getattr__(name: str):
    if name == "load_adapter":
        from .weights.adapter import load_adapter

        return load_adapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
