"""FantasyID: one photo and a 3D face become the identity of a video (arXiv 2502.13995).

Read the package in the order of the data flow:
`face` (picture -> crop -> ViT features), `shape` (files, mesh topology -> vertices),
`identity` (features + vertices -> identity tokens -> what each DiT block receives),
`host` (ComfyUI and diffusers: the only folder that imports them), `sampling`, `video`, `pipeline`.

One legend for every shape comment in the project:
B batch · V=5023 FLAME vertices · P=577 ViT tokens · Nf=36 face tokens · Nv=79 vertex tokens ·
Nid=Nf+Nv identity tokens · Cid=2048 their width · L injected layers · D=3072 DiT width ·
H=16 heads of Dh=128 · T=13 latent frames · N=17550 video tokens.
`image` is BHWC in 0..1, `pixels` is BCHW; `_feats` is an encoder's output,
`_tokens` is a sequence ready for attention.

Importing this package costs nothing: torch and the rest are imported on first use.
"""

__version__ = "0.1.0"

__all__ = ["load_adapter"]


def __getattr__(name: str):
    if name == "load_adapter":
        from .weights.adapter import load_adapter

        return load_adapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
