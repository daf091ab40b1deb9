"""Two prompts that name every input of every node, and what odd values make of them."""

from __future__ import annotations

import copy

from comfy_process import NodeError
from tiny_video import node

ODD = (
    None, True, -1, 0, 1, 7, 0.5, -0.25, 2**31, 2**63, 2**64, -(2**70), 1e308, float("nan"), float("inf"), "", " ", "x",
    "a" * 5000, "a\0b", "../../etc/passwd", "{}", "[]", "null", '{"version": 99}', "0:0, 1:1", "1,5", "視頻 😀", [], {},
    ["m", 99], ["nowhere", 0],
)  # fmt: skip
LONG = ("steps", "frames", "size", "count")  # inputs that a large number makes slow, and nothing else


def own(name: str, **inputs) -> dict:
    return node(f"FantasyID_{name}", **inputs)


def everything() -> dict:
    """FantasyID-Tiny with what comes along."""
    timing = {"start_percent": 0.0, "end_percent": 1.0, "fade_in": 0.0, "fade_out": 0.0, "schedule": ""}
    weights = {"layers": "all", "face_weight": 1.0, "shape_weight": 1.0, "feather": 0.0, "identity_guidance": 1.0}
    return {
        "m": own("LoadModel", model="FantasyID-Tiny", dtype="default (file's own)"),
        "p": own("SamplePerson", seed=1_000_000_000, picture=0),
        "cf": own("CropFace", image=["p", 2], detector="none", which_face="largest", number=0, padding=0.0,
                   hair_margin=0.0, neck_margin=0.0, rotation=0.0, points="", references=6),
        "e": own("EditShape", shape=["p", 1], edit="{}", flame="none"),
        "b": own("BlendShapes", shape_1=["p", 1], place='{"version": 1, "x": 0, "y": 0}', exaggeration=0.0,
                  shape_2=["e", 0], weights=""),
        "w": own("WarpFace", face=["p", 0], before=["p", 1], after=["e", 0]),
        "v": own("ShapePreview", shape=["e", 0], before=["p", 1], frames=1, size=64),
        "sf": own("SaveShape", shape=["b", 0], filename_prefix="soak/face", format=".ply"),
        "i": own("EncodeIdentity", adapter=["m", 1], encoder=["m", 4], face=["w", 0], shape=["e", 0],
                  references="average"),
        "si": own("SaveIdentity", identity=["i", 0], filename_prefix="soak/person"),
        "x": own("MixIdentities", identity_1=["i", 0], identity_2=["i", 0], weight_1=1.0, weight_2=1.0),
        "a": own("ApplyIdentity", model=["m", 0], adapter=["m", 1], identity=["x", 0], strength=1.0,
                  region="everywhere", **timing, **weights),
        "t": own("EncodePrompt", clip=["m", 2], text="nods"),
        "c": own("VideoConditioning", positive=["t", 0], negative=["t", 0], vae=["m", 3], face=["w", 0],
                  model=["m", 0]),
        "s": own("Sampler", model=["a", 0], positive=["c", 0], negative=["c", 1], latent=["c", 2], seed=0, steps=1,
                  cfg=1.0, solver="ddim", frames=0),
        "d": own("DecodeVideo", vae=["m", 3], latent=["s", 0], tile=0),
        "c2": own("VideoConditioning", positive=["t", 0], negative=["t", 0], vae=["m", 3], face=["w", 0],
                  model=["m", 0], video=["d", 0]),
        "s2": own("Sampler", model=["a", 0], positive=["c2", 0], negative=["c2", 1], latent=["c2", 2], seed=1, steps=1,
                  cfg=1.0, solver="ddim"),
        "d2": own("DecodeVideo", vae=["m", 3], latent=["s2", 0], tile=0, video=["d", 0]),
        "o2": node("PreviewImage", images=["d2", 0]),
        "o": node("PreviewImage", images=["d", 0]),
    }  # fmt: skip


def with_files(saved: str) -> dict:
    """What reads files, and what looks at faces: the small release, stand-ins of the licensed files, and ArcFace's.
    saved: the name of a saved person."""
    photo = {"image": ["ph", 0]}
    return {
        "ph": node("LoadImage", image="one.jpg"),
        "m": own("LoadModel", model="FantasyID", dtype="fp32"),
        "la": own("LoadAdapter", adapter="odd.safetensors", dtype="fp32"),
        "lf": own("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32"),
        "lo": own("LoadLoRA", model=["m", 0], lora="odd.safetensors", strength=0.5),
        "ls": own("LoadShape", shape="face.ply"),
        "li": own("LoadIdentity", file=saved, adapter=["la", 0], force=False),
        "v": node("VAELoader", vae_name="cogvideox_vae.safetensors"),
        "cl": node("CLIPLoader", clip_name="t5xxl_fp16.safetensors", type="cogvideox"),
        "cf": own("CropFace", **photo, detector="mediapipe", which_face="most alike", number=0, padding=0.0,
                  hair_margin=0.0, neck_margin=0.0, rotation=0.0, points="", like=["ph", 0], references=6,
                  border="extended"),
        "rf": own("ReconstructFace", face=["cf", 0], deca="auto", flame="auto", pose="neutral", region="landmarks",
                  keep_jaw=True, keep_turn=True, method="landmarks", likeness=0.5),
        "e": own("EditShape", shape=["ls", 0], edit="{}", flame="none", adapter=["la", 0], encoder=["lf", 0],
                 face=["cf", 0]),
        "i": own("EncodeIdentity", adapter=["m", 1], encoder=["lf", 0], face=["cf", 0], shape=["ls", 0],
                 references="average", approximate=False),
        "mi": own("MixIdentities", identity_1=["i", 0], identity_2=["i", 0], identity_3=["i", 0], identity_4=["i", 0],
                  weight_1=1.0, weight_2=1.0, weight_3=1.0, weight_4=1.0),
        "si": own("SaveIdentity", identity=["li", 0], filename_prefix="odd/person"),
        "b": own("BlendShapes", place="", exaggeration=0.0, weights="",
                 **{f"shape_{number}": ["ls", 0] for number in range(1, 7)}),
        "a": own("ApplyIdentity", model=["lo", 0], adapter=["m", 1], identity=["mi", 0], strength=1.0, mask=["ph", 1]),
        "t": own("EncodePrompt", clip=["cl", 0], text="nods"),
        "c": own("VideoConditioning", positive=["t", 0], negative=["t", 0], vae=["v", 0], face=["cf", 0],
                 model=["m", 0]),
        "sb": own("SampleBest", model=["a", 0], positive=["c", 0], negative=["c", 1], latent=["c", 2], vae=["v", 0],
                  face=["cf", 0], seed=0, count=1, preview_at=0.0, steps=1, cfg=1.0, solver="ddim", motion_weight=0.25),
        "d": own("DecodeVideo", vae=["v", 0], latent=["sb", 0], tile=0),
        "sc": own("ScoreIdentity", image=["ph", 0], face=["cf", 0], detector="mediapipe", shape_before=["ls", 0],
                  shape_after=["b", 0]),
        "rv": own("ReshapeVideo", images=["ph", 0], strength=1.0, shape_before=["ls", 0], shape_after=["b", 0], edit="",
                  which_face="largest", number=0, smoothing=1.5, only_the_rest=False, schedule="", in_front=1.0,
                  like=["ph", 0]),
        "o": node("PreviewImage", images=["d", 0]),
        "o2": node("PreviewImage", images=["sc", 3]),
    }  # fmt: skip


def known_to(host, prompt: dict) -> dict:
    """The prompt without nodes that this version of the pack does not have."""
    return {name: each for name, each in prompt.items() if each["class_type"] in host.node_classes}


def places(prompt: dict, done: dict | None = None) -> list[tuple[str, str, object]]:
    """Every input of every node of the pack once, with every odd value; those that make the run long are left out, and
    those that another prompt `done` has, too."""
    tried = {(each["class_type"], key) for each in (done or {}).values() for key in each["inputs"]}
    found = []
    for name, each in prompt.items():
        own_keys = [key for key in each["inputs"] if (each["class_type"], key) not in tried]
        tried.update((each["class_type"], key) for key in own_keys)
        if each["class_type"].startswith("FantasyID_"):
            found += [
                (name, key, value)
                for key in own_keys
                for value in ODD
                if not (key in LONG and isinstance(value, int) and value > 7)
            ]
    return found


def feed(host, prompt: dict, chosen) -> list[str]:
    """Runs the prompt once for each chosen (node, input, value); returns what failed with words that are not ours."""
    wrong = []
    for name, key, value in chosen:
        changed = copy.deepcopy(prompt)
        changed[name]["inputs"][key] = value
        try:
            host.run(changed, cached=True)
        except NodeError:
            if below := _failed_below(host):
                wrong.append(f"{changed[name]['class_type']}.{key} = {str(value)[:40]!r}: {below}")
        except Exception as error:  # the host itself does not take the value; no node has run
            assert not isinstance(error, AssertionError)
    return wrong


def _failed_below(host) -> str | None:
    """The last frame of the traceback of the last run, where it lies in no file of the pack."""
    for event, data in host._executor.status_messages if host._executor else ():
        if event == "execution_error" and data["node_type"].startswith("FantasyID"):
            last = data["traceback"][-1].strip().splitlines()[0]
            if "fantasyid_core" not in last and "/nodes/" not in last.replace("\\", "/"):
                return f"{data['exception_type']}: {data['exception_message']} {last}"
    return None
