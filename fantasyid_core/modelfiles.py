"""The model files that the user brings: what each is for, where it comes from and where it belongs.

One table drives install.py, the loaders' error texts and the README. Only the standard library is
used and nothing of the package is imported, so that install.py can load this file on a bare Python.
Nothing here downloads or opens a model file.

Licences and sources: the official repository's README and model cards (FantasyID, arXiv 2502.13995).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

DEFAULT_COMFYUI = "~/comfy/ComfyUI"  # where comfy-cli puts the host


@dataclass(frozen=True)
class ModelFile:
    """One row of the table. Folders are written with "/" and are relative to ComfyUI's models folder."""

    key: str  # short and permanent: what code and the command line call this row
    name: str
    purpose: str
    licence: str
    sources: tuple[str, ...]  # official addresses, the first one is shown first
    belongs: str  # where to put it; other names are found too, see patterns
    patterns: tuple[str, ...]  # what counts as this file, in lower case; the first match is taken
    in_release: str  # the same thing inside a FantasyID release folder
    without: str  # what does not work as long as it is missing
    required: bool = True
    size: int | None = None  # bytes of the official file, where known
    elsewhere: tuple[str, ...] = ()  # well-known places outside of the models folders, "~" is the home folder

    def advice(self) -> str:
        """One sentence: where the file belongs, where to get it, and under which licence."""
        return f"put it in models/{self.belongs}; get it from {' or '.join(self.sources)} ({self.licence})"

    def size_problem(self, path: Path) -> str | None:
        """Why the file at `path` cannot be complete, or None when its size is right or not known.

        Converted files have other names and sizes than the official one, so they are not judged.
        """
        official = path.name.lower() == self.belongs.rsplit("/")[-1].lower()
        if self.size is None or not official or path.stat().st_size == self.size:
            return None
        return (
            f"expected {self.size} bytes, got {path.stat().st_size}: "
            "the download is probably incomplete, so fetch it again"
        )


COGVIDEOX = "https://huggingface.co/THUDM/CogVideoX-5b-I2V"
OFFICIAL = "https://github.com/Fantasy-AMAP/fantasy-id"
INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download/v0.7/antelopev2.zip"
FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/v0.1.0"
FACE_FOLDERS = ("facedetection", "face_detection", "facexlib")


def _in_fantasyid(*names: str) -> tuple[str, ...]:
    # Beside each other, one folder deeper, and in the layout of the official repositories.
    folders = ("fantasyid", "fantasyid/*", "fantasyid/*/data", "fantasyid/*/assets")
    return tuple(f"{folder}/{name}" for name in names for folder in folders)


def _in_insightface(*names: str) -> tuple[str, ...]:
    folders = ("insightface/models/*", "insightface/*", "insightface", "fantasyid/*/models/*")
    return tuple(f"{folder}/{name}" for name in names for folder in folders)


def _in_home(*names: str) -> tuple[str, ...]:
    packs = ("antelopev2", "antelopev2/antelopev2", "buffalo_l")  # the zip file nests its folder
    return tuple(f"~/.insightface/models/{pack}/{name}" for name in names for pack in packs)


MODEL_FILES = (
    ModelFile(
        key="weights",
        name="FantasyID weights",
        purpose="the video model together with the identity networks",
        licence="tagged Apache-2.0; based on CogVideoX-5B: own licence, register for commercial use",
        sources=(
            "https://huggingface.co/acvlab/FantasyID",
            "https://www.modelscope.cn/models/amap_cvlab/FantasyID",
        ),
        belongs="fantasyid/<release folder>/transformer",
        patterns=tuple(
            f"fantasyid/*/{folder}/*.{suffix}"
            for suffix in ("safetensors", "bin", "pt")
            for folder in ("transformer_ema", "transformer")
        )
        + ("fantasyid/*adapter*.safetensors",),
        in_release="transformer or transformer_ema",
        without="no video can be made",
    ),
    ModelFile(
        key="vae",
        name="CogVideoX VAE",
        purpose="turns pictures into latents and latents into the video",
        licence="CogVideoX licence",
        sources=(f"{COGVIDEOX}/tree/main/vae",),
        belongs="vae/cogvideox_vae.safetensors",
        patterns=(
            "vae/*cogvideo*.safetensors",
            "vae/*cogvideo*/*.safetensors",
            "fantasyid/*/vae/*.safetensors",
        ),
        in_release="vae",
        without="no video can be made",
    ),
    ModelFile(
        key="t5",
        name="T5-XXL text encoder",
        purpose="reads the prompt",
        licence="Apache-2.0",
        sources=(
            f"{COGVIDEOX}/tree/main/text_encoder",
            "https://huggingface.co/comfyanonymous/flux_text_encoders",
        ),
        belongs="text_encoders/t5xxl_fp16.safetensors",
        # Not "*t5*xxl*": that would take UMT5-XXL, the encoder of another video model, for it.
        patterns=tuple(
            f"{folder}/{name}"
            for folder in ("text_encoders", "clip")
            for name in ("t5*xxl*.safetensors", "*[-_]t5*xxl*.safetensors", "t5*xxl*/*.safetensors")
        )
        + ("fantasyid/*/text_encoder/*.safetensors",),
        in_release="text_encoder",
        without="prompts cannot be read",
    ),
    ModelFile(
        key="eva_clip",
        name="EVA02_CLIP_L_336_psz14_s6B.pt",
        purpose="sees the face: picture to features",
        licence="MIT",
        sources=("https://huggingface.co/QuanSun/EVA-CLIP",),
        belongs="clip_vision/EVA02_CLIP_L_336_psz14_s6B.pt",
        patterns=(
            "clip_vision/eva02_clip_l_336_psz14_s6b.*",
            "clip_vision/*/eva02_clip_l_336_psz14_s6b.*",
            "fantasyid/*/face_encoder/eva02_clip_l_336_psz14_s6b.*",
        ),
        in_release="face_encoder",
        without="no face can be encoded",
    ),
    ModelFile(
        key="topology",
        name="transform.pkl",
        purpose="the levels of the FLAME mesh: which vertices belong together",
        licence="Apache-2.0",
        sources=(f"{OFFICIAL}/blob/main/assets/transform.pkl",),
        belongs="fantasyid/transform.pkl",
        patterns=(
            "fantasyid/transform.pkl",
            "fantasyid/*/transform.pkl",
            "fantasyid/*/assets/transform.pkl",
            "fantasyid/topology*.safetensors",
            "fantasyid/*/topology*.safetensors",
        ),
        in_release="transform.pkl or assets/transform.pkl",
        without="the 3D face cannot be encoded",
        size=873404,
    ),
    ModelFile(
        key="landmarks",
        name="landmark_embedding.npy",
        purpose="where the 68 landmarks lie on the FLAME mesh",
        licence="Apache-2.0",
        sources=(f"{OFFICIAL}/blob/main/data/landmark_embedding.npy",),
        belongs="fantasyid/landmark_embedding.npy",
        patterns=_in_fantasyid("landmark_embedding.npy"),
        in_release="data/landmark_embedding.npy",
        without="a reconstructed 3D face has no landmarks, and approximate points are not refined",
        required=False,
        size=31292,
    ),
    ModelFile(
        key="deca",
        name="deca_model.tar",
        purpose="estimates the 3D face from a photo",
        licence="MPI, non-commercial, after registration",
        sources=("https://deca.is.tue.mpg.de",),
        belongs="fantasyid/deca_model.tar",
        patterns=_in_fantasyid("deca_model.tar"),
        in_release="data/deca_model.tar",
        without="no 3D face can be made from a photo; load one from a file instead",
        required=False,
    ),
    ModelFile(
        key="flame",
        name="FLAME head model",
        purpose="turns the estimated numbers into the 3D face",
        licence="FLAME 2023 Open: CC-BY-4.0; FLAME 2020: non-commercial; both after registration",
        sources=("https://flame.is.tue.mpg.de",),
        belongs="fantasyid/generic_model.pkl",
        patterns=_in_fantasyid("generic_model.pkl", "flame2023*.pkl", "flame2020*.pkl"),
        in_release="data/generic_model.pkl",
        without="no 3D face can be made from a photo; load one from a file instead",
        required=False,
    ),
    ModelFile(
        key="insightface_detector",
        name="scrfd_10g_bnkps.onnx",
        purpose="finds faces (detector insightface)",
        licence="InsightFace, non-commercial",
        sources=(INSIGHTFACE,),
        belongs="insightface/models/antelopev2/scrfd_10g_bnkps.onnx",
        patterns=_in_insightface("scrfd_10g_bnkps.onnx", "det_10g.onnx"),
        in_release="models/antelopev2",
        without="the detector insightface does not work; others find faces, too",
        required=False,
        elsewhere=_in_home("scrfd_10g_bnkps.onnx", "det_10g.onnx"),
    ),
    ModelFile(
        key="arcface",
        name="glintr100.onnx",
        purpose="tells people apart (ArcFace)",
        licence="InsightFace, non-commercial",
        sources=(INSIGHTFACE,),
        belongs="insightface/models/antelopev2/glintr100.onnx",
        patterns=_in_insightface("glintr100.onnx", "w600k_r50.onnx"),
        in_release="models/antelopev2",
        without="faces cannot be chosen by likeness, and an odd one among references is not reported",
        required=False,
        elsewhere=_in_home("glintr100.onnx", "w600k_r50.onnx"),
    ),
    ModelFile(
        key="yunet",
        name="yunet_final.pth",
        purpose="finds faces (detector yunet)",
        licence="MIT",
        sources=("https://huggingface.co/kornia/yunet", "https://github.com/kornia/data"),
        belongs="facedetection/yunet_final.pth",
        patterns=(*(f"{folder}/yunet_final.pth" for folder in FACE_FOLDERS), *_in_fantasyid("yunet_final.pth")),
        in_release="yunet_final.pth",
        without="the detector yunet does not work; others find faces, too",
        required=False,
        elsewhere=("~/.cache/torch/hub/checkpoints/yunet_final.pth",),
    ),
    ModelFile(
        key="retinaface",
        name="detection_Resnet50_Final.pth",
        purpose="finds faces as the official code does (detector retinaface)",
        licence="MIT",
        sources=(f"{FACEXLIB}/detection_Resnet50_Final.pth",),
        belongs="facedetection/detection_Resnet50_Final.pth",
        patterns=(
            *(f"{folder}/detection_resnet50_final.pth" for folder in FACE_FOLDERS),
            *_in_fantasyid("detection_resnet50_final.pth"),
            "fantasyid/*/face_encoder/detection_resnet50_final.pth",
        ),
        in_release="face_encoder",
        without="the detector retinaface does not work; others find faces, too",
        required=False,
        size=109497761,
    ),
)


def model_file(key: str) -> ModelFile:
    """The row with this key; ValueError naming the keys when there is none."""
    for row in MODEL_FILES:
        if row.key == key:
            return row
    raise ValueError(f"Expected one of {', '.join(row.key for row in MODEL_FILES)}, got {key!r}.")


def find_model_file(key: str, folders: Iterable[str | os.PathLike] = ()) -> Path | None:
    """Where the file of a row is, or None. `folders` are ComfyUI "models" folders or a FantasyID release folder.

    Without folders: those of `default_folders`, and the row's well-known places outside of them.
    """
    row, folders = model_file(key), [Path(folder).expanduser() for folder in folders]
    for folder in folders or default_folders():
        if path := _first_match(folder, row.patterns + (_release_patterns(row) if _is_release(folder) else ())):
            return path
    outside = (Path(place).expanduser() for place in (() if folders else row.elsewhere))
    return next((path for path in outside if path.is_file()), None)


def default_folders(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The models folders of this machine: those in FANTASYID_MODELS (separated as in PATH), then the host's."""
    named = [Path(part).expanduser() for part in environment.get("FANTASYID_MODELS", "").split(os.pathsep) if part]
    host = find_models_folder(Path(__file__).absolute().parents[1], environment)
    return [*named, host] if host else named


def missing_file(key: str) -> str:
    """For error texts: which file is missing, what for, where it belongs, where it comes from, its licence."""
    row = model_file(key)
    return f"The model file {row.name} is missing ({row.purpose}); without it {row.without}. {_capital(origin(key))}."


def origin(key: str) -> str:
    """Where a row's file comes from: "get it from X and put it into models/Y (licence)"."""
    row = model_file(key)
    return f"get it from {' or '.join(row.sources)} and put it into models/{row.belongs} ({row.licence})"



def find_model_files(models_folder: str | os.PathLike | None) -> list[tuple[ModelFile, Path | None]]:
    """Every row of the table with the path at which it was found below `models_folder`, or None.

    `models_folder` None, or one that does not exist, gives a table of missing files. Upper and lower
    case are alike; only the folders that a row names are read, links are followed.
    """
    if models_folder is None:
        return [(row, None) for row in MODEL_FILES]
    return [(row, _first_match(Path(models_folder), row.patterns)) for row in MODEL_FILES]


def find_models_folder(pack: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """ComfyUI's models folder: beside custom_nodes when `pack` lies in it, else that of the host found.

    `pack` is the folder of this repository. None when there is no ComfyUI to be seen.
    """
    if pack.parent.name == "custom_nodes" and (pack.parent.parent / "models").is_dir():
        return pack.parent.parent / "models"
    host = find_comfyui(environment)
    return host / "models" if host else None


def find_comfyui(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of the real ComfyUI: COMFYUI_PATH, or comfy-cli's default when that is unset, or None."""
    host = Path(environment.get("COMFYUI_PATH") or DEFAULT_COMFYUI).expanduser()
    return host if (host / "main.py").is_file() else None


def _is_release(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("transformer", "transformer_ema"))


def _release_patterns(row: ModelFile) -> tuple[str, ...]:
    inside = "fantasyid/*/"
    return tuple(pattern[len(inside) :] for pattern in row.patterns if pattern.startswith(inside))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _first_match(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    return next((path for pattern in patterns for path in _matches(folder, pattern)), None)


def _matches(folder: Path, pattern: str) -> list[Path]:
    found = [folder]
    for part in pattern.split("/"):
        found = [
            entry
            for parent in found
            if parent.is_dir()
            for entry in sorted(parent.iterdir())
            if fnmatchcase(entry.name.lower(), part)
        ]
    return [path for path in found if path.is_file()]
