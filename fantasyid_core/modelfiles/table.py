"""The table of model files. Licences and sources: the official repositories, their READMEs and model cards.

Sizes and hashes: FantasyID's and kornia's from the files in their repositories; the others as recorded, alike,
by several independent projects that verify these downloads. What could not be verified is None.
"""

from __future__ import annotations

from .row import Download, ModelFile, OfficialFile

COGVIDEOX = "https://huggingface.co/THUDM/CogVideoX-5b-I2V"
FANTASYID = "https://github.com/Fantasy-AMAP/fantasy-id"
FANTASYID_RAW = "https://raw.githubusercontent.com/Fantasy-AMAP/fantasy-id"
FANTASYID_COMMIT = "c4290929b77ae2fd838440e1a4004331abfd8705"
INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download"
INSIGHTFACE_LICENCE = "InsightFace: non-commercial research only"
FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/v0.1.0"
FACE_FOLDERS = ("facedetection", "face_detection", "facexlib")

TOPOLOGY = OfficialFile("transform.pkl", 873404, "e8dcbc25e8c22fd35b9465c5bdee4c474d08c69047b17ee22dbd01c4858a212e")
LANDMARKS = OfficialFile(
    "landmark_embedding.npy", 31292, "8095348eeafce5a02f6bd8765146307f9567a3f03b316d788a2e47336d667954"
)
EVA_CLIP = OfficialFile(
    "EVA02_CLIP_L_336_psz14_s6B.pt",
    856461210,
    "84c3a17a228c567a155259b2245b0b59072bf7da510260a0a02ec54de6d50b05",
)
T5 = OfficialFile(
    "t5xxl_fp16.safetensors",
    9787841024,
    "6e480b09fae049a72d2a8c5fbccb8d3e92febeb233bbe9dfe7256958a9167635",
)
VAE = OfficialFile(
    "diffusion_pytorch_model.safetensors",
    862388596,
    "a410e48d988c8224cef392b68db0654485cfd41f345f4a3a81d3e6b765bb995e",
    exact=False,  # FantasyID's and other precisions have the same name
)
DECA = OfficialFile("deca_model.tar", 434142943, "e714ed293054cba5eea9c96bd3b6b57880074cd84b3fd00d606cbaf0bee7c5c2")
FLAME = OfficialFile(
    "generic_model.pkl",
    53023716,  # FLAME 2020
    "efcd14cc4a69f3a3d9af8ded80146b5b6b50df3bd74cf69108213b144eba725b",
    exact=False,  # older and newer FLAMEs come under the same name
)
BISENET = OfficialFile(
    "parsing_bisenet.pth", 53289463, "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567"
)
ANTELOPE = OfficialFile("antelopev2.zip", 360662982, "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5")
SCRFD = OfficialFile(
    "scrfd_10g_bnkps.onnx", 16923827, "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"
)
GLINT = OfficialFile("glintr100.onnx", 260665334, "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf")
W600K = OfficialFile("w600k_r50.onnx", 174383860, "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43")
YUNET = OfficialFile("yunet_final.pth", 405729, "ee0a3035c5cbfc9484a31332223c9fd9c0ddcdb7c46b6a19e558ed393b6f2c67")
RETINAFACE = OfficialFile(
    "detection_Resnet50_Final.pth",
    109497761,
    "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
)


def _in_fantasyid(*names: str) -> tuple[str, ...]:
    # Beside each other, one folder deeper, and in the layouts of the official repositories.
    folders = ("fantasyid", "fantasyid/*", "fantasyid/*/data", "fantasyid/*/assets")
    return tuple(f"{folder}/{name}" for name in names for folder in folders)


def _in_face_folders(name: str) -> tuple[str, ...]:
    release = ("fantasyid/*/face_encoder", "fantasyid", "fantasyid/*")
    return tuple(f"{folder}/{name}" for folder in (*FACE_FOLDERS, *release))


def _in_insightface(*names: str) -> tuple[str, ...]:
    # The zip file holds a folder of the same name, so unpacking it often gives two nested folders.
    folders = ("insightface/models/*", "insightface/models/*/*", "insightface/*", "insightface", "fantasyid/*/models/*")
    folders += ("fantasyid/*/face_encoder/models/*",)  # ConsisID's
    return tuple(f"{folder}/{name}" for name in names for folder in folders)


def _in_home(*names: str) -> tuple[str, ...]:
    packs = ("antelopev2", "antelopev2/antelopev2", "buffalo_l", "buffalo_l/buffalo_l")
    return tuple(f"~/.insightface/models/{pack}/{name}" for name in names for pack in packs)


def _raw(path: str) -> tuple[str, ...]:
    return tuple(f"{FANTASYID_RAW}/{revision}/{path}" for revision in (FANTASYID_COMMIT, "main"))


def _antelope(file: OfficialFile) -> Download:
    addresses = tuple(f"{INSIGHTFACE}/{release}/antelopev2.zip" for release in ("model-zoo", "v0.7"))
    return Download(addresses, ANTELOPE, file.name)


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
        instead="consisid",
        excluding=("*consisid*",),
        marks=("face_abstractor.", "layer_attention.", "vertex_"),
        download=Download(("acvlab/FantasyID",)),
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
        official=(VAE,),
        marks=("decoder.",),
        download=Download(("THUDM/CogVideoX-5b-I2V",), VAE, "vae/diffusion_pytorch_model.safetensors"),
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
        official=(T5,),
        marks=("encoder.block.",),
        download=Download(("comfyanonymous/flux_text_encoders",), T5, T5.name),
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
        official=(EVA_CLIP,),
        marks=("visual.", "blocks."),
        download=Download(("QuanSun/EVA-CLIP",), EVA_CLIP, EVA_CLIP.name),
    ),
    ModelFile(
        key="topology",
        name="transform.pkl",
        purpose="the levels of the FLAME mesh: which vertices belong together",
        licence="Apache-2.0",
        sources=(f"{FANTASYID}/blob/main/assets/transform.pkl",),
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
        instead="consisid",
        official=(TOPOLOGY,),
        marks=("down_transform", "topology."),
        download=Download(_raw("assets/transform.pkl"), TOPOLOGY),
    ),
    ModelFile(
        key="landmarks",
        name="landmark_embedding.npy",
        purpose="where the 68 landmarks lie on the FLAME mesh",
        licence="in an Apache-2.0 repository, but the same file as DECA's: non-commercial",
        sources=(f"{FANTASYID}/blob/main/data/landmark_embedding.npy",),
        belongs="fantasyid/landmark_embedding.npy",
        patterns=_in_fantasyid("landmark_embedding.npy"),
        in_release="data/landmark_embedding.npy",
        without="a 3D face made from a photo has no landmarks, and approximate points stay approximate",
        required=False,
        official=(LANDMARKS,),
        marks=("full_lmk_faces_idx",),
        download=Download(_raw("data/landmark_embedding.npy"), LANDMARKS),
        must_accept=True,
    ),
    ModelFile(
        key="deca",
        name="deca_model.tar",
        purpose="estimates the 3D face from a photo",
        licence="MPI: non-commercial research, never passed on",
        sources=("https://deca.is.tue.mpg.de", "https://github.com/yfeng95/DECA"),
        belongs="fantasyid/deca_model.tar",
        patterns=_in_fantasyid("deca_model.tar"),
        in_release="data/deca_model.tar",
        without="3D faces are fitted to landmarks instead, which need no file; DECA adds the heads and expressions "
        "that the model was trained with",
        required=False,
        official=(DECA,),
        marks=("E_flame",),
    ),
    ModelFile(
        key="flame",
        name="FLAME head model",
        purpose="turns DECA's numbers into the 3D face",
        licence="FLAME 2023 Open: CC-BY-4.0; FLAME 2020: non-commercial; both after registration",
        sources=("https://flame.is.tue.mpg.de",),
        belongs="fantasyid/generic_model.pkl",
        patterns=_in_fantasyid(
            "generic_model.pkl", "flame2023*.pkl", "flame2020*.pkl", "flame2023*.npz", "flame2020*.npz"
        ),
        in_release="data/generic_model.pkl",
        without="3D faces are fitted to landmarks instead; the editor has no FLAME components",
        required=False,
        official=(
            FLAME,
            OfficialFile("flame2023.pkl"),
            OfficialFile("flame2023_no_jaw.pkl"),
            OfficialFile("flame2023_Open.pkl"),
        ),
        packed=("FLAME2020.zip", "FLAME2023.zip", "FLAME2023Open.zip"),
        marks=("shapedirs",),
    ),
    ModelFile(
        key="insightface_detector",
        name="scrfd_10g_bnkps.onnx",
        purpose="finds faces: detector insightface",
        licence=INSIGHTFACE_LICENCE,
        sources=(f"{INSIGHTFACE}/model-zoo/antelopev2.zip",),
        belongs="insightface/models/antelopev2/scrfd_10g_bnkps.onnx",
        patterns=_in_insightface("scrfd_10g_bnkps.onnx", "det_10g.onnx"),
        in_release="models/antelopev2",
        without="the detector insightface does not work; others find faces, too",
        required=False,
        official=(SCRFD, OfficialFile("det_10g.onnx", SCRFD.size, SCRFD.sha256)),
        packed=("antelopev2.zip", "buffalo_l.zip"),
        elsewhere=_in_home("scrfd_10g_bnkps.onnx", "det_10g.onnx"),
        download=_antelope(SCRFD),
        must_accept=True,
    ),
    ModelFile(
        key="arcface",
        name="glintr100.onnx",
        purpose="tells people apart: ArcFace",
        licence=INSIGHTFACE_LICENCE,
        sources=(f"{INSIGHTFACE}/model-zoo/antelopev2.zip",),
        belongs="insightface/models/antelopev2/glintr100.onnx",
        patterns=_in_insightface("glintr100.onnx", "w600k_r50.onnx"),
        in_release="models/antelopev2",
        without="faces cannot be chosen by likeness, an odd one among references is not reported, and ConsisID encodes "
        "no person (it needs glintr100.onnx)",
        required=False,
        official=(GLINT, W600K),
        packed=("antelopev2.zip", "buffalo_l.zip"),
        elsewhere=_in_home("glintr100.onnx", "w600k_r50.onnx"),
        download=_antelope(GLINT),
        must_accept=True,
    ),
    ModelFile(
        key="yunet",
        name="yunet_final.pth",
        purpose="finds faces: detector yunet",
        licence="MIT",
        sources=("https://huggingface.co/kornia/yunet", "https://github.com/kornia/data"),
        belongs="facedetection/yunet_final.pth",
        patterns=_in_face_folders("yunet_final.pth"),
        in_release="yunet_final.pth",
        without="the detector yunet does not work; others find faces, too",
        required=False,
        official=(YUNET,),
        marks=("model0.conv1",),
        elsewhere=("~/.cache/torch/hub/checkpoints/yunet_final.pth",),
        download=Download(("https://github.com/kornia/data/raw/main/yunet_final.pth",), YUNET),
    ),
    ModelFile(
        key="retinaface",
        name="detection_Resnet50_Final.pth",
        purpose="finds faces as the official code does: detector retinaface",
        licence="MIT",
        sources=(f"{FACEXLIB}/detection_Resnet50_Final.pth",),
        belongs="facedetection/detection_Resnet50_Final.pth",
        patterns=_in_face_folders("detection_resnet50_final.pth"),
        in_release="face_encoder",
        without="the detector retinaface does not work; others find faces, too",
        required=False,
        official=(RETINAFACE,),
        marks=("body.conv1",),
        download=Download((f"{FACEXLIB}/detection_Resnet50_Final.pth",), RETINAFACE),
    ),
    ModelFile(
        key="consisid",
        name="ConsisID weights",
        purpose="another video model that shows a person; it needs no 3D face",
        licence="Apache-2.0; based on CogVideoX-5B: own licence, register for commercial use",
        sources=("https://huggingface.co/BestWishYsh/ConsisID-preview", "https://github.com/PKU-YuanGroup/ConsisID"),
        belongs="fantasyid/ConsisID-preview/transformer",
        patterns=tuple(
            f"fantasyid/{name}/transformer/*.{suffix}"
            for name in ("*consisid*", "consisid*/*")
            for suffix in ("safetensors", "bin", "pt")
        )
        + ("fantasyid/*consisid*adapter*.safetensors",),
        in_release="transformer",
        without="no video can be made with ConsisID",
        required=False,
        marks=("local_facial_extractor.", "perceiver_cross_attention."),
        download=Download(("BestWishYsh/ConsisID-preview",)),
    ),
    ModelFile(
        key="bisenet",
        name="parsing_bisenet.pth",
        purpose="tells face and hair from what surrounds them, for ConsisID",
        licence="code MIT; trained on CelebAMask-HQ: non-commercial research",
        sources=("https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth",),
        belongs="facedetection/parsing_bisenet.pth",
        patterns=(*_in_face_folders("parsing_bisenet.pth"), *_in_face_folders("79999_iter.pth")),
        in_release="face_encoder",
        without="ConsisID encodes no person, or only approximately",
        required=False,
        official=(BISENET, OfficialFile("79999_iter.pth", BISENET.size, BISENET.sha256)),
        marks=("ffm.convblk",),
        download=Download(
            ("https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth",), BISENET
        ),
        must_accept=True,
    ),
)
