"""The workflow from a person to frames in API form: with FantasyID-Tiny, or with the small release beside it."""

from __future__ import annotations

PROMPT = "turns the head to the left, blue background"


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def video(steps=2, cfg=3.0):
    """FantasyID-Tiny's own workflow, from Load Model to frames."""
    own = lambda name, **inputs: node(f"FantasyID_{name}", **inputs)  # noqa: E731
    return {
        "m": own("LoadModel", model="FantasyID-Tiny", dtype="default (file's own)"),
        "p": own("SamplePerson", seed=1_000_000_000, picture=0),
        "i": own("EncodeIdentity", adapter=["m", 1], encoder=["m", 4], face=["p", 0], shape=["p", 1]),
        "a": own("ApplyIdentity", model=["m", 0], adapter=["m", 1], identity=["i", 0], strength=1.0),
        "t": own("EncodePrompt", clip=["m", 2], text=PROMPT),
        "n": own("EncodePrompt", clip=["m", 2], text=""),
        "c": own("VideoConditioning", positive=["t", 0], negative=["n", 0], vae=["m", 3], face=["p", 0],
                 model=["m", 0]),
        "s": own("Sampler", model=["a", 0], positive=["c", 0], negative=["c", 1], latent=["c", 2], seed=0,
                 steps=steps, cfg=cfg, solver="dpm"),
        "d": own("DecodeVideo", vae=["m", 3], latent=["s", 0], tile=0),
        "o": node("PreviewImage", images=["d", 0]),
    }  # fmt: skip


def release_video() -> dict:
    """A small release beside FantasyID-Tiny: the prompt, whose model is the release."""
    own = lambda name, **inputs: node(f"FantasyID_{name}", **inputs)  # noqa: E731
    prompt = video(1)
    prompt["tiny"] = prompt["m"]
    prompt["m"] = own("LoadModel", model="FantasyID", dtype="fp32")
    prompt["v"] = node("VAELoader", vae_name="cogvideox_vae.safetensors")
    prompt["cl"] = node("CLIPLoader", clip_name="t5xxl_fp16.safetensors", type="cogvideox")
    prompt["e"] = own("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32")
    prompt["sh"] = own("LoadShape", shape="face.ply")
    prompt["i"]["inputs"].update(encoder=["e", 0], shape=["sh", 0])
    for name in ("t", "n"):
        prompt[name]["inputs"]["clip"] = ["cl", 0]
    for name in ("c", "d"):
        prompt[name]["inputs"]["vae"] = ["v", 0]
    return prompt
